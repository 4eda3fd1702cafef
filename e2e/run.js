// Runs every scenario with every client over every transport against Node's socket.io
// server and against thinkws, and compares what the clients saw.
//
//   node run.js [--server PROGRAM] [--only TEXT] [--client v2|v4] [--transport T] [--node-only] [--show] [--jobs N]
//
// A difference is allowed only if differences.json names it with a reason, and one that
// is named there must occur.
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { ServerProcess } from "./lib/control.js";
import { Run } from "./lib/run.js";
import { compare } from "./lib/play.js";
import messages from "./scenarios/messages.js";
import rooms from "./scenarios/rooms.js";
import connections from "./scenarios/connections.js";

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
const what = {
  scenarios: [...connections, ...messages, ...rooms].filter((s) => s.name.includes(flags.only)),
  clients: flags.client ? [flags.client] : ["v4", "v2"],
  transports: flags.transport ? [flags.transport] : ["polling", "websocket", "upgrade"],
  jobs: flags.jobs,
};

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const servers = [];
try {
  servers.push(await ServerProcess.start("node", process.execPath, [here("node-server.js")]));
  if (!flags["node-only"]) {
    if (!flags.server) throw new Error("--server PROGRAM or --node-only, please");
    servers.push(await ServerProcess.start("thinkws", flags.server, []));
  }
  await compare(servers, what, Run, {
    differences: here("differences.json"), narrowed: flags.only || flags.client || flags.transport, show: flags.show,
  });
} finally {
  await Promise.all(servers.map((server) => server.stop()));
}
process.exit(); // with what is set above, whatever a client left running
