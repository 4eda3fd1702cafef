// Random values, from clients of all kinds, servers and emitters: clients of every server see what
// clients of the first one see. What a server of Node.js cannot pass on is written down in asNode.
import assert from "node:assert/strict";
import { until } from "../lib/client.js";
import { closeClients, openClient } from "../lib/cluster.js";
import { bin, date } from "./values.js";

/** Numbers from 0 to 1 that a seed decides: mulberry32. */
function numbersOf(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), seed | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

const numbers = `0 1 -1 1.0 0.1 1e2 1E+2 1e-2 127 128 255 256 -32 -33 -128 -129 65535 65536 -32768 -32769 2147483648 4294967295 4294967296
  -2147483649 9007199254740991 9007199254740993 -9007199254740993 9223372036854775807 18446744073709549568 5e-324 1e-7 4.35
  0.30000000000000004 2.2250738585072014e-308 -9223372036854775808`.split(/\s+/);
const texts = ["", "a", "ä", "€", "😀", "\\u0000", "\\n", "\\\"", "\\\\", "\\/", "\u2028", "\ufeff", "\ufffd", "\\uFFFF", "<&>", "_placeholder",
  "\\ud83d\\ude00", "\u007f", "\u{10ffff}", "x".repeat(31), "x".repeat(32), "x".repeat(33), "x".repeat(255), "x".repeat(256)];
const keys = ["", "a", "b", "0", "-1", "length", "constructor", "toJSON", "then", "ä", "😀", "\\n"];
const longKeys = [...keys, "k".repeat(31), "k".repeat(40)]; // notepack cuts some that have a lone surrogate
const plainValues = ["null", "true", "false", "[]", "{}"];
const placeholders = ['{"_placeholder":true,"num":0}', '{"_placeholder":true}']; // which cannot be beside binary
const mostBinary = 10; // in one message: socket.io-client takes no more

// What JSON can say and servers of Node.js do not pass on as it is.
const hardNumbers = "-0 -0.0 1e400 -1e400 -1e-400 18446744073709551616 -9223372036854775809 1e20 1e21 1.7976931348623157e308".split(" ");
const hardTexts = ["\\ud800", "\\udfff", "\\ude00\\ud83d", "a\\ud83dx", "\\ud800\\ud800\\udc00"];
const hardKeys = ["__proto__", "\\ud800"];

/** Writes JSON. depth is how deep chains go, size how long one value is. */
class Values {
  constructor(seed, { hard, depth, size }) {
    Object.assign(this, { random: numbersOf(seed), hard, depth, size, words: [...plainValues, ...placeholders], binary: 0 });
  }

  below(n) { return Math.floor(this.random() * n); }

  of(list) { return list[this.below(list.length)]; }

  times(n, make) { return Array.from({ length: n }, (_, i) => make(i)); }

  number() {
    if (this.hard && this.random() < 0.3) return this.of(hardNumbers);
    if (this.random() < 0.6) return this.of(numbers);
    return String((this.random() - 0.5) * 2 ** this.below(62));
  }

  string(list = texts, hard = hardTexts) {
    const part = () => (this.hard && this.random() < 0.2 ? this.of(hard) : this.of(list));
    return `"${this.times(this.below(4), part).join("")}"`;
  }

  list(make) { return this.times(this.of([0, 1, 2, 3, 5, 15, 16, 17]), make).join(); }

  flat() {
    const n = Math.min(this.size, this.of([15, 16, 255, 256, 4_096, 65_535, 65_536, 1_000_000]));
    switch (this.below(4)) {
      case 0: return `[${this.times(Math.min(n, 70_000), () => this.below(300)).join()}]`;
      case 1: return `{${this.times(Math.min(n, 70_000), (i) => `"k${i}":${i}`).join()}}`;
      case 2: return `"${"x".repeat(n)}"`;
      default: return `"${"ü\\n".repeat(n / 4)}"`;
    }
  }

