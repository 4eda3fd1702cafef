// JSON over plain WebSocket, and all kinds of clients in one hub. Node has nothing to
// compare this with: what is expected stands in the tests.
//
//   node plain.js --server PROGRAM
import assert from "node:assert/strict";
import { once } from "node:events";
import { parseArgs } from "node:util";
import WebSocket from "ws";
import { ServerProcess } from "./lib/control.js";
import { until } from "./lib/client.js";
import { Run, pause } from "./lib/run.js";
import { runTests } from "./lib/tests.js";

const { values: flags } = parseArgs({ options: { server: { type: "string" } } });
if (!flags.server) throw new Error("--server PROGRAM, please");

/** A native WebSocket that keeps what it gets. */
class Plain {
  static async open(instance, path = "/ws") {
    const plain = new Plain(new WebSocket(instance.url.replace(/^http/, "ws") + path));
    await once(plain.ws, "open");
    return plain;
  }

  constructor(ws) {
    this.ws = ws;
    this.frames = [];
    this.pings = 0;
    this.cid = 0;
    ws.on("message", (data, isBinary) => this.frames.push(isBinary ? data : JSON.parse(data)));
    ws.on("ping", () => this.pings++);
    ws.on("close", (code, reason) => { this.closed = { code, reason: String(reason) }; });
  }

  send(frame) { this.ws.send(typeof frame === "string" || Buffer.isBuffer(frame) ? frame : JSON.stringify(frame)); }

  /** The n-th frame that matches. */
  async frame(test, n = 1) {
    await until(() => this.frames.filter(test).length >= n, "a frame");
    return this.frames.filter(test)[n - 1];
  }

  /** Sends an event with a cid and returns the answer without its rid. */
  async call(event, ...data) {
    const cid = ++this.cid;
    this.send({ event, ...(data.length ? { data: data[0] } : {}), cid });
    const { rid, ...answer } = await this.frame((f) => f.rid === cid);
    return answer;
  }

  async end() {
    await until(() => this.closed, "the close");
    return this.closed;
  }
}

/** A test with an instance of its own. */
const on = (test, options) => async (server) => {
  const instance = await server.instance(options);
  try {
    await test(instance);
  } finally {
    await instance.remove();
  }
};

const byEvent = (event) => (frame) => frame.event === event;

