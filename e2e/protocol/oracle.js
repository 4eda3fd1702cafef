// The servers of Node.js with the settings that the official suites expect: the same
// services as server/main.go.
import { createServer } from "node:http";
import { parseArgs } from "node:util";
import { attach } from "engine.io";
import { Server } from "socket.io";
import sockjs from "sockjs";

const { values: flags } = parseArgs({ options: { eio3: { type: "boolean" } } });
const settings = { pingInterval: 300, pingTimeout: 200, maxHttpBufferSize: 1e6, allowEIO3: Boolean(flags.eio3) };

const http = createServer();
attach(http, settings).on("connection", (socket) => socket.on("data", (...args) => socket.send(...args)));

const io = new Server(http, { ...settings, connectTimeout: 1_000 });
for (const name of ["/", "/custom"]) {
  io.of(name).on("connection", (socket) => {
    socket.emit("auth", socket.handshake.auth);
    socket.on("message", (...args) => socket.emit("message-back", ...args));
    socket.on("message-with-ack", (...args) => args.pop()(...args));
  });
}

for (const [prefix, options] of Object.entries({
  "/echo": { response_limit: 4096 },
  "/disabled_websocket_echo": { websocket: false },
  "/cookie_needed_echo": { jsessionid: true },
})) {
  const echo = sockjs.createServer({ ...options, log() {} });
  echo.on("connection", (connection) => connection.on("data", (text) => connection.write(text)));
  echo.installHandlers(http, { prefix });
}

http.listen(0, "127.0.0.1", () => {
  console.log(JSON.stringify({ control: `http://127.0.0.1:${http.address().port}` }));
});
process.stdin.resume().on("end", () => process.exit(0));
