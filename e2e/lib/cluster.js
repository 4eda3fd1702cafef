// The parts of a cluster: a Redis, nodes of either language as processes, emitters, and
// clients behind one face.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { Emitter } from "@socket.io/redis-emitter";
import { createClient } from "redis";
import emitter3 from "socket.io-emitter";
import { revive } from "../cluster/values.js";
import { Connection, until } from "./client.js";
import { ServerProcess } from "./control.js";
import { sockParty, webSocketParty } from "./party.js";
import { pause } from "./run.js";

const requestTimeout = 15_000; // ms
const redisTimeout = 30_000; // ms that Redis has to start

async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
}

/** Whether somebody listens. */
function answers(port) {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("connect", () => { socket.destroy(); resolve(true); });
    socket.once("error", () => resolve(false));
  });
}

// It ends when its standard input is closed, so also when this process dies.
const bounded = 'redis-server "$@" & read -r _; kill $!; wait $!';

/** A Redis of our own, unless there is one already. */
export class RedisProcess {
  static async start(url) {
    const redis = new RedisProcess();
    redis.url = url;
    if (url) return redis;
    const port = await freePort();
    redis.url = `redis://127.0.0.1:${port}`;
    redis.child = spawn("sh", ["-c", bounded, "sh", "--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"],
      { stdio: ["pipe", "ignore", "ignore"] });
    for (const end = Date.now() + redisTimeout; !await answers(port); await pause(20)) {
      if (Date.now() > end) throw new Error("redis-server did not start in time; is it installed?");
    }
    return redis;
  }

  async stop() {
    if (!this.child) return;
    this.child.stdin.end();
    if (this.child.exitCode === null) await once(this.child, "exit");
  }
}

/** Reports whether no thread of the process runs: proc_pid_stat(5), "state". */
function allThreadsStopped(pid) {
  const tasks = `/proc/${pid}/task`;
  try {
    return readdirSync(tasks).every((thread) => /\) T [^)]*$/.test(readFileSync(`${tasks}/${thread}/stat`, "latin1")));
  } catch {
    return false; // a thread ended meanwhile
  }
}

/** One node. */
export class ClusterNode {
  static async start(name, command, args, { version = "v4" } = {}) {
    const node = new ClusterNode();
    Object.assign(node, { name, version }); // version: of the clients that it has
    node.process = await ServerProcess.start(name, command, args);
    node.url = node.process.base;
    return node;
  }

  get isGo() { return this.name.startsWith("go"); }