const tests = {
  "events: no data, one value, unicode": on(async (instance) => {
    const plain = await Plain.open(instance);
    plain.send({ event: "echo", data: "𝒳 😀 \u0000 </script>" });
    plain.send({ event: "echo" });
    plain.send({ event: "echo", data: { a: [1, null, "b"] }, other: "ignored" });
    await plain.frame(byEvent("echo"), 3);
    assert.deepEqual(plain.frames, [
      { event: "echo", data: "𝒳 😀 \u0000 </script>" }, { event: "echo" }, { event: "echo", data: { a: [1, null, "b"] } },
    ]);
  }),

  "acks: rid repeats cid, a number or a string": on(async (instance) => {
    const plain = await Plain.open(instance);
    assert.deepEqual(await plain.call("echoAck", "value"), { data: "value" });
    assert.deepEqual(await plain.call("echoAck"), {});
    plain.send({ event: "echoAck", data: 1, cid: "a text" });
    assert.deepEqual(await plain.frame((f) => f.rid === "a text"), { rid: "a text", data: 1 });
  }),

  "errors: as answers, and never without a cid": on(async (instance) => {
    const plain = await Plain.open(instance);
    assert.deepEqual(await plain.call("forbidden"), { error: { name: "Forbidden", message: "not you" } });
    assert.deepEqual(await plain.call("broken"), { error: { name: "Internal", message: "internal error" } });
    assert.equal((await plain.call("nobody listens")).error.name, "NotFound");
    assert.equal((await plain.call("join", { not: "a string" })).error.name, "BadRequest");
    const before = plain.frames.length;
    for (const event of ["forbidden", "broken", "nobody listens"]) plain.send({ event });
    await plain.call("echoAck", "end");
    assert.equal(plain.frames.length, before + 1);
  }),

  "the server asks": on(async (instance) => {
    const plain = await Plain.open(instance);
    plain.send({ event: "ask", data: "what?" });
    const question = await plain.frame(byEvent("question"));
    assert.equal(question.data, "what?");
    plain.send({ rid: question.cid, data: ["this", 2] });
    assert.deepEqual(await plain.frame(byEvent("answered")), { event: "answered", data: ["this", 2] });
    plain.send({ event: "ask", data: "again?" });
    await plain.frame(byEvent("unanswered"));
  }),

  "malformed frames are answered and do no harm, up to ten": on(async (instance) => {
    const plain = await Plain.open(instance);
    for (const frame of ["", "nonsense", "{", "[]", "null", "{}", '{"event":""}', '{"event":7}', '{"data":1}', Buffer.from([1, 2, 3])]) {
      plain.send(frame);
    }
    assert.deepEqual(await plain.call("echoAck", "alive"), { data: "alive" });
    const complaints = plain.frames.filter((frame) => frame.error && frame.rid === undefined);
    assert.deepEqual(complaints.map((frame) => frame.error.name), Array(10).fill("BadRequest"));
    plain.send("one too many");
    assert.equal((await plain.end()).code, 1008);
  }),

  "events and answers that mean nothing do no harm": on(async (instance) => {
    const plain = await Plain.open(instance);
    for (const event of ["open", "close", "connect", "disconnect", "error"]) plain.send({ event });
    for (let i = 0; i < 20; i++) plain.send({ rid: i, data: "nobody asked" });
    assert.equal((await plain.call("open")).error.name, "NotFound");
    assert.deepEqual(await plain.call("echoAck", "alive"), { data: "alive" });
    assert.equal(plain.frames.length, 2);
  }),

  "binary travels as base64": on(async (instance) => {
    const plain = await Plain.open(instance);
    assert.deepEqual(await plain.call("binaryAck", "AAEC/w=="), { data: "AAEC/w==" });
  }),

  "namespaces by path and by query": on(async (instance) => {
    for (const [path, namespace] of [["/ws", "/"], ["/ws/", "/"], ["/ws/chat", "/chat"], ["/ws?nsp=/chat", "/chat"]]) {
      const plain = await Plain.open(instance, path);
      assert.equal((await plain.call("whoami")).data.namespace, namespace, path);
    }
  }),

  "who may not enter is told why, and closed with 1008": on(async (instance) => {
    for (const [path, name, message] of [
      ["/ws/nowhere", "NotFound", "Invalid namespace"], ["/ws/guarded", "Forbidden", "not allowed"],
      ["/ws/guarded?token=bad", "Forbidden", "not allowed"], ["/ws/closed", "Internal", "closed today"],
    ]) {
      const plain = await Plain.open(instance, path);
      assert.deepEqual(await plain.end(), { code: 1008, reason: message }, path);
      assert.equal(plain.frames.length, 1);
      assert.equal(plain.frames[0].error.name, name);
      assert.equal(plain.frames[0].error.message, message);
    }
    const plain = await Plain.open(instance, "/ws/guarded?token=good");
    assert.equal((await plain.call("whoami")).data.namespace, "/guarded");
  }),

  "heartbeats are ping frames; who does not answer is cut": on(async (instance) => {
    const plain = await Plain.open(instance, "/ws?tag=honest");
    const silent = new Plain(new WebSocket(`${instance.url.replace(/^http/, "ws")}/ws?tag=silent`, { autoPong: false }));
    await silent.end();
    await until(() => plain.pings >= 5, "pings");
    assert.deepEqual(await plain.call("echoAck", "alive"), { data: "alive" });
    const lines = await instance.log(3);
    assert.equal(lines.at(-1), "silent / close: ping timeout");
    assert.equal(lines.length, 3);
  }, { pingInterval: 80, pingTimeout: 400 }),

  "thousands of messages and a large one from one handler": on(async (instance) => {
    const plain = await Plain.open(instance);
    const [messages, size, large] = [5_000, 200, 8_000_000];
    plain.send({ event: "pour", data: { messages, size, large } });
    await until(() => plain.frames.length > messages, "the large one");
    assert.ok(plain.frames.every(({ event, data }, i) => event === "poured" && data[0] === i && data[1].length === (i < messages ? size : large)));
    assert.deepEqual(await plain.call("echoAck", "still here"), { data: "still here" });
  }),

  "too big a message": on(async (instance) => {
    const plain = await Plain.open(instance);
    plain.send({ event: "echo", data: "x".repeat(20_000) });
    assert.equal((await plain.end()).code, 1009);
  }, { maxMessage: 10_000 }),

  "kicked, and shut down": on(async (instance) => {
    const kicked = await Plain.open(instance, "/ws?tag=kicked");
    const other = await Plain.open(instance, "/ws?tag=other");
    await instance.log(2); // both are in, which the end of the handshake does not say
    kicked.send({ event: "count", data: 20 });
    kicked.send({ event: "kick", data: true });
    const { code } = await kicked.end();
    assert.ok(code >= 1000 && code !== 1006, `code ${code}`);
    assert.equal(kicked.frames.filter(byEvent("number")).length, 20);
    await instance.shutdown();
    assert.equal((await other.end()).code, 1001);
    assert.deepEqual((await instance.log(4)).slice(2), [
      "kicked / close: server namespace disconnect", "other / close: server shutting down",
    ]);
  }),

  "the client leaves": on(async (instance) => {
    // Who leaves before "open" has begun is never let in: neither it nor "close" runs.
    const polite = await Plain.open(instance, "/ws?tag=polite");
    await instance.log(1);
    polite.ws.close(1000);
    assert.equal((await polite.end()).code, 1000);
    await instance.log(2);
    const rude = await Plain.open(instance, "/ws?tag=rude");
    await instance.log(3);
    rude.ws.terminate();
    const lines = await instance.log(4);
    assert.equal(lines[1], "polite / close: transport close");
    assert.match(lines[3], /^rude \/ close: transport (close|error)$/);
  }),
};

