// Several nodes, each a process of its own, and what is in front of them.
import { spawn } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import net from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { pause } from "./run.js";

const startTimeout = 60_000; // ms
const ids = ["n1aB", "n2aB", "n3aB"];
const configurations = path.join(import.meta.dirname ?? path.dirname(new URL(import.meta.url).pathname), "../../stickiness/fronts");

/** A port of the loopback that nobody listens on. */
export function freePort() {
  return new Promise((resolve, reject) => {
    const server = net.createServer().on("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

export async function listens(port, what) {
  const end = Date.now() + startTimeout;
  while (Date.now() < end) {
    const open = await new Promise((resolve) => {
      const socket = net.connect(port, "127.0.0.1", () => { socket.destroy(); resolve(true); });
      socket.on("error", () => resolve(false));
    });
    if (open) return;
    await pause(20);
  }
  throw new Error(`${what} does not listen`);
}

export class Process {
  constructor(program, args) {
    this.errors = "";
    this.child = spawn(program, args, { stdio: ["pipe", "ignore", "pipe"] });
    this.child.stderr.on("data", (text) => (this.errors += text));
    this.ended = new Promise((resolve) => {
      this.child.on("exit", resolve);
      this.child.on("error", (error) => { this.errors += error; resolve(); });
    });
  }

  async stop(signal) {
    this.child.stdin.end();
    if (signal) this.child.kill(signal);
    const late = setTimeout(() => this.child.kill("SIGKILL"), 8_000);
    await this.ended;
    clearTimeout(late);
  }
}

export class Cluster {
  /** Starts three nodes with arguments of the program; sticky says what the front does with SockJS. */
  static async start(program, { sticky = false, args = [] } = {}) {
    const cluster = new Cluster();
    cluster.program = program;
    cluster.args = sticky ? ["-sticky", ...args] : args;
    cluster.ports = [];
    for (const _ of ids) cluster.ports.push(await freePort());
    cluster.list = ids.map((id, i) => `${id}=http://127.0.0.1:${cluster.ports[i]}`).join(",");
    cluster.nodes = new Map();
    cluster.fronts = [];
    for (const id of ids) await cluster.startNode(id);
    return cluster;
  }

  async startNode(id) {
    const port = this.ports[ids.indexOf(id)];
    this.nodes.set(id, new Process(this.program, ["-id", id, "-addr", `127.0.0.1:${port}`, "-nodes", this.list, ...this.args]));
    await listens(port, `node ${id}`);
  }

  /** kill -9. */
  async kill(id) {
    this.nodes.get(id).child.kill("SIGKILL");
    await this.nodes.get(id).ended;
    this.nodes.delete(id);
  }

  /** Requests that the nodes have sent to each other. */
  async forwarded() {
    let sum = 0;
    for (const id of this.nodes.keys()) {
      const answer = await fetch(`http://127.0.0.1:${this.ports[ids.indexOf(id)]}/stats`);
      sum += (await answer.json()).forwarded;
    }
    return sum;
  }

  /** Starts a load balancer with one of the configurations in front of three ports, and returns its URL. */
  async front(program, file, ports = this.ports) {
    const port = await freePort();
    let text = await readFile(path.join(configurations, file), "utf8");
    text = text.replaceAll("127.0.0.1:8360", `127.0.0.1:${port}`);
    ports.forEach((node, i) => (text = text.replaceAll(`127.0.0.1:836${i + 1}`, `127.0.0.1:${node}`)));
    this.dir = await mkdtemp(path.join(tmpdir(), "front-"));
    const config = path.join(this.dir, file);
    await writeFile(config, text);
    const args = program === "nginx" ? ["-p", this.dir, "-c", config, "-g", "daemon off;"] : ["-f", config, "-db"];
    return this.#front(new Process(program, args), port, program);
  }

  /** Starts the dispatcher, with arguments of the program. */
  async dispatcher(policy, more = []) {
    const port = await freePort();
    const args = ["-dispatch", "-policy", policy, "-addr", `127.0.0.1:${port}`, "-nodes", this.list, ...more];
    return this.#front(new Process(this.program, args), port, "the dispatcher");
  }

  async #front(process, port, what) {
    this.fronts.push(process);
    try {
      await listens(port, what);
    } catch (error) {
      throw new Error(`${error.message}: ${process.errors}`);
    }
    return `http://127.0.0.1:${port}`;
  }

  async stop() {
    await Promise.all(this.fronts.map((front) => front.stop("SIGTERM")));
    await Promise.all([...this.nodes.values()].map((node) => node.stop()));
    if (this.dir) await rm(this.dir, { recursive: true, force: true });
  }
}
