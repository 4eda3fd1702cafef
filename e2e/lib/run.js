// What a scenario gets: an instance of a server, clients for it, and the record of
// what all of them saw.
import { Connection } from "./client.js";

export class Run {
  constructor(instance, version, transport) {
    this.instance = instance;
    this.version = version;
    this.transport = transport;
    this.connections = [];
    this.sockets = []; // [name in the outcome, socket]
    this.notes = {};
  }

  /** A new connection; nothing is opened yet. */
  connection(tag = "a", { version = this.version, query, options } = {}) {
    const connection = new Connection(this.instance.url, { version, transport: this.transport, tag, query, options });
    this.connections.push(connection);
    return connection;
  }

  /** Opens a namespace of a connection and returns at once. */
  open(connection, namespace = "/", options = {}) {
    const socket = connection.open(namespace, options);
    this.sockets.push([`${connection.tag} ${namespace}`, socket]);
    return socket;
  }

  /** A client in a namespace that is connected and, where it upgrades, upgraded. */
  async client(tag = "a", { namespace = "/", ...options } = {}) {
    const connection = this.connection(tag, options);
    const socket = this.open(connection, namespace, options);
    await socket.connected();
    await this.settled(connection);
    return socket;
  }

  /** Waits for the upgrade where there is one. */
  async settled(connection) {
    if (this.transport === "upgrade") await connection.upgraded();
  }

  note(name, value) { this.notes[name] = value; }

  /**
   * Adds what the server saw to the outcome, as soon as there are that many lines. They
   * are sorted within each part: namespaces of one connection come and go in any order.
   */
  async server(...parts) {
    const count = parts.reduce((sum, n) => sum + n, 0);
    const lines = await this.instance.log(count);
    let start = 0;
    const sorted = parts.map((n) => lines.slice(start, start += n).sort());
    this.note("server", [...sorted, lines.slice(start)].flat());
  }

  outcome() {
    const logs = this.sockets.map(([name, socket]) => [name, socket.log]);
    return JSON.parse(JSON.stringify({ ...Object.fromEntries(logs), ...this.notes }));
  }

  close() {
    for (const connection of this.connections) connection.close();
  }
}

export const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
