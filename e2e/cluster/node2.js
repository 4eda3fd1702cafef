// A node with socket.io 2 and socket.io-redis 5.
import { createRequire } from "node:module";
import { namespaces } from "./node4.js";
import { revive } from "./values.js";

const require = createRequire(import.meta.url);
const redisAdapter = require("socket.io-redis");
const listen = require("socket.io-v2");

export class Node2 {
  static async create(http, { redis, prefix }) {
    const { hostname: host, port } = new URL(redis);
    return new Node2(listen(http, { adapter: redisAdapter({ host, port, key: prefix, requestsTimeout: 2_000 }) }));
  }

  constructor(io) {
    this.io = io;
    for (const name of namespaces) io.of(name).on("connection", serve);
  }

  #target({ namespace = "/", rooms = [], volatile, local, compress }) {
    let target = rooms.reduce((to, room) => to.in(room), this.io.of(namespace));
    if (volatile) target = target.volatile;
    if (local) target = target.local;
    return compress === undefined ? target : target.compress(compress);
  }

  emit(command) { this.#target(command).emit(command.event, ...revive(command.args ?? [])); }

  count() { return namespaces.reduce((sum, name) => sum + Object.keys(this.io.of(name).connected).length, 0); }

  /** Calls a method of the adapter that takes a callback. */
  #ask(method, { namespace = "/" }, ...args) {
    return new Promise((resolve, reject) => {
      this.io.of(namespace).adapter[method](...args, (error, result) => (error ? reject(error) : resolve(result)));
    });
  }

  clients(command) {
    return new Promise((resolve, reject) => {
      this.#target(command).clients((error, ids) => (error ? reject(error) : resolve(ids)));
    });
  }

  rooms(command) { return this.#ask("allRooms", command); }

  clientRooms(command) { return this.#ask("clientRooms", command, command.id); }

  remoteJoin(command) { return this.#ask("remoteJoin", command, command.id, command.room); }

  remoteLeave(command) { return this.#ask("remoteLeave", command, command.id, command.room); }

  remoteDisconnect(command) { return this.#ask("remoteDisconnect", command, command.id, command.close); }

  custom(command) { return this.#ask("customRequest", command, command.data); }
}

function serve(socket) {
  socket.on("id", (ack) => ack(socket.id));
  socket.on("join", (room, ack) => socket.join(room, () => ack()));
  socket.on("leave", (room, ack) => socket.leave(room, () => ack()));
  socket.on("say", ({ room, text }, ack) => {
    (room ? socket.to(room) : socket.broadcast).emit("said", text);
    ack();
  });
}
