// A node with socket.io 4 and @socket.io/redis-adapter 8, or its predecessor socket.io-redis 6.
import { createAdapter } from "@socket.io/redis-adapter";
import { Redis } from "ioredis";
import { createClient } from "redis";
import { Server } from "socket.io";
import createAdapter6 from "socket.io-redis-v6";
import * as forms from "./ioredis.js";
import { Traffic } from "./traffic.js";
import { revive } from "./values.js";

export const namespaces = ["/", "/chat", "/a*b", "/axxb", "/z*[b]", "/zxb"];

async function connect(client, url) {
  if (client === "ioredis") return new Redis(url);
  const redis = createClient({ url });
  redis.on("error", (error) => console.error(error));
  return redis.connect();
}

async function adapter8({ redis, prefix, client, specific }) {
  const [pub, sub] = await Promise.all([connect(client, redis), connect(client, redis)]);
  return createAdapter(pub, sub, { key: prefix, publishOnSpecificResponseChannel: specific, requestsTimeout: 2_000 });
}

function adapter6({ redis, prefix }) {
  const { hostname: host, port } = new URL(redis);
  return createAdapter6({ host, port, key: prefix, requestsTimeout: 2_000 });
}

const serverOptions = { allowEIO3: true, perMessageDeflate: { threshold: 1_000 } };

export class Node4 {
  static async create(http, flags) {
    if (flags.traffic) return Node4.#withTraffic(http, flags);
    const adapter = flags.adapter === "6" ? adapter6(flags) : await adapter8(flags);
    return new Node4(new Server(http, { adapter, ...serverOptions }));
  }

  /** A server for the failover tests: it publishes at a steady rate, to any form of Redis. */
  static #withTraffic(http, flags) {
    const connections = forms.connect(flags);
    const io = new Server(http, serverOptions);
    const traffic = new Traffic(io, connections.pub); // before the adapter takes the connection
    io.adapter(createAdapter(connections.pub, connections.sub, { key: flags.prefix, requestsTimeout: 2_000 }));
    return Object.assign(new Node4(io), { connections, trafficSource: traffic });
  }

  constructor(io) {
    this.io = io;
    this.heard = []; // what other nodes have said to this one
    for (const name of namespaces) this.#serve(io.of(name));
  }

  #serve(nsp) {
    nsp.on("tell", (...args) => this.heard.push({ namespace: nsp.name, event: "tell", args }));
    nsp.on("ask", (...args) => {
      const ack = args.pop();
      this.heard.push({ namespace: nsp.name, event: "ask", args });
      if (typeof ack === "function") ack({ of: "node", args });
    });
    nsp.on("connection", (socket) => {
      socket.on("id", (ack) => ack(socket.id));
      socket.on("join", (room, ack) => { socket.join(room); ack(); });
      socket.on("leave", (room, ack) => { socket.leave(room); ack(); });
      socket.on("data", (data, ack) => { Object.assign(socket.data, data); ack(); });
      socket.on("say", ({ room, text }, ack) => {
        (room ? socket.to(room) : socket.broadcast).emit("said", text);
        ack();
      });
    });
  }

  #target({ namespace = "/", rooms = [], except = [], volatile, local, compress }) {
    let target = this.io.of(namespace).in(rooms).except(except);
    if (volatile) target = target.volatile;
    if (local) target = target.local;
    return compress === undefined ? target : target.compress(compress);
  }

  emit(command) { this.#target(command).emit(command.event, ...revive(command.args ?? [])); }

  join(command) { this.#target(command).socketsJoin(command.names); }

  leave(command) { this.#target(command).socketsLeave(command.names); }

  disconnect(command) { this.#target(command).disconnectSockets(command.close); }

  publish({ rooms, from, first, count }) {
    for (let i = first; i < first + count; i++) this.io.to(rooms[i % rooms.length]).emit("news", [from, i]);
  }

  traffic(command) { this.trafficSource.start(command); }

  burst(command) { this.trafficSource.burst(command); }

  endTraffic() { return this.trafficSource.end(); }

  password({ password }) { forms.setPassword(this.connections, password); }

  emitAck(command) {
    return new Promise((resolve) => {
      const target = this.#target(command).timeout(command.timeout);
      target.emit(command.event, ...revive(command.args ?? []), (error, answers) => resolve({ answers, error: error?.message }));
    });
  }

  async sockets(command) {
    const sockets = await this.#target(command).fetchSockets();
    return {
      sockets: sockets.map(({ id, rooms, data, handshake: { auth, headers, query, address } }) => (
        { id, rooms: [...rooms], data, auth, headers, query, address })),
    };
  }

  async rooms({ namespace = "/" }) { return [...await this.io.of(namespace).adapter.allRooms()]; }

  // These are of adapter 6: about one client, and answered by the node that has it.

  async ids({ namespace = "/", rooms = [] }) { return [...await this.io.of(namespace).adapter.sockets(new Set(rooms))]; }

  remoteJoin({ namespace = "/", id, room }) { return this.io.of(namespace).adapter.remoteJoin(id, room); }

  remoteLeave({ namespace = "/", id, room }) { return this.io.of(namespace).adapter.remoteLeave(id, room); }

  remoteDisconnect({ namespace = "/", id, close }) { return this.io.of(namespace).adapter.remoteDisconnect(id, close); }

  serverEmit({ namespace = "/", event, args }) { this.io.of(namespace).serverSideEmit(event, ...revive(args)); }

  serverEmitAck({ namespace = "/", event, args }) {
    return new Promise((resolve) => {
      this.io.of(namespace).serverSideEmit(event, ...revive(args), (error, answers) => {
        resolve({ answers, error: error?.message });
      });
    });
  }

  count() { return namespaces.reduce((sum, name) => sum + this.io.of(name).sockets.size, 0); }

  events() { return this.heard.splice(0); }
}