// One hub: 4.x, 2.x and native clients in one room, whatever the transport.
for (const transport of ["polling", "websocket", "upgrade"]) {
  tests[`all kinds of clients in one room, ${transport}`] = on(async (instance) => {
    const run = new Run(instance, "v4", transport);
    try {
      await meet(run, instance);
    } finally {
      run.close();
    }
  });
}

async function meet(run, instance) {
  const v4 = await run.client("v4");
  const v2 = await run.client("v2", { version: "v2" });
  const native = await Plain.open(instance, "/ws?tag=native");
  await v4.call("join", "red");
  await v2.call("join", "red");
  await native.call("join", "red");

  await v4.call("shout", { how: "othersInRoom", room: "red", text: "of 4 😀" });
  await v2.call("shout", { how: "othersInRoom", room: "red", text: "of 2 😀" });
  await native.call("shout", { how: "othersInRoom", room: "red", text: "of none 😀" });
  await native.call("shout", { how: "binary", text: "bytes" });
  const hex = { hex: Buffer.from("bytes").toString("hex") };
  const heard = (socket) => socket.log.filter((line) => line[0] === "event" && line[1] === "shout").map((line) => line[2]);
  await v4.call("echoAck");
  await v2.call("echoAck");
  assert.deepEqual(heard(v4), ["of 2 😀", "of none 😀", hex]);
  assert.deepEqual(heard(v2), ["of 4 😀", "of none 😀", hex]);
  assert.deepEqual(native.frames.filter(byEvent("shout")).map((f) => f.data), [
    "of 4 😀", "of 2 😀", Buffer.from("bytes").toString("base64"),
  ]);

  v4.answer = () => ["4.x"];
  v2.answer = () => ["2.x"];
  native.ws.on("message", (data) => {
    const { event, cid } = JSON.parse(data);
    if (event === "question") native.send({ rid: cid, data: "native" });
  });
  assert.deepEqual(await v2.call("askRoom", "red"), [{ complete: true, answers: ["2.x", "4.x", "native"] }]);

  v4.io.close();
  native.ws.terminate();
  await instance.log(5);
  await pause(20);
  assert.deepEqual(await v2.call("askRoom", "red"), [{ complete: true, answers: ["2.x"] }]);
}

const server = await ServerProcess.start("thinkws", flags.server, []);
try {
  const failed = await runTests(tests, server);
  if (failed) console.log(`The server's last words:\n${server.errors.slice(-3000)}`);
  process.exitCode = failed ? 1 : 0;
} finally {
  await server.stop();
}
process.exit();
