// Events for clients, from every kind of publisher to every kind of node.
import assert from "node:assert/strict";
import WebSocket from "ws";
import { plain, until } from "../lib/client.js";
import { closeClients, fence, openClient } from "../lib/cluster.js";
import { bin, date, nothing, received } from "./values.js";

const everybody = ["red", "both", "seven", "odd", "none"];
const longRoom = "long".repeat(100);
const rooms = { red: ["red"], both: ["red", "blue"], seven: [7], odd: ["a#b", "#", "ü 😀", "007", "0x7", longRoom, -5], none: [] };

const long = "🙂 long ".repeat(15_000);
const list = (length) => Array.from({ length }, (_, i) => i);
const object = (length) => Object.fromEntries(list(length).map((i) => [`k${i}`, i]));

/**
 * What is sent, and which clients get it. needs names what not every publisher can do, and
 * binary what not every pair can.
 */
const cases = {
  "to all": { gets: everybody },
  "to one room": { rooms: ["red"], gets: ["red", "both"] },
  "to two rooms, once": { rooms: ["red", "blue"], gets: ["red", "both"] },
  "to a room that is a number": { rooms: [7], gets: ["seven"] },
  "to a number and a name": { rooms: [7, "blue"], gets: ["seven", "both"] },
  "to a negative number": { rooms: [-5], gets: ["odd"] },
  "to a room with # in it": { rooms: ["a#b"], gets: ["odd"] },
  "to a room that is #": { rooms: ["#"], gets: ["odd"] },
  "to a room not in ASCII": { rooms: ["ü 😀"], gets: ["odd"] },
  "to a room that looks like a number": { rooms: ["007"], gets: ["odd"] },
  "to a room that looks like a hexadecimal number": { rooms: ["0x7"], gets: ["odd"] },
  "to a room with a long name": { rooms: [longRoom], gets: ["odd"] },
  "to many rooms": { rooms: [...Array.from({ length: 100 }, (_, i) => `room ${i}`), "red"], gets: ["red", "both"] },
  "to a room that nobody is in": { rooms: ["green"], gets: [] },
  "to a room with characters of patterns": { rooms: ["r*d"], gets: [] },
  "to all except a room": { except: ["blue"], gets: ["red", "seven", "odd", "none"], needs: ["except"] },
  "to all except a number": { except: [7], gets: ["red", "both", "odd", "none"], needs: ["except"] },
  "to a room except another": { rooms: ["red"], except: ["blue", "green"], gets: ["red"], needs: ["except"] },
  volatile: { volatile: true, gets: everybody },
  "local does not arrive": { local: true, gets: [], needs: ["local"] },
  "no arguments": { args: [], gets: everybody },
  "several arguments": { args: ["a", 1, null, { b: true }], gets: everybody },
  "numbers": { args: [[0, 127, 128, -32, -33, 255, 65536, 2 ** 31, -(2 ** 31), 2 ** 40, -(2 ** 40), 1.5, -0.1, 1e-300]], gets: everybody },
  "texts": { args: [["", "ä", "😀", "\u0000\u2028</script>\"\\", "x".repeat(31), "x".repeat(32), "x".repeat(256)]], gets: everybody },
  "a long text": { args: [[long.length, long]], gets: everybody },
  "long lists and objects": { args: [[list(15), list(16), list(70_000), object(15), object(16)]], gets: everybody },
  "depth": { args: [{ a: [{ b: { c: [[], {}] } }] }], gets: everybody },
  "binary": { args: [bin("\u0000\u0001binary")], gets: everybody, binary: true },
  "binary to a room": { args: [bin("red")], rooms: ["red"], gets: ["red", "both"], binary: true },
  "nested binary": { args: [{ a: [bin("x"), { b: bin("y".repeat(40)), c: "text" }], d: bin("") }], gets: everybody, binary: true },
  "binary among arguments": { args: [1, bin("x"), "y", [bin("z")]], gets: everybody, binary: true },
  "dates": {
    args: [{ at: [date("2024-05-06T07:08:09.010Z"), date("1969-12-31T23:59:59.999Z"), date("2600-01-01T00:00:00.000Z"), date("2001-02-03T04:05:06.000Z")] }],
    gets: everybody, needs: ["javascript"],
  },
  "null, and what is undefined": { args: [{ a: null, b: nothing, c: [nothing, null, 1] }], gets: everybody, needs: ["javascript"] },
};

/** What a client gets of arguments, as its events() has them. */
function asGot(args, client) {
  const values = client.json ? base64(received(args)) : plain(received(args));
  return values.length > 1 ? values : values[0];
}

/** What clients that speak JSON get for binary. */
const base64 = (value) => JSON.parse(JSON.stringify(value), (key, v) => (
  v && typeof v === "object" && "hex" in v ? Buffer.from(v.hex, "hex").toString("base64") : v));

