// Runs every scenario with npm's sockjs-client, two versions of it, over each transport that
// works in Node, against npm's sockjs server and against thinkws, and compares what the
// clients saw.
//
//   node sockjs.js [--server PROGRAM] [--only TEXT] [--client VERSION] [--transport T] [--node-only] [--show] [--jobs N]
//
// A difference is allowed only if differences-sockjs.json names it with a reason, and one
// that is named there must occur.
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { ServerProcess } from "./lib/control.js";
import { SockRun } from "./lib/sockjs.js";
import { compare } from "./lib/play.js";
import scenarios from "./scenarios/sockjs.js";

const { values: flags } = parseArgs({
  options: {
    server: { type: "string" },
    only: { type: "string", default: "" },
    client: { type: "string" },
    transport: { type: "string" },
    "node-only": { type: "boolean" },
    show: { type: "boolean" },
    jobs: { type: "string", default: "8" },
  },
});
const what = {
  scenarios: scenarios.filter((s) => s.name.includes(flags.only)),
  clients: flags.client ? [flags.client] : ["1.6.1", "1.1.5"],
  transports: flags.transport ? [flags.transport] : ["websocket", "xhr-streaming", "eventsource", "xhr-polling"],
  jobs: flags.jobs,
};

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const servers = [];
try {
  servers.push(await ServerProcess.start("node", process.execPath, [here("node-sockjs-server.js")]));
  if (!flags["node-only"]) {
    if (!flags.server) throw new Error("--server PROGRAM or --node-only, please");
    servers.push(await ServerProcess.start("thinkws", flags.server, []));
  }
  await compare(servers, what, SockRun, {
    differences: here("differences-sockjs.json"), narrowed: flags.only || flags.client || flags.transport, show: flags.show,
  });
} finally {
  await Promise.all(servers.map((server) => server.stop()));
}
process.exit(); // with what is set above, whatever a client left running
