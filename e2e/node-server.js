// The oracle: Node's own socket.io 4 server, with support for 2.x clients, behind the
// actions that server/main.go implements on thinkws. What differs between the two is
// what a user who moves from one to the other would notice.
import { createServer } from "node:http";
import { Server } from "socket.io";
import { serveControl } from "./lib/control-server.js";

const askTimeout = 1_000; // ms that a client has to answer a question of the server

/** One Socket.IO server on a free port of the loopback. */
class Instance {
  static async create({ pingInterval = 25_000, pingTimeout = 20_000, maxMessage = 1e6 }) {
    const instance = new Instance();
    instance.http = createServer();
    instance.http.on("connection", (socket) => {
      instance.connections.add(socket);
      socket.on("close", () => instance.connections.delete(socket));
    });
    instance.io = new Server(instance.http, { allowEIO3: true, pingInterval, pingTimeout, maxHttpBufferSize: maxMessage });
    for (const name of ["/", "/chat"]) instance.serve(instance.io.of(name));
    instance.guard("/guarded", "not allowed", { code: 401, hint: ["a", 1] });
    instance.guard("/closed", "closed today");
    await new Promise((resolve) => instance.http.listen(0, "127.0.0.1", resolve));
    return instance;
  }

  constructor() {
    this.connections = new Set();
    this.lines = []; // what happened, for scenarios to look at
  }

  get url() { return `http://127.0.0.1:${this.http.address().port}`; }

  cut() { for (const socket of this.connections) socket.destroy(); }

  async shutdown() { await this.io.close(); }

  async remove() {
    this.cut();
    if (this.http.listening) await this.io.close();
  }

  emit({ namespace = "/", room, event, args }) {
    const nsp = this.io.of(namespace);
    (room ? nsp.to(room) : nsp).emit(event, ...args);
  }

  /** A namespace that lets in who knows the token. */
  guard(name, message, data) {
    const nsp = this.io.of(name);
    nsp.use((socket, next) => {
      const { auth, query } = socket.handshake;
      if (auth.token === "good" || query.token === "good") return next();
      const error = new Error(message);
      if (data) error.data = data;
      next(error);
    });
    this.serve(nsp);
  }

  serve(nsp) {
    nsp.on("connection", (socket) => {
      const tag = socket.handshake.query.tag;
      this.lines.push(`${tag} ${nsp.name} open`);
      socket.on("disconnect", (reason) => this.lines.push(`${tag} ${nsp.name} close: ${reason}`));
      const all = actions(nsp, socket);
      for (const [event, action] of Object.entries(all)) socket.on(event, action);
    });
  }
}

/** Query parameters that are Engine.IO's own. */
const engineKeys = new Set(["EIO", "transport", "sid", "t", "j", "b64"]);

function actions(nsp, socket) {
  return {
    whoami(ack) {
      const { auth, query } = socket.handshake;
      const own = Object.entries(query).filter(([key]) => !engineKeys.has(key));
      ack({ auth, query: Object.fromEntries(own), namespace: nsp.name, transport: socket.conn.transport.name });
    },

    echo: (...args) => socket.emit("echo", ...args),
    echoAck: (...args) => args.pop()(...args),
    binary: (data) => socket.emit("binary", data),
    binaryAck: (data, ack) => ack(data),
    nested: (document) => socket.emit("nested", document),
    nestedAck: (document, ack) => ack(document),
    mixed: (text, a, map, b) => socket.emit("mixed", text, a, map, b),
    mixedAck: (text, a, map, b, ack) => ack(text, a, map, b),

    ask: (...args) => socket.timeout(askTimeout).emit("question", ...args, (error, ...answer) => {
      if (error) socket.emit("unanswered");
      else socket.emit("answered", ...answer);
    }),
    askBinary: (data) => socket.timeout(askTimeout).emit("question", data, (error, answer) => {
      socket.emit("answeredBinary", answer);
    }),
    async askRoom(room, ack) {
      nsp.to(room).timeout(askTimeout).emit("question", "room", (error, answers) => {
        ack({ complete: !error, answers: answers.sort() });
      });
    },

    join(room, ack) { socket.join(room); ack(); },
    leave(room, ack) { socket.leave(room); ack(); },
    rooms: (ack) => ack([...socket.rooms].filter((room) => room !== socket.id).sort()),
    shout({ how, room, text }, ack) {
      const target = {
        all: () => nsp,
        others: () => socket.broadcast,
        room: () => nsp.to(room),
        othersInRoom: () => socket.to(room),
        except: () => nsp.except(room),
        binary: () => nsp,
      }[how]();
      target.emit("shout", how === "binary" ? Buffer.from(text) : text);
      ack();
    },

    one(n) { nsp.to(socket.id).volatile.emit("volatile", n); },
    burst(n, ack) {
      for (let i = 0; i < n; i++) nsp.to(socket.id).volatile.emit("volatile", i);
      ack();
    },
    pour({ messages, size, large }) {
      for (let i = 0; i < messages; i++) socket.emit("poured", i, "x".repeat(size));
      socket.emit("poured", messages, "y".repeat(large));
    },
    count(n) { for (let i = 0; i < n; i++) socket.emit("number", i); },

    moveAll(room, ack) { nsp.socketsJoin(room); ack(); },
    kick: (whole) => socket.disconnect(whole),
    kickRoom: (room) => nsp.in(room).disconnectSockets(),

    forbidden: (ack) => ack({ error: { name: "Forbidden", message: "not you" } }),
    broken: (ack) => ack({ error: { name: "Internal", message: "internal error" } }),
  };
}

serveControl((options) => Instance.create(options));
