// Nodes of Go and of Node.js as one cluster, on a Redis.
//
//   node cluster.js --node PROGRAM [--only TEXT] [--soak 100000] [--random 10] [--seed 1] [--longest 900000]
//
// --random is for how many seconds random values go through the cluster, from a seed on. Values have up to
// --longest bytes; a long run may have 16000000.
// REDIS_URL names a Redis to use; without it, one is started.
import { parseArgs } from "node:util";
import { broadcasts } from "./cluster/broadcasts.js";
import { emissions } from "./cluster/emitters.js";
import { otherKinds } from "./cluster/kinds.js";
import { comingsAndGoings } from "./cluster/members.js";
import { amongOld, mixed, oldRequests, requestsOf6 } from "./cluster/old.js";
import { randomValues } from "./cluster/random.js";
import { requests } from "./cluster/requests.js";
import { checkStats, soak } from "./cluster/soak.js";
import { ClusterNode, Emitter3, Emitter5, GoEmitter, RedisProcess } from "./lib/cluster.js";
import { runTests } from "./lib/tests.js";

const { values: flags } = parseArgs({
  options: {
    node: { type: "string" }, only: { type: "string", default: "" }, soak: { type: "string", default: "100000" },
    random: { type: "string", default: "10" }, seed: { type: "string", default: "1" }, longest: { type: "string", default: "900000" },
  },
});
if (!flags.node) throw new Error("--node PROGRAM, please");

const redis = await RedisProcess.start(process.env.REDIS_URL);
const run = `e2e-${process.pid}`; // begins all names of channels
const go = (name, prefix, ...args) => (
  ClusterNode.start(name, flags.node, ["--redis", redis.url, "--prefix", `${run}-${prefix}`, ...args]));
const node = (name, prefix, version, ...args) => (
  ClusterNode.start(name, process.execPath, ["cluster-node.js", "--redis", redis.url, "--prefix", `${run}-${prefix}`,
    "--version", version, ...args], { version: version === "2" ? "v2" : "v4" }));

/** Four clusters: of today's versions, one that answers on channels of nodes, and two with older versions. */
async function start() {
  const [go1, go2, node4, nodeIO, goS, nodeS, goOld, goOld2, node2, go6, node6] = await Promise.all([
    go("go 1", "now"), go("go 2", "now"), node("node 4", "now", "4"), node("node 4 with ioredis", "now", "4", "--client", "ioredis"),
    go("go specific", "specific", "--specific"), node("node 4 specific", "specific", "4", "--specific"),
    go("go old", "old"), go("go old with -socketio2", "old", "--socketio2"), node("node 2", "old", "2"),
    go("go six", "six"), node("node 4 with adapter 6", "six", "4", "--adapter", "6"),
  ]);
  for (const one of [go1, go2, goS, goOld, goOld2, go6]) one.can = ["except", "local", "compress"];
  for (const one of [node4, nodeIO, nodeS, node6]) one.can = ["except", "local", "compress", "javascript"];
  node2.can = ["local", "compress", "javascript"];
  for (const one of [go1, go2, node4, nodeIO]) Object.assign(one, { others: 3, othersOfNode: one.isGo ? 2 : 1 });
  for (const one of [goS, nodeS]) Object.assign(one, { others: 1, othersOfNode: one.isGo ? 1 : 0 });
  const goEmitter = Object.assign(new GoEmitter(go1), { can: ["except", "compress"] });
  const emitter5 = Object.assign(await Emitter5.create(redis.url, `${run}-now`), { can: ["except", "compress", "javascript"] });
  const emitter3 = Object.assign(new Emitter3(redis.url, `${run}-now`), { can: ["javascript"] });
  return { go1, go2, node4, nodeIO, goS, nodeS, goOld, goOld2, node2, go6, node6, goEmitter, emitter5, emitter3 };
}

const kinds = [{ kind: "sockjs", name: "red" }, { kind: "websocket", name: "red" }, { version: "v2", name: "red" }];

