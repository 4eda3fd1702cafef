// Forms of Redis as real processes on the loopback: one server, servers with Sentinels, and a Cluster.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { Redis } from "ioredis";
import { pause } from "./run.js";

const host = "127.0.0.1";
const formTimeout = 60_000; // ms that a form has to get well
const askTimeout = 1_000; // ms that a server has to answer
const look = 50; // ms between two looks at a server

/**
 * A free port below those that the kernel gives to outgoing connections. A server comes back to its
 * port after a kill -9; meanwhile no connection may have taken it, and none may be made from the port to itself.
 */
async function steadyPort() {
  for (;;) {
    const port = 20_000 + Math.floor(Math.random() * 12_000);
    const server = createServer().listen(port, host);
    const free = await once(server, "listening").then(() => true, () => false);
    if (!free) continue;
    server.close();
    await once(server, "close");
    return port;
  }
}

/** Waits until test() returns something true, and returns that. A test that throws is false. */
export async function eventually(test, what, timeout = formTimeout) {
  let last;
  for (const end = Date.now() + timeout; Date.now() < end; await pause(look)) {
    try {
      const result = await test();
      if (result) return result;
    } catch (error) {
      last = error;
    }
  }
  throw new Error(`waited in vain for ${what}`, { cause: last });
}

/** Sends one command over a connection of its own, so that no fault of a test can hit it. */
async function ask(port, ...command) {
  const redis = new Redis({
    host, port, lazyConnect: true, retryStrategy: null, enableReadyCheck: false, disableClientInfo: true,
    connectTimeout: askTimeout, commandTimeout: askTimeout,
  });
  redis.on("error", () => {});
  try {
    await redis.connect();
    return await redis.call(...command.map(String));
  } finally {
    redis.disconnect();
  }
}

// Redis ends when the standard input is closed, so also when this process dies, and even if it is stopped.
const bounded = 'redis-server "$@" >/dev/null 2>&1 & echo $!; read -r _; kill -9 $! 2>/dev/null; wait $!';

const nothingKept = ["--save", "", "--appendonly", "no"];

/** One process of Redis, with a directory and a port that it keeps when it is started again. */
export class RedisServer {
  static async create(form, name, ...args) {
    const server = new RedisServer();
    Object.assign(server, { name, args, port: await steadyPort(), dir: join(form.dir, name) });
    mkdirSync(server.dir);
    return server;
  }

  get address() { return `${host}:${this.port}`; }

  /** Starts it; the arguments are for this time only. */
  async start(...more) {
    const args = [...this.args, "--port", this.port, "--bind", host, "--dir", this.dir, ...nothingKept,
      "--logfile", join(this.dir, "redis.log"), ...more];
    this.child = spawn("sh", ["-c", bounded, "sh", ...args.map(String)], { stdio: ["pipe", "pipe", "ignore"] });
    const [pid] = await once(createInterface({ input: this.child.stdout }), "line");
    this.pid = Number(pid);
    await eventually(() => this.ask("PING"), `${this.name} to start; is redis-server installed?`);
  }

  ask(...command) { return ask(this.port, ...command); }

  /** What INFO says, by key. */
  async info(section) {
    const text = await this.ask("INFO", section);
    return Object.fromEntries(text.split("\r\n").map((line) => line.split(/:(.*)/s, 2)));
  }

  signal(name) { process.kill(this.pid, name); }

  async stop() {
    if (!this.child) return;
    const { child } = this;
    this.child = undefined;
    child.stdin.end();
    if (child.exitCode === null) await once(child, "exit");
  }

  /** kill -9. */
  async kill() {
    this.signal("SIGKILL");
    await this.stop();
  }
}

class Form {
  constructor() {
    this.dir = mkdtempSync(join(tmpdir(), "thinkws-redis-"));
    this.servers = [];
    process.once("exit", () => rmSync(this.dir, { recursive: true, force: true }));
  }

  async add(name, ...args) {
    const server = await RedisServer.create(this, name, ...args);
    this.servers.push(server);
    return server;
  }

  async stop() { await Promise.all(this.servers.map((server) => server.stop())); }
}

const addressesOf = (servers) => servers.map(({ address }) => address).join(",");

export const user = "app"; // of the servers under test, in the single form

/** One server. Those who use it log in as a user with a password. */
export class Single extends Form {
  password = "first";

  async start() {
    this.redis = await this.add("redis");
    await this.redis.start();
    await this.redis.ask("ACL", "SETUSER", user, "on", `>${this.password}`, "~*", "&*", "+@all");
  }

  get flags() { return ["--redis", `redis://${this.redis.address}`, "--user", user, "--password", this.password]; }
}

