// Three nodes behind each load balancer: clients of every kind that poll live through it, on
// a new connection for each request, and a node that is killed takes nobody with it.
//
//   node sticky.js --node PROGRAM
import assert from "node:assert/strict";
import http from "node:http";
import { parseArgs } from "node:util";
import { io as io4 } from "socket.io-client";
import io2 from "socket.io-client-v2";
import SockJS from "sockjs-client";
import { Cluster } from "./lib/fronts.js";
import { runTests } from "./lib/tests.js";

const { values: flags } = parseArgs({ options: { node: { type: "string" } } });
if (!flags.node) throw new Error("--node PROGRAM, please");

const sessions = 200; // at a time behind each front
const polls = 10; // and more, for each of them
const answerTimeout = 100_000; // ms, for busy machines
const pingTimeout = 20_000; // ms, of the nodes

/** A promise that fails if nobody settles it in time. */
function bounded(what, start) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`waited in vain for ${what}`)), answerTimeout);
    start((value) => { clearTimeout(timer); resolve(value); }, (error) => { clearTimeout(timer); reject(error); });
  });
}

/** A client of Socket.IO. Each of its requests has a connection of its own. */
class SocketIO {
  constructor(url, { version, upgrade = false, reconnection = false }) {
    this.upgrade = upgrade;
    this.ends = [];
    const agent = new http.Agent({ keepAlive: false });
    this.io = (version === "v4" ? io4 : io2)(url, {
      transports: upgrade ? ["polling", "websocket"] : ["polling"], agent, forceNew: true, reconnection, timeout: answerTimeout,
      reconnectionDelay: 200, reconnectionDelayMax: 1_000,
    });
    this.io.on("disconnect", (reason) => this.ends.push(reason));
  }

  open() {
    return bounded("a connection", (resolve, reject) => {
      this.io.once("connect", resolve);
      this.io.on("connect_error", reject);
    });
  }

  /** Asks and returns the node that has answered. */
  async echo(value) {
    const [node, same] = await bounded("an ack", (resolve) => this.io.emit("echo", value, (...answer) => resolve(answer)));
    assert.equal(same, value);
    return node;
  }

  get transport() { return this.io.io.engine.transport.name; }

  close() { this.io.close(); }
}

/** A client of SockJS over xhr-polling. */
class Sock {
  constructor(url) {
    this.ends = [];
    this.answers = new Map();
    this.io = new SockJS(`${url}/sockjs`, null, { transports: ["xhr-polling"], timeout: answerTimeout });
    this.io.onmessage = ({ data }) => {
      const { rid, data: answer } = JSON.parse(data);
      this.answers.get(rid)(answer);
    };
  }

  open() {
    return bounded("an open frame", (resolve, reject) => {
      this.io.onopen = resolve;
      this.io.onclose = ({ code, reason }) => {
        this.ends.push(reason);
        reject(new Error(`closed: ${code} ${reason}`));
      };
    });
  }

  async echo(value) {
    const cid = this.answers.size + 1;
    const [node, same] = await bounded("an answer", (resolve, reject) => {
      this.answers.set(cid, resolve);
      this.io.onclose = ({ code, reason }) => {
        this.ends.push(reason);
        reject(new Error(`closed: ${code} ${reason}, before answer ${cid}`));
      };
      this.io.send(JSON.stringify({ event: "echo", data: value, cid }));
    });
    assert.equal(same, value);
    return node;
  }

  close() { this.io.close(); }
}

/** The mix: every second one is of today's client, one in ten upgrades. */
function makeClient(url, i, options = {}) {
  const kind = ["v4", "v2", "v4", "sock", "v4", "sock", "v2", "v4", "upgrade", "sock"][i % 10];
  switch (kind) {
    case "sock": return new Sock(url);
    case "upgrade": return new SocketIO(url, { version: "v4", upgrade: true, ...options });
    default: return new SocketIO(url, { version: kind, ...options });
  }
}

/** One client's life; its node has to stay the same. */
async function live(client) {
  await client.open();
  const nodes = new Set();
  for (let i = 0; i < polls; i++) nodes.add(await client.echo(i));
  if (client.upgrade) {
    await bounded("the upgrade", (resolve) => {
      const timer = setInterval(() => {
        if (client.transport !== "websocket" || client.io.io.engine.upgrading) return;
        clearInterval(timer);
        resolve();
      }, 10);
    });
    nodes.add(await client.echo(polls));
  }
  assert.equal(nodes.size, 1);
  assert.deepEqual(client.ends, []);
  return [...nodes][0];
}

