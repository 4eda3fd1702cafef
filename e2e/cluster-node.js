// One node of a cluster under test, of Node.js: socket.io 4 with @socket.io/redis-adapter 8,
// or socket.io 2 with socket.io-redis 5. It takes the commands of cluster-node/commands.go,
// where those versions have a counterpart, by POST /do.
//
//   node cluster-node.js --version 4 --redis URL --prefix KEY [--adapter 6] [--client ioredis] [--specific]
//   node cluster-node.js --traffic --redis URL | --sentinels LIST --master NAME | --redis-cluster LIST [--user NAME --password WORD]
import { createServer } from "node:http";
import { parseArgs } from "node:util";
import { Node2 } from "./cluster/node2.js";
import { Node4 } from "./cluster/node4.js";

const { values: flags } = parseArgs({
  options: {
    version: { type: "string", default: "4" },
    redis: { type: "string" },
    prefix: { type: "string", default: "socket.io" },
    adapter: { type: "string", default: "8" },
    client: { type: "string", default: "redis" },
    specific: { type: "boolean", default: false },
    traffic: { type: "boolean", default: false },
    sentinels: { type: "string" },
    master: { type: "string" },
    "redis-cluster": { type: "string" },
    user: { type: "string" },
    password: { type: "string" },
  },
});
if (!flags.redis && !flags.sentinels && !flags["redis-cluster"]) throw new Error("--redis URL, please");

async function readBody(req) {
  const pieces = [];
  for await (const piece of req) pieces.push(piece);
  return JSON.parse(Buffer.concat(pieces));
}

let node;
const http = createServer(async (req, res) => {
  try {
    const command = await readBody(req);
    const result = await node[command.do](command);
    res.end(JSON.stringify(result ?? null));
  } catch (error) {
    res.writeHead(500).end(String(error.stack));
  }
});
http.keepAliveTimeout = 0; // a connection closed just when it is used again would look like a failure
node = await (flags.version === "2" ? Node2 : Node4).create(http, flags);
http.listen(0, "127.0.0.1", () => console.log(JSON.stringify({ control: `http://127.0.0.1:${http.address().port}` })));
process.stdin.resume().on("end", () => process.exit(0));
