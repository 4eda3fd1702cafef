// Chromium, and the programs and pages that the browser tests need around it.
import { spawn } from "node:child_process";
import { createServer } from "node:http";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";

const executablePath = process.env.CHROMIUM ?? "/usr/bin/chromium";
const startTimeout = 30_000; // ms

/** Starts Debian's Chromium with a profile that is gone afterwards. To it, all names below .test are this host. */
export async function browser() {
  const profile = mkdtempSync(join(tmpdir(), "thinkws-chromium-"));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath,
    headless: true,
    timeout: startTimeout,
    args: [
      "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
      "--host-resolver-rules=MAP *.test 127.0.0.1",
      "--disable-background-networking", "--disable-component-update", "--disable-sync",
    ],
  });
  context.setDefaultTimeout(10_000);
  const close = async () => {
    await context.close();
    rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
  };
  return { context, close };
}

/** The chat example as a process of its own. */
export class Chat {
  static async start(program, args) {
    const chat = new Chat(spawn(program, args, { stdio: ["ignore", "ignore", "pipe"] }));
    await chat.logged(/chat is ready/);
    chat.url = chat.log.match(/url=(\S+)/)[1];
    return chat;
  }

  constructor(child) {
    this.child = child;
    this.log = "";
    child.stderr.on("data", (data) => { this.log += data; });
    this.ended = new Promise((resolve) => child.once("close", resolve));
    child.once("error", (error) => { this.log += error; });
  }

  /** Waits until the log has a line that matches, and returns it. */
  async logged(pattern) {
    const end = Date.now() + startTimeout;
    for (;;) {
      const line = this.log.split("\n").find((text) => pattern.test(text));
      if (line) return line;
      if (Date.now() > end || this.child.exitCode !== null) throw new Error(`the chat did not log ${pattern}: ${this.log}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  /** Ends the process and fails if it did not end well, of a data race for one. */
  async stop() {
    this.child.kill("SIGTERM");
    const timer = setTimeout(() => this.child.kill("SIGKILL"), 8_000);
    const code = await this.ended;
    clearTimeout(timer);
    if (code !== 0) throw new Error(`the chat ended with ${code}: ${this.log.slice(-6000)}`);
  }
}

const types = { html: "text/html; charset=utf-8", js: "text/javascript; charset=utf-8" };

/** Serves files, a map of paths to file names, on an origin of their own. */
export async function serve(files) {
  const server = createServer((req, res) => {
    const file = files[new URL(req.url, "http://here").pathname];
    if (!file) return res.writeHead(404).end();
    res.writeHead(200, { "Content-Type": types[file.split(".").at(-1)] }).end(readFileSync(file));
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { origin: `http://127.0.0.1:${server.address().port}`, stop: () => { server.closeAllConnections(); server.close(); } };
}

/** A port of the loopback that nobody listens on. */
export async function freePort() {
  const server = createServer();
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}
