// The outcome as tables in Markdown.

const seconds = (ms) => (ms === Infinity ? "never" : `${(ms / 1_000).toFixed(2)} s`);

const line = (cells) => `| ${cells.join(" | ")} |`;

const table = (head, rows) => [line(head), line(head.map(() => "---")), ...rows.map(line)].join("\n");

function cells({ title, ready, flows, account, wrong }) {
  if (!account) return [title, "", "", "", "", "", "no"];
  const [goGo, goNode, nodeGo] = [account.totals(true, true), account.totals(true, false), account.totals(false, true)];
  return [
    title, seconds(ready), seconds(flows.after),
    `${goGo.published} = ${goGo.arrived} + ${goGo.refused} + ${account.missed()}`,
    `${goNode.published} = ${goNode.arrived} + ${goNode.refused} + ${goNode.missing} (${account.lost()})`,
    `${nodeGo.published} = ${nodeGo.arrived} + ${nodeGo.missing}`,
    wrong.length ? "no" : "yes",
  ];
}

export const summary = (outcomes) => table([
  "case", "Redis ready after", "flows again after", "Go to Go: published = arrived + refused + Missed",
  "Go to Node.js: published = arrived + refused + missing (Lost)", "Node.js to Go: published = arrived + missing", "ok",
], outcomes.map(cells));

/** What a server has counted about a pair. */
function counted(account, { from, to, unanswered, arrivals: { twice, disordered } }) {
  if (!from.isGo) {
    return `${unanswered.length} without a reply of Redis, ${twice.length} twice, ${disordered.length} behind later ones`;
  }
  return to.isGo ? `Missed ${account.grown(to, "Missed")} of all Go servers` : `Lost ${account.grown(from, "Lost")}`;
}

export const details = (outcomes) => table(
  ["case", "sender", "receiver", "published", "refused", "arrived", "missing", "counted"],
  outcomes.filter(({ account }) => account).flatMap(({ title, account }) => account.links.map((link) => [
    title, link.from.name, link.to.name, link.published, link.refused.size, link.arrivals.count,
    link.missing.length, counted(account, link),
  ])),
);
