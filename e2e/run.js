// Runs every scenario with every client over every transport against Node's socket.io
// server and against thinkws, and compares what the clients saw.
//
//   node run.js [--server PROGRAM] [--only TEXT] [--client v2|v4] [--transport T] [--node-only] [--show] [--jobs N]
//
// A difference is allowed only if differences.json names it with a reason, and one that
// is named there must occur.
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { ServerProcess } from "./lib/control.js";
import { Run } from "./lib/run.js";
import { check, printTable } from "./lib/compare.js";
import messages from "./scenarios/messages.js";
import rooms from "./scenarios/rooms.js";
import connections from "./scenarios/connections.js";

const scenarioTimeout = 30_000; // ms

const { values: flags } = parseArgs({
  options: {
    server: { type: "string" },
    only: { type: "string", default: "" },
    client: { type: "string" },
    transport: { type: "string" },
    "node-only": { type: "boolean" },
    show: { type: "boolean" },
    jobs: { type: "string", default: "4" },
  },
});
const scenarios = [...connections, ...messages, ...rooms].filter((s) => s.name.includes(flags.only));
const clients = flags.client ? [flags.client] : ["v4", "v2"];
const transports = flags.transport ? [flags.transport] : ["polling", "websocket", "upgrade"];

/** Runs one scenario against one server. A scenario that fails has its error as outcome. */
async function play(server, scenario, client, transport) {
  const instance = await server.instance(scenario.server);
  const run = new Run(instance, client, transport);
  let timer;
  const late = new Promise((resolve, reject) => {
    timer = setTimeout(() => reject(new Error("the scenario took too long")), scenarioTimeout);
  });
  try {
    await Promise.race([scenario.run(run), late]);
    return run.outcome();
  } catch (error) {
    return { failed: error.message, ...run.outcome() };
  } finally {
    clearTimeout(timer);
    run.close();
    await instance.remove();
  }
}

/** All combinations, a few at a time. */
async function playAll(servers) {
  const cases = [];
  for (const scenario of scenarios) {
    for (const client of clients) {
      for (const transport of transports) {
        if (scenario.transports && !scenario.transports.includes(transport)) continue;
        cases.push({ scenario, client, transport, outcomes: [] });
      }
    }
  }
  const waiting = cases.values();
  await Promise.all(Array.from({ length: Number(flags.jobs) }, async () => {
    for (const c of waiting) {
      for (const server of servers) c.outcomes.push(await play(server, c.scenario, c.client, c.transport));
    }
  }));
  return cases;
}

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const servers = [];
try {
  servers.push(await ServerProcess.start("node", process.execPath, [here("node-server.js")]));
  if (!flags["node-only"]) {
    if (!flags.server) throw new Error("--server PROGRAM or --node-only, please");
    servers.push(await ServerProcess.start("thinkws", flags.server, []));
  }
  const start = Date.now();
  const cases = await playAll(servers);
  if (flags.show) for (const c of cases) console.dir({ scenario: c.scenario.name, ...c }, { depth: 9 });
  const narrowed = flags.only || flags.client || flags.transport;
  const allowed = JSON.parse(readFileSync(here("differences.json"), "utf8"));
  const { passed, failed } = check(cases, allowed, { complete: !narrowed && servers.length === 2 });
  printTable(cases);
  console.log(`${((Date.now() - start) / 1000).toFixed(1)} s`);
  console.log(`${passed} passed, ${failed} failed`);
  process.exitCode = failed ? 1 : 0;
  const errors = servers.at(-1).errors;
  if (failed && errors) console.log(`The last words of the ${servers.at(-1).name} server:\n${errors.slice(-3000)}`);
} finally {
  await Promise.all(servers.map((server) => server.stop()));
}
process.exit(); // with what is set above, whatever a client left running