function broadcastTests(c) {
  return {
    ...broadcasts(c.node4, c.go1, { kinds }),
    ...broadcasts(c.go1, c.node4),
    ...broadcasts(c.nodeIO, c.go1),
    ...broadcasts(c.go1, c.nodeIO),
    ...broadcasts(c.go1, c.go2, { kinds }),
    ...broadcasts(c.node2, c.goOld, { kinds }),
    ...broadcasts(c.goOld, c.node2, { binary: false }),
    ...broadcasts(c.goOld2, c.node2),
    ...broadcasts(c.node6, c.go6, { kinds }),
    ...broadcasts(c.go6, c.node6, { numbers: false }),
    ...broadcasts(c.emitter5, c.go1, { kinds }),
    ...broadcasts(c.emitter3, c.go1, { kinds }),
    ...broadcasts(c.goEmitter, c.node4),
    ...broadcasts(c.goEmitter, c.go2, { kinds }),
  };
}

const beyond6 = /asked|server-side|answer/; // what adapter 6 knows nothing of

const requestTests = (c) => Object.assign({}, ...[
  [c.node4, c.go1], [c.go1, c.node4], [c.nodeIO, c.go1], [c.go1, c.nodeIO], [c.go1, c.go2], [c.nodeS, c.goS], [c.goS, c.nodeS],
  [c.node6, c.go6, beyond6], [c.go6, c.node6, beyond6],
].map((pair) => requests(...pair)));

async function startMixed() {
  const nodes = await Promise.all([
    go("go mixed", "mixed"), go("go mixed too", "mixed"), node("node 2 mixed", "mixed", "2"), node("node 4 mixed", "mixed", "4"),
    node("node 4 with adapter 6 mixed", "mixed", "4", "--adapter", "6"),
  ]);
  const emitters = [await Emitter5.create(redis.url, `${run}-mixed`), new Emitter3(redis.url, `${run}-mixed`), new GoEmitter(nodes[0])];
  return { nodes, publishers: [...nodes, ...emitters] };
}

const otherTests = (c) => ({
  ...oldRequests(c.node2, c.goOld),
  ...requestsOf6(c.node6, c.go6),
  ...amongOld(c.goOld2, c.node2),
  ...Object.assign({}, ...[c.emitter5, c.goEmitter].flatMap((emitter) => [c.go1, c.node4].map((one) => emissions(emitter, one)))),
  "nodes of Go and of all versions of Node's, and emitters: each hears each": mixed(startMixed),
  ...otherKinds(c.node4, c.go1),
});

/** What the nodes themselves say after all that: nothing was lost, and nothing was no message. */
const statsTests = (c) => Object.fromEntries([c.go1, c.go2, c.goOld, c.goOld2, c.go6].map((one) => (
  [`${one.name} has lost and dropped nothing`, async () => checkStats(one)])));

const memberTests = (c) => comingsAndGoings(c.goS, c.nodeS, (kind) => (
  kind === "go" ? go("go late", "specific", "--specific") : node("node late", "specific", "4", "--specific")));

const soakTest = (c) => ({
  [`${flags.soak} messages, none lost, doubled or out of order`]:
    Object.assign(soak([c.go1, c.go2, c.node4], Number(flags.soak)), { timeout: 120_000 }),
});

const randomTest = ({ go1, go2, node4, nodeIO, goEmitter, emitter5, emitter3 }) => (
  randomValues([go1, go2, node4, nodeIO], [goEmitter, emitter5, emitter3],
    { seconds: Number(flags.random), seed: Number(flags.seed), longest: Number(flags.longest) }));

const cluster = await start();
const nodes = Object.values(cluster).filter((one) => one instanceof ClusterNode);
try {
  const tests = { ...broadcastTests(cluster), ...requestTests(cluster), ...otherTests(cluster), ...randomTest(cluster), ...soakTest(cluster), ...statsTests(cluster), ...memberTests(cluster) };
  const chosen = Object.entries(tests).filter(([name]) => name.includes(flags.only) || /clients (enter|leave)$/.test(name));
  const failed = await runTests(Object.fromEntries(chosen));
  if (failed) for (const one of nodes) console.log(`The last words of ${one.name}:\n${one.process.errors.slice(-1500)}`);
  process.exitCode = failed ? 1 : 0;
} finally {
  cluster.emitter3.close();
  await cluster.emitter5.close();
  for (const stopped of await Promise.allSettled(nodes.map((one) => one.stop()))) {
    if (stopped.status === "rejected") {
      console.log(stopped.reason);
      process.exitCode = 1;
    }
  }
  await redis.stop();
}
process.exit();