const replicationFlags = ["--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "1"];

const replicasOnline = async (server, count) => {
  const info = await server.info("replication");
  const online = Object.keys(info).filter((key) => /^slave\d+$/.test(key) && info[key].includes("state=online"));
  return info.role === "master" && online.length >= count;
};

/** A master with two replicas, and three Sentinels. */
export class Sentinel extends Form {
  master = "bus"; // the name that the Sentinels know

  async start() {
    this.redises = [];
    for (const i of [1, 2, 3]) this.redises.push(await this.add(`redis-${i}`, ...replicationFlags));
    const [first, ...replicas] = this.redises;
    await first.start();
    await Promise.all(replicas.map((server) => server.start("--replicaof", host, first.port)));
    this.sentinels = [];
    for (const i of [1, 2, 3]) this.sentinels.push(await this.#addSentinel(`sentinel-${i}`, first.port));
    await Promise.all(this.sentinels.map((sentinel) => sentinel.start()));
    await this.healthy();
  }

  async #addSentinel(name, port) {
    const sentinel = await this.add(name);
    const file = join(sentinel.dir, "sentinel.conf");
    writeFileSync(file, [
      `sentinel monitor ${this.master} ${host} ${port} 2`,
      `sentinel down-after-milliseconds ${this.master} 1000`,
      `sentinel failover-timeout ${this.master} 3000`,
      `sentinel parallel-syncs ${this.master} 2`, "",
    ].join("\n"));
    sentinel.args = [file, "--sentinel"];
    return sentinel;
  }

  get flags() { return ["--sentinels", addressesOf(this.sentinels), "--master", this.master]; }

  /** The port of the master that all Sentinels name; undefined while they do not agree. */
  async #named() {
    const ports = await Promise.all(this.sentinels.map(async (sentinel) => (
      Number((await sentinel.ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", this.master))[1]))));
    return ports.every((port) => port === ports[0]) ? ports[0] : undefined;
  }

  async current() {
    const port = await this.#named();
    return this.redises.find((server) => server.port === port);
  }

  /** Waits until all Sentinels name another master, which answers that it is one. */
  ready(old) {
    return eventually(async () => {
      const now = await this.current();
      return now && now !== old && (await now.ask("ROLE"))[0] === "master" && now;
    }, "another master");
  }

  /** Waits until the master has both replicas, and every Sentinel knows all and sees none down. */
  async healthy() {
    await eventually(async () => {
      const now = await this.current();
      if (!now || !await replicasOnline(now, 2)) return false;
      const known = await Promise.all(this.sentinels.map(async (sentinel) => {
        const others = await sentinel.ask("SENTINEL", "SENTINELS", this.master);
        const replicas = await sentinel.ask("SENTINEL", "REPLICAS", this.master);
        const flags = [...others, ...replicas].map((one) => one[one.indexOf("flags") + 1]);
        const well = flags.every((flag) => flag === "sentinel" || flag === "slave");
        return others.length === 2 && replicas.length === 2 && well;
      }));
      return known.every(Boolean);
    }, "a healthy group of Sentinels");
  }
}

/** Three masters with a replica each. */
export class Cluster extends Form {
  async start() {
    const flags = ["--cluster-enabled", "yes", "--cluster-node-timeout", "1500", ...replicationFlags];
    for (let i = 1; i <= 6; i++) await this.add(`node-${i}`, ...flags, "--cluster-port", await steadyPort());
    await Promise.all(this.servers.map((server) => server.start()));
    await this.#create();
    await this.healthy();
  }

  async #create() {
    const addresses = this.servers.map(({ address }) => address);
    const args = ["--cluster", "create", ...addresses, "--cluster-replicas", "1", "--cluster-yes"];
    const child = spawn("redis-cli", args, { stdio: ["ignore", "pipe", "pipe"] });
    let output = "";
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (data) => { output += data; });
    const [code] = await once(child, "close");
    if (code !== 0) throw new Error(`redis-cli ended with ${code}: ${output}`);
  }

  get flags() { return ["--redis-cluster", addressesOf(this.servers)]; }

  get alive() { return this.servers.filter(({ child }) => child); }

  async masters() {
    const roles = await Promise.all(this.alive.map((server) => server.ask("ROLE")));
    return this.alive.filter((_, i) => roles[i][0] === "master");
  }

  /** The master of a slot that a server knows. */
  async #owner(server, slot) {
    const ranges = await server.ask("CLUSTER", "SLOTS");
    const range = ranges.find(([first, last]) => first <= slot && slot <= last);
    return range && this.servers.find(({ port }) => port === range[2][1]);
  }

  /** The master of a slot that all servers know; undefined while they do not agree. */
  async owner(slot) {
    const owners = await Promise.all(this.alive.map((server) => this.#owner(server, slot)));
    return owners.every((one) => one === owners[0]) ? owners[0] : undefined;
  }

  async #ok() {
    const infos = await Promise.all(this.alive.map((server) => server.ask("CLUSTER", "INFO")));
    return infos.every((info) => info.includes("cluster_state:ok"));
  }

  /** Waits until CLUSTER INFO says ok everywhere, and all know a master of the slot that is not the old one. */
  ready(slot, old) {
    return eventually(async () => {
      const now = await this.#ok() && await this.owner(slot);
      return now && now !== old && (await now.ask("ROLE"))[0] === "master" && now;
    }, "another master of the slot");
  }

  async someSlotOf(master) {
    const ranges = await master.ask("CLUSTER", "SLOTS");
    return ranges.find((range) => range[2][1] === master.port)[0];
  }

  /** A replica of a master that is in step with it. */
  async replicaOf(master) {
    for (const server of this.alive) {
      const [role, , port, state] = await server.ask("ROLE");
      if (role === "slave" && port === master.port && state === "connected") return server;
    }
    return undefined;
  }

  /** Waits until every server is up and every master has its replica. */
  async healthy() {
    await eventually(async () => {
      if (this.alive.length < this.servers.length || !await this.#ok()) return false;
      const masters = await this.masters();
      const replicas = await Promise.all(masters.map((master) => replicasOnline(master, 1)));
      return masters.length === 3 && replicas.every(Boolean);
    }, "a healthy Cluster");
  }
}