  async do(what, command = {}) {
    const answer = await fetch(`${this.url}/do`, {
      method: "POST",
      body: JSON.stringify({ namespace: "/", do: what, ...command }),
      signal: AbortSignal.timeout(requestTimeout),
    });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${this.name}: ${what}: ${text}`);
    return JSON.parse(text);
  }

  /** Waits until it has no clients. */
  async empty() {
    for (const end = Date.now() + requestTimeout; await this.do("count") > 0; await pause(5)) {
      if (Date.now() > end) throw new Error(`clients do not leave ${this.name}`);
    }
  }

  async stop() {
    this.process.over = true;
    await this.process.stop();
  }

  signal(name) { this.process.child.kill(name); }

  /** Stops it until SIGCONT. The signal alone is not enough: on a busy machine, threads run on for a while. */
  async hang() {
    this.signal("SIGSTOP");
    for (const end = Date.now() + requestTimeout; !allThreadsStopped(this.process.child.pid); await pause(1)) {
      if (Date.now() > end) throw new Error(`${this.name} does not stop`);
    }
  }

  /** Ends it in a way that is not its own. */
  async kill(name) {
    this.process.over = true;
    this.signal(name);
    await this.process.ended;
  }
}

/** The emitter of a Go node, which does not go by its bus. */
export class GoEmitter {
  constructor(node) {
    Object.assign(this, { name: "Go's emitter", node, isGo: true });
  }

  do(what, command) { return this.node.do(what, { ...command, emitter: true }); }
}

/** @socket.io/redis-emitter 5. */
export class Emitter5 {
  static async create(url, prefix) {
    const emitter = new Emitter5();
    emitter.name = "emitter 5";
    emitter.redis = await createClient({ url }).connect();
    emitter.io = new Emitter(emitter.redis, { key: prefix });
    return emitter;
  }

  #target({ namespace, rooms = [], except = [], volatile, compress }) {
    let target = this.io;
    if (namespace) target = target.of(namespace);
    target = target.in(rooms).except(except);
    if (volatile) target = target.volatile;
    return compress === undefined ? target : target.compress(compress);
  }

  async do(what, command) {
    const target = this.#target(command);
    switch (what) {
      case "emit": return target.emit(command.event, ...revive(command.args ?? []));
      case "join": return target.socketsJoin(command.names);
      case "leave": return target.socketsLeave(command.names);
      case "disconnect": return target.disconnectSockets(command.close);
      case "serverEmit": return this.io.of(command.namespace ?? "/").serverSideEmit(command.event, ...revive(command.args));
      default: throw new Error(`an emitter cannot ${what}`);
    }
  }

  close() { return this.redis.close(); }
}

/** socket.io-emitter 3. */
export class Emitter3 {
  constructor(url, prefix) {
    const { hostname: host, port } = new URL(url);
    this.name = "emitter 3";
    this.io = emitter3({ host, port: Number(port), key: prefix });
  }

  async do(what, { namespace = "/", rooms = [], volatile, event, args = [] }) {
    if (what !== "emit") throw new Error(`socket.io-emitter 3 cannot ${what}`);
    let target = rooms.reduce((to, room) => to.in(room), this.io.of(namespace));
    if (volatile) target = target.volatile;
    target.emit(event, ...revive(args));
  }

  close() { this.io.redis.quit(); }
}

/** A client of Socket.IO; a server's questions it answers with its name. */
class SocketIOClient {
  static async open(node, { name, namespace = "/", version = node.version, transport = "websocket", auth, query, options }) {
    const connection = new Connection(node.url, { version, transport, tag: name, query, options });
    const client = new SocketIOClient(name, connection, connection.open(namespace, { auth }));
    await client.socket.connected();
    return client;
  }

  constructor(name, connection, socket) {
    Object.assign(this, { name, connection, socket });
    socket.answer = () => [name];
  }

  async call(...args) { return (await this.socket.call(...args))[0]; }

  emit(...args) { this.socket.emit(...args); }

  /** What has come of an event: its argument, or the list of them if there is not one. */
  events(name) {
    return this.socket.log.filter((line) => line[0] === "event" && line[1] === name)
      .map((line) => line.slice(2).filter((arg) => arg !== "(ack)"))
      .map((args) => (args.length > 1 ? args : args[0]));
  }

  get gone() { return this.socket.log.some(([kind]) => kind === "disconnect"); }

  clear() { this.socket.log.length = 0; }

  close() { this.connection.close(); }
}

/** A client that speaks JSON events. */
async function jsonClient(node, { name, namespace = "/", kind, transport = "websocket" }) {
  const party = kind === "sockjs"
    ? await sockParty(name, `${node.url}/sockjs?nsp=${encodeURIComponent(namespace)}`, { version: "1.6.1", transport })
    : await webSocketParty(name, `${node.url}/ws?nsp=${encodeURIComponent(namespace)}`);
  party.json = true;
  party.raw = (text) => (party.sock ?? party.ws).send(text);
  if (party.sock) Object.defineProperty(party, "gone", { get: () => party.sock.closed });
  else party.ws.once("close", () => { party.gone = true; });
  party.clear = () => { party.frames.length = 0; };
  return party;
}

/** Lets a client in, and into rooms. */
export async function openClient(node, { rooms = [], data, ...options }) {
  const client = options.kind ? await jsonClient(node, options) : await SocketIOClient.open(node, options);
  client.node = node;
  client.id = await client.call("id");
  for (const room of rooms) await client.call("join", room);
  if (data) await client.call("data", data);
  return client;
}

/** Sends clients home, and waits until their nodes know. */
export async function closeClients(clients) {
  for (const client of clients) client.close();
  const nodes = new Set(clients.map(({ node }) => node).filter(({ process }) => !process.over));
  await Promise.all([...nodes].map((node) => node.empty()));
}

let fences = 0;

/**
 * Waits until all clients of a namespace have got what the publisher has sent so far: what
 * has not come by then does not come.
 */
export async function fence(publisher, clients, namespace = "/") {
  const number = ++fences;
  await publisher.do("emit", { namespace, event: "fence", args: [number] });
  await Promise.all(clients.map((client) => (
    until(() => client.events("fence").includes(number), `${client.name} of ${client.node.name} to get fence ${number} of ${publisher.name}`))));
}
