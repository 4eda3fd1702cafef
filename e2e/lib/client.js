// One client of either line, 2.x or 4.x, behind one face: it records what a user of
// socket.io-client would see, in order, as plain JSON.
import { createHash } from "node:crypto";
import { io as io4 } from "socket.io-client";
import io2 from "socket.io-client-v2";

const waitTimeout = 100_000; // ms, for busy machines
const libraries = { v2: io2, v4: io4 };
const transports = { polling: ["polling"], websocket: ["websocket"], upgrade: ["polling", "websocket"] };

/** Turns a value that a client received into JSON that can be compared: binary as hex, long ones as a digest. */
export function plain(value) {
  if (value instanceof ArrayBuffer) return bytes(Buffer.from(value));
  if (ArrayBuffer.isView(value)) return bytes(Buffer.from(value.buffer, value.byteOffset, value.byteLength));
  if (typeof value === "string" && value.length > 500) return { string: digest(value), length: value.length };
  if (typeof value === "function") return "(ack)";
  if (Array.isArray(value)) return value.map(plain);
  if (value && typeof value === "object") {
    return Object.fromEntries(Object.entries(value).map(([key, v]) => [key, plain(v)]));
  }
  return value;
}

const bytes = (data) => (data.length > 64 ? { binary: digest(data), length: data.length } : { hex: data.toString("hex") });
const digest = (data) => createHash("sha256").update(data).digest("hex").slice(0, 16);

/** Waits until test() is true, or fails. */
export async function until(test, what) {
  const end = Date.now() + waitTimeout;
  while (!test()) {
    if (Date.now() > end) throw new Error(`waited in vain for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** A connection to the server; its namespaces are opened by open(). */
export class Connection {
  constructor(url, { version, transport, tag, query, options }) {
    this.version = version;
    this.tag = tag;
    const { Manager } = libraries[version];
    this.manager = new Manager(url, {
      transports: transports[transport],
      reconnection: false,
      reconnectionDelay: 20,
      reconnectionDelayMax: 50,
      randomizationFactor: 0,
      autoConnect: false,
      query: { tag, ...query },
      ...options,
    });
    this.sockets = [];
  }

  /** Opens a namespace and returns at once. auth is for 4.x clients, query for 2.x ones. */
  open(namespace = "/", { auth, query } = {}) {
    const options = this.version === "v4" ? { auth } : { query };
    const socket = new Socket(this, this.manager.socket(namespace, options));
    this.sockets.push(socket);
    socket.io.open();
    return socket;
  }

  /** The name of the transport in use. */
  get transport() { return this.manager.engine.transport.name; }

  async upgraded() {
    await until(() => this.transport === "websocket" && !this.manager.engine.upgrading, "the upgrade");
  }

  close() {
    for (const socket of this.sockets) socket.io.close();
    this.manager.reconnection(false);
    this.manager.engine?.close();
  }
}

/** A namespace of a connection, with a log of what came. */
export class Socket {
  constructor(connection, socket) {
    this.connection = connection;
    this.io = socket;
    this.log = [];
    this.answer = undefined; // how it answers questions of the server: (args) => answer arguments
    this.connects = 0;
    this.#record();
  }

  #record() {
    this.io.on("connect", () => {
      this.connects++;
      this.log.push(["connect"]);
    });
    this.io.on("disconnect", (reason) => this.log.push(["disconnect", reason]));
    if (this.connection.version === "v4") {
      this.io.on("connect_error", (error) => this.log.push(["refused", plain({ message: error.message, data: error.data })]));
      this.io.onAny((...args) => this.#event(args));
      return;
    }
    this.io.on("error", (error) => this.log.push(["refused", plain(error)]));
    const onevent = this.io.onevent;
    this.io.onevent = (packet) => {
      const args = packet.data.slice();
      if (packet.id !== undefined && packet.id !== null) args.push(this.io.ack(packet.id));
      this.#event(args);
      onevent.call(this.io, packet);
    };
  }

  #event(args) {
    this.log.push(["event", ...plain(args)]);
    const ack = args.at(-1);
    if (typeof ack === "function" && this.answer) ack(...this.answer(args.slice(1, -1)));
  }

  async connected(times = 1) { await until(() => this.connects >= times, `${this.io.nsp} to connect`); }

  emit(...args) { this.io.emit(...args); }

  /** Emits, waits for the ack and records it. */
  call(...args) {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`no ack for ${args[0]}`)), waitTimeout);
      this.io.emit(...args, (...answer) => {
        clearTimeout(timer);
        this.log.push(["ack", args[0], ...plain(answer)]);
        resolve(answer);
      });
    });
  }

  /** Waits until that many lines of a kind (and event name) are in the log. */
  async seen(kind, name, count = 1) {
    const matches = (line) => line[0] === kind && (name === undefined || line[1] === name);
    await until(() => this.log.filter(matches).length >= count, `${count} × ${kind} ${name ?? ""}`);
  }
}
