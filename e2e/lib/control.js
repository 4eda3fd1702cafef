// The control channel of a server under test: a small HTTP API on a port of its own,
// the same for node-server.js and server/main.go. Every scenario gets an instance, a
// server of its own on a free port, so that scenarios may run side by side.
import { spawn } from "node:child_process";
import { once } from "node:events";
import http from "node:http";
import { createInterface } from "node:readline";
import { text } from "node:stream/consumers";

const startTimeout = 30_000; // ms
const requestTimeout = 40_000; // ms

// Each request has a connection of its own. One that is kept may be closed just when it is used again.
const agent = new http.Agent({ keepAlive: false });

async function request(method, url, body) {
  const signal = AbortSignal.timeout(requestTimeout);
  const sent = http.request(url, { method, agent, signal });
  sent.end(body === undefined ? undefined : JSON.stringify(body));
  const [answer] = await once(sent, "response", { signal });
  const status = answer.statusCode;
  const content = await text(answer);
  if (status < 200 || status > 299) throw new Error(`${method} ${url}: ${status} ${content}`);
  return content === "" ? undefined : JSON.parse(content);
}

/** One server on a port of its own. */
export class Instance {
  constructor(base, { id, url }) {
    this.url = url;
    this.base = `${base}/instances/${id}`;
  }

  /** Cuts every TCP connection without a word. */
  cut() { return request("POST", `${this.base}/cut`); }

  /** Shuts the server down the way a service does when it is stopped. */
  shutdown() { return request("POST", `${this.base}/shutdown`); }

  /** Emits from outside of any connection. */
  emit(message) { return request("POST", `${this.base}/emit`, message); }

  /** What the server saw; waits until there are that many lines. */
  log(count = 0) { return request("GET", `${this.base}/log?count=${count}`); }

  remove() { return request("DELETE", this.base); }
}

/** A server process. It ends when its standard input is closed, so also when this process dies. */
export class ServerProcess {
  static async start(name, command, args, options = {}) {
    const child = spawn(command, args, { ...options, stdio: ["pipe", "pipe", "pipe"] });
    const server = new ServerProcess(name, child);
    server.base = (await server.#firstLine()).control;
    return server;
  }

  constructor(name, child) {
    this.name = name;
    this.child = child;
    this.errors = ""; // what it wrote to standard error, the end of it
    child.stderr.on("data", (data) => { this.errors = (this.errors + data).slice(-20_000); });
    this.ended = new Promise((resolve) => child.once("close", resolve));
  }

  #firstLine() {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`${this.name} did not start in time`)), startTimeout);
      createInterface({ input: this.child.stdout }).once("line", (line) => {
        clearTimeout(timer);
        resolve(JSON.parse(line));
      });
      this.child.once("error", reject);
      this.child.once("exit", (code) => reject(new Error(`${this.name} ended with code ${code}: ${this.errors}`)));
    });
  }

  async instance(options = {}) {
    return new Instance(this.base, await request("POST", `${this.base}/instances`, options));
  }

  /** Ends the process and fails if it did not end well, of a data race for one. */
  async stop() {
    this.child.stdin.end();
    const timer = setTimeout(() => this.child.kill("SIGKILL"), 5_000);
    const code = await this.ended;
    clearTimeout(timer);
    if (code !== 0) throw new Error(`${this.name} ended with ${code}: ${this.errors.slice(-6000)}`);
  }
}