  chain() {
    const n = 1 + this.below(this.depth);
    return this.random() < 0.5 ? `${"[".repeat(n)}${this.text(0)}${"]".repeat(n)}` : `${'{"":'.repeat(n)}${this.text(0)}${"}".repeat(n)}`;
  }

  /** JSON text of some value. */
  text(left = 3) {
    switch (this.below(left > 0 ? 9 : 5)) {
      case 0: return this.of(this.words);
      case 1: case 2: return this.number();
      case 3: case 4: return this.string();
      case 5: return this.random() < 0.3 ? this.chain() : this.string();
      case 6: return this.random() < 0.3 ? this.flat() : this.number();
      case 7: return `[${this.list(() => this.text(left - 1))}]`;
      default: return `{${this.list(() => `${this.string(this.hard ? keys : longKeys, hardKeys)}:${this.text(left - 1)}`)}}`;
    }
  }

  date() {
    const time = this.of([0, -1, 1, 1e12, -1e12, 253402300799999, 253402300800000, -62167219200001, 8.64e15, -8.64e15, 4294967296000, 17179869184000]);
    return date(new Date(time).toISOString());
  }

  bytes() {
    if (this.binary++ >= mostBinary) return { $json: this.number() };
    return bin(String.fromCharCode(...this.times(this.of([0, 1, 2, 31, 32, 255, 256]), () => this.below(128))));
  }

  /** A value for a command, see values.js: JSON, binary and dates. */
  command({ dates }, left = 2) {
    this.words = plainValues;
    switch (this.below(left > 0 ? 6 : 3)) {
      case 0: case 1: return { $json: this.text() };
      case 2: return this.bytes();
      case 3: return dates ? this.date() : this.bytes();
      case 4: return this.times(this.below(17), () => this.command({ dates }, left - 1));
      default: return Object.fromEntries(this.times(this.below(17), (i) => [`k${i}`, this.command({ dates }, left - 1)]));
    }
  }
}

/**
 * What clients of a server of Node.js see of a value that came over Redis. JSON.stringify writes 0 for -0
 * and null for what is infinite. notepack reads lone surrogates as bytes that are not UTF-8, and assigns
 * "__proto__", which sets the prototype.
 */
function asNode(value) {
  if (typeof value === "number") return Number.isFinite(value) ? value + 0 : null;
  if (typeof value === "string") return value.isWellFormed() ? value : value.replace(/\p{Surrogate}/gu, "\ufffd\ufffd\ufffd");
  if (Array.isArray(value)) return value.map(asNode);
  if (!value || typeof value !== "object" || Buffer.isBuffer(value)) return value;
  return Object.fromEntries(Object.entries(value).filter(([key]) => key !== "__proto__").map(([key, v]) => [asNode(key), asNode(v)]));
}

/** A value as clients get it, with binary as buffers. */
function buffers(value) {
  if (value instanceof ArrayBuffer) return Buffer.from(value);
  if (ArrayBuffer.isView(value)) return Buffer.from(value.buffer, value.byteOffset, value.byteLength);
  if (Array.isArray(value)) return value.map(buffers);
  if (!value || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([key, v]) => [key, buffers(v)]));
}

/** The same for clients that speak JSON. */
function base64(value) {
  if (Buffer.isBuffer(value)) return value.toString("base64");
  if (Array.isArray(value)) return value.map(base64);
  if (!value || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([key, v]) => [key, base64(v)]));
}

/** Keeps what a client gets as it is, by number. */
function keep(client) {
  client.got = new Map();
  const take = ({ n, value }) => client.got.set(n, value);
  if (!client.json) {
    for (const event of ["random", "said"]) client.socket.io.on(event, take);
    return client;
  }
  const receive = client.receive.bind(client);
  client.receive = (text) => {
    receive(text);
    const { event, data } = client.frames.at(-1);
    if (event === "random" || event === "said") take(data);
  };
  return client;
}

