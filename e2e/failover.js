// Traffic among three servers of Go and one of Node.js, while Redis fails in all the ways that it has.
//
//   node failover.js --node PROGRAM [--form single,sentinel,cluster] [--only TEXT]
//       [--seconds 6] [--rate 200] [--strict] [--pairs]
//
// Every server publishes numbered messages, and a client of every server records what comes. In the middle
// of a case Redis fails. When Redis is ready again, traffic has to flow again: within 2 s with --strict.
// Afterwards every message has arrived, was refused, or is counted:
//   - Go to Go: published = arrived + refused + Missed of the receiver, exactly.
//   - Go to Node.js: what is missing is Lost at the sender, or the case has a reason why nobody knows.
//   - Node.js: its messages carry no numbers, so that nobody counts. None may come twice or out of order,
//     except in a Redis Cluster.
import { parseArgs } from "node:util";
import { Account } from "./failover/account.js";
import { forms } from "./failover/cases.js";
import { Servers } from "./failover/servers.js";
import { details, summary } from "./failover/table.js";
import { pause } from "./lib/run.js";
import { eventually } from "./lib/redis-forms.js";

const { values: flags } = parseArgs({
  options: {
    node: { type: "string" },
    form: { type: "string", default: Object.keys(forms).join(",") },
    only: { type: "string", default: "" },
    seconds: { type: "string", default: "6" }, // of traffic, besides the time that Redis is away
    rate: { type: "string", default: "200" }, // messages a second, of every server
    strict: { type: "boolean", default: false },
    pairs: { type: "boolean", default: false },
  },
});
if (!flags.node) throw new Error("--node PROGRAM, please");

const bound = flags.strict ? 2_000 : 120_000; // ms from when Redis is ready until traffic flows
const patience = 120_000; // ms that traffic is waited for
const half = Number(flags.seconds) * 500; // ms of traffic before the fault, and at least as much after it

/** Plays one case and returns its outcome. */
async function play(form, servers, { unordered }, { title, fault, after, uncounted }, before) {
  await servers.startTraffic(Number(flags.rate));
  await pause(half);
  const began = Date.now();
  const repair = await fault(form, servers);
  const ready = Date.now();
  await pause(half);
  const moment = Date.now(); // traffic may have flowed for an instant before it broke
  await eventually(() => servers.flowsSince(moment), "", patience).catch(() => {});
  await servers.endTraffic();
  const account = await Account.settled(servers, before);
  const flows = account.resumed(ready);
  const wrong = account.wrong({ unordered });
  const { from, to } = flows.link;
  if (flows.after > bound) wrong.push(`${from.name} to ${to.name}: traffic flows after ${flows.after} ms`);
  if (!uncounted) wrong.push(...account.uncounted());
  await (repair ?? after)(form);
  return { title, ready: ready - began, flows, account, wrong, uncounted };
}

function print({ title, ready, flows, wrong }, servers) {
  const times = flows ? `: ready after ${ready} ms, flows after ${flows.after} ms` : "";
  console.log(`${wrong.length ? "FAILED" : "ok"}  ${title}${times}`);
  for (const text of wrong) console.log(`        ${text}`);
  if (!wrong.length || !servers) return;
  for (const { name, process: { errors } } of servers.all) console.log(`The last words of ${name}:\n${errors.slice(-1500)}`);
}

/** Plays the cases of one form of Redis. */
async function playForm(name) {
  const { Form, cases, ...kind } = forms[name];
  const chosen = cases.filter(({ title }) => title.includes(flags.only));
  if (!chosen.length) return [];
  const form = new Form();
  let servers;
  const outcomes = [];
  try {
    await form.start();
    servers = await Servers.start(form, flags.node);
    await servers.meet();
    let before = await servers.stats();
    for (const one of chosen) {
      const outcome = await play(form, servers, kind, one, before);
      before = outcome.account.after;
      print(outcome, servers);
      outcomes.push(outcome);
    }
  } catch (error) {
    const outcome = { title: `${name}: ${error.message}`, wrong: [error.stack, String(error.cause ?? "")] };
    print(outcome, servers);
    outcomes.push(outcome);
  } finally {
    for (const error of await servers?.stop() ?? []) {
      outcomes.push({ title: `${name}: a server ended badly`, wrong: [String(error)] });
    }
    await form.stop();
  }
  return outcomes;
}

const outcomes = [];
for (const name of flags.form.split(",")) outcomes.push(...await playForm(name));
const failed = outcomes.some(({ wrong }) => wrong.length);
console.log(`\n${flags.seconds} s of traffic, ${flags.rate} messages a second from each of four servers\n`);
console.log(summary(outcomes));
if (flags.pairs || flags.strict || failed) console.log(`\n${details(outcomes)}`);
for (const reason of new Set(outcomes.map(({ uncounted }) => uncounted).filter(Boolean))) {
  const titles = outcomes.filter(({ uncounted }) => uncounted === reason).map(({ title }) => title);
  console.log(`\nNobody counts what Node.js has not got: ${reason} (${titles.join(", ")}).`);
}
for (const name of flags.form.split(",")) if (forms[name].unordered) console.log(`\n${forms[name].unordered}.`);
process.exit(failed || !outcomes.length ? 1 : 0);
