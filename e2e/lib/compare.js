// The differential table: outcomes of two servers, side by side.
import { isDeepStrictEqual } from "node:util";

const maxShown = 900; // characters of an outcome that are printed

/** Where two outcomes part: the first path whose values differ, and both values. */
export function firstDifference(a, b, path = "") {
  if (isDeepStrictEqual(a, b)) return undefined;
  const nested = a && b && typeof a === "object" && typeof b === "object" && Array.isArray(a) === Array.isArray(b);
  if (!nested) return { path, a, b };
  for (const key of new Set([...Object.keys(a), ...Object.keys(b)])) {
    const found = firstDifference(a[key], b[key], `${path}/${key}`);
    if (found) return found;
  }
  return undefined;
}

const matches = (rule, c) =>
  [[rule.scenario, c.scenario.name], [rule.client, c.client], [rule.transport, c.transport]]
    .every(([wanted, is]) => wanted === "*" || [wanted].flat().includes(is));

/**
 * Judges every case and counts. A case passes if nothing failed on the oracle and both
 * outcomes are equal, or differ as allowed. With complete, rules that met nothing fail.
 */
export function check(cases, allowed, { complete }) {
  const used = new Map(allowed.map((rule) => [rule, new Set()]));
  let passed = 0;
  let failed = 0;
  for (const c of cases) {
    c.verdict = judge(c, allowed, used);
    if (c.verdict.ok) passed++;
    else {
      failed++;
      report(c);
    }
  }
  if (complete) failed += unused(used, cases);
  return { passed, failed };
}

function judge(c, allowed, used) {
  const [oracle, ours] = c.outcomes;
  if (oracle.failed) return { ok: false, sign: "oracle", why: oracle.failed };
  if (!ours) return { ok: true, sign: "oracle" };
  const difference = firstDifference(oracle, ours);
  if (!difference) return { ok: true, sign: "same" };
  const rule = allowed.find((r) => matches(r, c));
  if (rule && !ours.failed) {
    used.get(rule).add(c);
    return { ok: true, sign: "listed", why: rule.reason };
  }
  return { ok: false, sign: "DIFFERS", why: ours.failed, difference };
}

/** Counts listed cases in which nothing differs any more. */
function unused(used, cases) {
  let failed = 0;
  for (const [rule, met] of used) {
    for (const c of cases.filter((one) => matches(rule, one) && !met.has(one))) {
      failed++;
      console.log(`LISTED, but no difference: ${c.scenario.name}, ${c.client}, ${c.transport}: ${rule.reason}`);
    }
    if (!cases.some((c) => matches(rule, c))) {
      failed++;
      console.log(`LISTED, but there is no such case: ${JSON.stringify(rule)}`);
    }
  }
  return failed;
}

function report(c) {
  const short = (value) => {
    const text = JSON.stringify(value) ?? "nothing";
    return text.length > maxShown ? `${text.slice(0, maxShown)}…` : text;
  };
  console.log(`FAILED ${c.scenario.name}, ${c.client}, ${c.transport}${c.verdict.why ? `: ${c.verdict.why}` : ""}`);
  if (c.verdict.difference) {
    const { path, a, b } = c.verdict.difference;
    console.log(`  at ${path}\n    node:    ${short(a)}\n    thinkws: ${short(b)}`);
  }
  console.log(`  node:    ${short(c.outcomes[0])}`);
  if (c.outcomes[1]) console.log(`  thinkws: ${short(c.outcomes[1])}`);
}

/** One row per scenario, one column per client and transport. */
export function printTable(cases) {
  const columns = [...new Set(cases.map((c) => `${c.client} ${c.transport}`))];
  const rows = groupBy(cases, (c) => c.scenario.name);
  const width = Math.max(...[...rows.keys()].map((name) => name.length));
  const pad = (text) => text.padEnd(Math.max(12, ...columns.map((name) => name.length)));
  console.log("".padEnd(width), ...columns.map(pad));
  const reasons = new Map();
  for (const [name, row] of rows) {
    const signs = columns.map((column) => {
      const c = row.find((one) => `${one.client} ${one.transport}` === column);
      if (!c) return "-";
      if (c.verdict.sign !== "listed") return c.verdict.sign;
      if (!reasons.has(c.verdict.why)) reasons.set(c.verdict.why, reasons.size + 1);
      return `listed (${reasons.get(c.verdict.why)})`;
    });
    console.log(name.padEnd(width), ...signs.map(pad));
  }
  for (const [reason, number] of reasons) console.log(`(${number}) ${reason}`);
}

function groupBy(list, key) {
  const groups = new Map();
  for (const item of list) groups.set(key(item), [...(groups.get(key(item)) ?? []), item]);
  return groups;
}