async function survive(url) {
  const clients = Array.from({ length: sessions }, (_, i) => makeClient(url, i));
  const results = await Promise.allSettled(clients.map(live));
  for (const client of clients) client.close();
  const failed = results.filter((result) => result.status === "rejected");
  const spread = {};
  for (const { value } of results) if (value) spread[value] = (spread[value] ?? 0) + 1;
  console.log(`        ${sessions - failed.length}/${sessions} survive, on ${JSON.stringify(spread)}`);
  assert.equal(failed.length, 0, failed[0]?.reason.message);
  assert.equal(Object.keys(spread).length, 3);
}

const behind = (open, { sticky = false, direct }) => async () => {
  const cluster = await Cluster.start(flags.node, { sticky });
  try {
    const url = await open(cluster);
    await survive(url);
    const forwarded = await cluster.forwarded();
    console.log(`        ${forwarded} requests forwarded from node to node`);
    if (direct) assert.equal(forwarded, 0);
    else assert.ok(forwarded > 0);
  } finally {
    await cluster.stop();
  }
};

/** Kills a node under its clients. through says that it forwards WebSockets of others. */
const killed = (open, { sticky = false, through = false } = {}) => async () => {
  const cluster = await Cluster.start(flags.node, { sticky });
  const clients = [];
  try {
    const url = await open(cluster);
    for (let i = 0; i < 60; i++) {
      // SockJS clients do not come back by themselves: their page makes a new one.
      clients.push(makeClient(url, i, { reconnection: true }));
    }
    const at = new Map();
    await Promise.all(clients.map(async (client) => at.set(client, await live(client))));
    const lost = clients.filter((client) => at.get(client) === "n3aB");
    assert.ok(lost.length > 0);
    const start = Date.now();
    await cluster.kill("n3aB");
    const back = await Promise.all(lost.map(async (client) => {
      let again = client;
      if (client instanceof Sock) {
        await bounded("its end", (resolve) => { client.ends.length ? resolve() : (client.io.onclose = resolve); });
        again = await newSock(url);
        clients.push(again);
      } else {
        await bounded("its return", (resolve) => {
          const timer = setInterval(() => {
            if (!client.ends.length || !client.io.connected) return;
            clearInterval(timer);
            resolve();
          }, 5);
        });
      }
      const node = await again.echo("back");
      assert.notEqual(node, "n3aB");
      return Date.now() - start;
    }));
    const others = clients.filter((client) => at.has(client) && at.get(client) !== "n3aB");
    let carried = 0; // WebSockets of others that the dead node has forwarded
    await Promise.all(others.map(async (client) => {
      if (client.upgrade && through && client.ends.length) {
        carried++;
        assert.notEqual(await client.echo("back"), "n3aB");
        return;
      }
      assert.equal(await client.echo("still"), at.get(client));
      assert.deepEqual(client.ends, [], "untouched");
    }));
    console.log(`        ${lost.length} of ${at.size} lost their node, and are back on another after ${Math.min(...back)} to ${Math.max(...back)} ms; ${others.length - carried} untouched${carried ? `, ${carried} had a WebSocket through it and are back, too` : ""}`);
    assert.ok(Math.max(...back) < pingTimeout);
  } finally {
    for (const client of clients) client.close();
    await cluster.stop();
  }
};

/** A page tries again if it has met a node that nobody knows to be dead yet. */
async function newSock(url) {
  for (let tries = 0; ; tries++) {
    const sock = new Sock(url);
    try {
      await sock.open();
      return sock;
    } catch (error) {
      if (tries === 10) throw error;
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  }
}

const roundRobin = (cluster) => cluster.front("nginx", "nginx-round-robin.conf");
const map = (cluster) => cluster.front("nginx", "nginx-map.conf");
const haproxy = (cluster) => cluster.front("haproxy", "haproxy.cfg");
const dispatcher = (policy) => (cluster) => cluster.dispatcher(policy);

const tests = {
  "nginx round robin": behind(roundRobin, { direct: false }),
  "nginx map on the node": behind(map, { sticky: true, direct: true }),
  "HAProxy use-server": behind(haproxy, { sticky: true, direct: true }),
  "the dispatcher, by session": behind(dispatcher("session"), { direct: true }),
  "the dispatcher, least connections": behind(dispatcher("least"), { direct: false }),
  "kill -9 behind nginx round robin": killed(roundRobin, { through: true }),
  "kill -9 behind nginx map": killed(map, { sticky: true }),
  "kill -9 behind HAProxy": killed(haproxy, { sticky: true }),
  "kill -9 behind the dispatcher": killed(dispatcher("session")),
};

process.exitCode = (await runTests(tests)) ? 1 : 0;
process.exit();
