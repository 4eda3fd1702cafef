// The oracle for SockJS: npm's own server, behind the commands that server/sockjs.go
// implements on thinkws for clients that speak raw strings.
import { createServer } from "node:http";
import sockjs from "sockjs";
import { serveControl } from "./lib/control-server.js";

const prefix = "/strings";

/** One SockJS server on a free port of the loopback. */
class Instance {
  static async create({ sockjs: { disconnectDelay = 5_000, heartbeatDelay = 25_000, noWebSocket = false } = {}, requireOrigin }) {
    const instance = new Instance();
    instance.http.on("connection", (socket) => {
      instance.sockets.add(socket);
      socket.on("close", () => instance.sockets.delete(socket));
    });
    const server = sockjs.createServer({
      prefix, disconnect_delay: disconnectDelay, heartbeat_delay: heartbeatDelay, websocket: !noWebSocket, log() {},
    });
    server.on("connection", (connection) => instance.serve(connection));
    const serve = server.middleware();
    instance.http.on("upgrade", serve);
    instance.http.on("request", (req, res) => {
      // npm's server knows no origins. This is what a proxy in front of it would say.
      if (requireOrigin && !req.headers.origin && !req.headers.referer) res.writeHead(403).end();
      else if (!serve(req, res)) res.writeHead(404).end();
    });
    await new Promise((resolve) => instance.http.listen(0, "127.0.0.1", resolve));
    return instance;
  }

  constructor() {
    this.http = createServer();
    this.sockets = new Set();
    this.connections = new Set(); // of SockJS
    this.lines = []; // what happened, for scenarios to look at
  }

  get url() { return `http://127.0.0.1:${this.http.address().port}`; }

  cut() { for (const socket of this.sockets) socket.destroy(); }

  shutdown() { for (const connection of this.connections) connection.close(1001, "server shutting down"); }

  remove() {
    this.cut();
    this.http.close();
  }

  emit({ args }) { this.all(args[0]); }

  all(text) { for (const connection of this.connections) connection.write(text); }

  serve(connection) {
    const query = new URL(connection.url, "http://here").searchParams;
    if (query.get("nsp") === "/closed") {
      connection.close(1008, "closed today");
      return;
    }
    const tag = query.get("tag");
    this.lines.push(`${tag} open`);
    this.connections.add(connection);
    connection.on("data", (text) => this.message(connection, tag, text));
    connection.on("close", () => {
      this.connections.delete(connection);
      this.lines.push(`${tag} close`);
    });
  }

  message(connection, tag, text) {
    const [, command, argument] = text.match(/^(\S*) ?([^]*)$/);
    switch (command) {
      case "#close": return connection.close();
      case "#all": return this.all(argument);
      case "#count":
        for (let i = 0; i < Number(argument); i++) connection.write(String(i));
        return undefined;
      case "#pour": {
        const [messages, size, large] = argument.split(" ").map(Number);
        for (let i = 0; i < messages; i++) connection.write(`${i}${"x".repeat(size)}`);
        connection.write("y".repeat(large));
        return undefined;
      }
      case "#log": return this.lines.push(`${tag} says ${argument}`);
      default: return connection.write(text);
    }
  }
}

serveControl((options) => Instance.create(options));