const kinds = [
  { name: "v4" }, { name: "v4 polling", transport: "polling" }, { name: "v2", version: "v2" }, { name: "v2 polling", version: "v2", transport: "polling" },
];
const jsonKinds = [{ name: "WebSocket", kind: "websocket" }, { name: "SockJS", kind: "sockjs" }, { name: "SockJS xhr", kind: "sockjs", transport: "xhr-streaming" }];

async function enter(servers) {
  const all = servers.flatMap((server) => (server.isGo ? [...kinds, ...jsonKinds] : kinds).map((kind) => openClient(server, kind)));
  return (await Promise.all(all)).map(keep);
}

const sides = { hard: [false, true], size: [100, 10_000, 900_000] };

/** Lets a publisher send value n, and returns what the others need to know of it. */
async function publish(publisher, n, seed, longest) {
  const first = new Values(seed, {});
  const hard = first.of(sides.hard);
  const size = publisher.socket || publisher.json ? first.of(sides.size) : first.of([...sides.size, longest]);
  if (!publisher.socket && !publisher.json) { // a server or an emitter
    const value = new Values(seed, { hard, size, depth: 590 }).command({ dates: publisher.can.includes("javascript") });
    await publisher.do("emit", { event: "random", args: [{ n, value }] });
    return { hard };
  }
  const text = new Values(seed, { hard, size: size / 4, depth: 500 }).text();
  const most = 900_000; // bytes that servers take from a client, less what is around the text
  if (Buffer.byteLength(text) > most) return publish(publisher, n, seed + 0x1000000, longest);
  if (publisher.json) publisher.raw(`{"event":"say","data":{"text":{"n":${n},"value":${text}}}}`);
  else publisher.emit("say", { text: { n, value: JSON.parse(text) } }, () => {});
  return { hard };
}

const where = (client) => `${client.name} on ${client.node.name}`;

/** Compares what clients have got of value n. */
function compare(publisher, clients, n, hard) {
  const server = publisher.node && publisher.got ? publisher.node : publisher;
  const home = server.isGo && server.url ? server : clients.find(({ node }) => node.isGo).node;
  const reference = clients.find((client) => client.node === home && !client.json && client !== publisher);
  const seen = buffers(reference.got.get(n));
  for (const client of clients) {
    // What leaves a server of Node.js is not what its own clients get.
    if (client === publisher || (hard && client.node === server && !server.isGo)) continue;
    let wanted = client.node.isGo ? seen : asNode(seen);
    if (client.json) wanted = base64(wanted);
    assert.deepStrictEqual(buffers(client.got.get(n)), wanted, `${where(client)} and ${where(reference)} differ`);
  }
}

/** Runs for some seconds, from a seed on. */
export function randomValues(servers, emitters, { seconds, seed, longest }) {
  const test = async () => {
    const clients = await enter(servers);
    const publishers = [...servers, ...emitters, ...clients];
    const end = Date.now() + seconds * 1000;
    let n = seed;
    try {
      for (; Date.now() < end || n < seed + publishers.length; n++) {
        const publisher = publishers[n % publishers.length];
        try {
          const { hard } = await publish(publisher, n, n, longest);
          const others = clients.filter((client) => client !== publisher);
          for (const client of others) await until(() => client.got.has(n) || client.gone, `${where(client)} to get it`);
          compare(publisher, clients, n, hard);
        } catch (error) {
          const from = publisher.got ? where(publisher) : publisher.name;
          throw new Error(`value ${n} of ${from}, again with --only random --seed ${n}: ${error.message.slice(0, 3000)}`, { cause: error });
        }
        for (const client of clients) {
          client.got.clear();
          client.clear();
        }
      }
      console.log(`        ${n - seed} random values, from seed ${seed}`);
    } finally {
      await closeClients(clients);
    }
  };
  return { "random values: clients of every server see the same": Object.assign(test, { timeout: (seconds + 120) * 1000 }) };
}