async function checkCase(publisher, clients, { gets, args = ["text"], ...target }) {
  for (const client of clients) client.clear();
  await publisher.do("emit", {
    rooms: named(publisher, target.rooms), except: named(publisher, target.except),
    volatile: target.volatile, local: target.local, event: "news", args,
  });
  await fence(publisher, clients);
  for (const client of clients) {
    const wanted = gets.includes(client.name) || (target.local && client.node === publisher) ? [asGot(args, client)] : [];
    assert.deepEqual(client.events("news"), wanted, `${client.name} of ${client.node.name}`);
  }
}

/** Rooms in the way of a publisher: only JavaScript's may be numbers. */
const named = (publisher, list) => (publisher.isGo ? list?.map(String) : list);

const can = (publisher, needs = []) => needs.every((need) => publisher.can.includes(need));

/** The tests of a publisher and a node that listens, with clients of more kinds if asked for. */
export function broadcasts(publisher, node, { binary = true, numbers = true, kinds = [] } = {}) {
  const tests = {};
  const title = (name) => `${publisher.name} → ${node.name}: ${name}`;
  let clients;
  tests[title("clients enter")] = async () => {
    const nodes = publisher.url && publisher !== node ? [node, publisher] : [node];
    clients = await Promise.all([
      ...nodes.flatMap((n) => everybody.map((name) => openClient(n, { name, rooms: rooms[name] }))),
      ...kinds.map((kind) => openClient(node, { name: "red", rooms: ["red"], ...kind })),
    ]);
  };
  for (const [name, it] of Object.entries(cases)) {
    if (!can(publisher, it.needs) || (it.binary && !binary)) continue;
    if (!numbers && it.rooms?.length === 1 && typeof it.rooms[0] === "number") continue;
    if (it.except && node.version === "v2") continue; // where only clients can be excepted, see old.js
    tests[title(name)] = () => checkCase(publisher, clients, it);
  }
  tests[title("clients leave")] = () => closeClients(clients);
  for (const namespace of ["/chat", "/a*b", "/z*[b]"]) {
    // Node's adapters do not escape what they subscribe to: those with brackets they do not hear.
    if (namespace.includes("[") && !node.isGo) continue;
    tests[title(`namespace ${namespace}`)] = () => inNamespace(publisher, node, namespace);
  }
  if (publisher.can.includes("compress")) tests[title("compressed or not")] = () => compression(publisher, node);
  return tests;
}

async function inNamespace(publisher, node, namespace) {
  const inside = await openClient(node, { name: "inside", namespace, rooms: ["red"] });
  // What two patterns of Node's adapters match they hear twice, so there is no /a*b* with them.
  const more = publisher.isGo && node.isGo ? ["/a*b*"] : [];
  const names = ["/", "/chat", "/axxb", "/zxb", ...more].filter((name) => name !== namespace);
  const others = await Promise.all(names.map((name) => openClient(node, { name, namespace: name, rooms: ["red"] })));
  try {
    await publisher.do("emit", { namespace, event: "news", args: ["to all"] });
    await publisher.do("emit", { namespace, rooms: ["red"], event: "news", args: ["to red"] });
    await publisher.do("emit", { namespace, rooms: ["red", "blue"], event: "news", args: ["to red or blue"] });
    await fence(publisher, [inside], namespace);
    assert.deepEqual(inside.events("news"), ["to all", "to red", "to red or blue"]);
    for (const other of others) {
      await fence(publisher, [other], other.name);
      assert.deepEqual(other.events("news"), [], other.name);
    }
  } finally {
    await closeClients([inside, ...others]);
  }
}

/** A WebSocket that speaks Socket.IO by hand, to see the frames: whether they are compressed. */
async function compression(publisher, node) {
  const ws = new WebSocket(`${node.url.replace(/^http/, "ws")}/socket.io/?EIO=${node.version === "v2" ? 3 : 4}&transport=websocket`);
  const heads = [];
  const texts = [];
  let entered = node.version === "v2";
  ws.on("message", (text) => {
    if (String(text).startsWith("0") && !entered) ws.send("40");
    if (String(text).startsWith("40")) entered = "yes";
    texts.push(String(text));
  });
  ws.once("open", () => ws._socket.prependListener("data", (data) => heads.push(data[0])));
  try {
    await until(() => entered === "yes", "the namespace");
    for (const compress of [true, false]) {
      const before = texts.length;
      heads.length = 0;
      await publisher.do("emit", { compress, event: "news", args: ["x".repeat(5_000)] });
      await until(() => texts.length > before, "the event");
      // engine.io 6 has no way to send a single message uncompressed.
      if (node.isGo) assert.equal(heads[0] & 0x40, compress ? 0x40 : 0, compress ? "compressed" : "not compressed");
    }
  } finally {
    ws.terminate();
  }
}
