// What events carry, both ways, and how they are answered.
import { pause } from "../lib/run.js";

const bytes = (n, start = 0) => Buffer.from(Array.from({ length: n }, (_, i) => (start + i * 7) & 0xff));

const texts = [
  "hello", "", " ", "\"quoted\" and \\ and /", "</script><!--", "line\nfeed\r\ttab", "\u0000\u0001\u001f\u007f",
  "\u2028 and \u2029", "\u0085\u200b\ufeff", "null", "0", "[1,2]", "4", "a\x1eb",
];

const unicode = [
  "é ü ß ñ", "e\u0301", "日本語", "ру́сский", "עברית عربى", "😀", "👩‍👩‍👧‍👦 and 🏳️‍🌈", "𝒳𝒴𝒵 𠜎", "a😀b😀c",
  "\uffff\ufffe", "😀".repeat(70),
];

const values = [
  0, -0, 1, -1, 1.5, 1e21, 1e-7, 9007199254740993, Number.MAX_VALUE, true, false, null, undefined, NaN, [], {},
  [[[]]], { a: { b: { c: [1, "two", null] } } }, { "": 1, "a b": 2, "ключ": 3 }, new Date(0), [undefined, null],
];

/** Echoes each value by event and then all of them by ack. */
async function echo(t, list) {
  const a = await t.client();
  for (const value of list) a.emit("echo", value);
  await a.seen("event", "echo", list.length);
  await a.call("echoAck", ...list);
}

export default [
  { name: "text", run: (t) => echo(t, texts) },
  { name: "unicode", run: (t) => echo(t, unicode) },
  { name: "values", run: (t) => echo(t, values) },
  {
    name: "lone surrogate",
    run: (t) => echo(t, ["a\ud83d", "\ude00b"]),
  },
  {
    name: "several arguments",
    async run(t) {
      const a = await t.client();
      a.emit("echo");
      a.emit("echo", 1, "two", [3], { four: 4 }, null);
      await a.seen("event", "echo", 2);
      await a.call("echoAck");
      await a.call("echoAck", 1, "two", [3], { four: 4 }, null);
    },
  },
  {
    name: "binary",
    async run(t) {
      const a = await t.client();
      for (const n of [0, 1, 2, 3, 16, 125, 126, 127, 1000, 70_000]) a.emit("binary", bytes(n));
      await a.seen("event", "binary", 10);
      a.emit("binary", new Uint8Array([9, 8, 7]).buffer);
      // A 2.x client sends other views as objects with a key for each byte.
      if (t.version === "v4") a.emit("binary", new Uint8Array([1, 2, 255]));
      await a.seen("event", "binary", t.version === "v4" ? 12 : 11);
      await a.call("binaryAck", bytes(20));
    },
  },
  {
    name: "nested binary",
    async run(t) {
      const a = await t.client();
      const document = {
        name: "trip 😀",
        picture: bytes(10),
        parts: [{ n: 1, data: bytes(3) }, { n: 2, data: bytes(0) }, { n: 3, data: bytes(100, 5) }],
        deep: { er: [bytes(4, 9)] },
      };
      a.emit("nested", document);
      await a.seen("event", "nested");
      await a.call("nestedAck", document);
    },
  },
  {
    name: "binary among arguments",
    async run(t) {
      const a = await t.client();
      a.emit("mixed", "first", bytes(5), { n: 1 }, bytes(6));
      await a.seen("event", "mixed");
      await a.call("mixedAck", "first", bytes(5), { n: 1 }, bytes(6));
    },
  },
  {
    name: "ack of the client",
    async run(t) {
      const a = await t.client();
      a.answer = (args) => ["you asked", ...args];
      a.emit("ask", "what", 1, { b: 2 });
      await a.seen("event", "answered");
      a.emit("ask");
      await a.seen("event", "answered", 2);
    },
  },
  {
    name: "ack of the client, binary",
    async run(t) {
      const a = await t.client();
      a.answer = () => [bytes(30)];
      a.emit("askBinary", bytes(5));
      await a.seen("event", "answeredBinary");
    },
  },
  {
    name: "ack of the client, never given",
    async run(t) {
      const a = await t.client();
      a.emit("ask", "anybody?");
      await a.seen("event", "unanswered");
    },
  },
  {
    name: "error as ack",
    async run(t) {
      const a = await t.client();
      await a.call("forbidden");
      await a.call("broken");
      await a.call("echoAck", "still here");
    },
  },
  {
    name: "unknown event",
    async run(t) {
      const a = await t.client();
      a.emit("nobody listens", 1);
      await a.call("echoAck", "still here");
    },
  },
  {
    name: "unknown event with ack",
    async run(t) {
      const a = await t.client();
      a.io.emit("nobody listens", 1, (...answer) => a.log.push(["ack", "nobody listens", ...answer]));
      if (t.version === "v4") {
        // What comes as an ack is a success to emitWithAck, and ends the retries of a client that has some.
        const outcome = await a.io.timeout(300).emitWithAck("nobody listens", 2).then((answer) => ["ack", answer], (error) => ["error", error.message]);
        a.log.push(["emitWithAck", ...outcome]);
      }
      await a.call("echoAck", "then");
    },
  },
  {
    name: "events named open, close, error and numbers",
    async run(t) {
      const a = await t.client();
      for (const event of ["open", "close", "error", "message", "end", "toString", "__proto__", 7]) a.emit(event, 1);
      await a.call("echoAck", "still here");
    },
  },
  {
    name: "large text",
    async run(t) {
      const a = await t.client();
      const text = "0123456789abcdé😀".repeat(15_000);
      a.emit("echo", text);
      await a.seen("event", "echo");
      await a.call("echoAck", text);
    },
  },
  {
    name: "large binary",
    async run(t) {
      const a = await t.client();
      a.emit("binary", bytes(400_000));
      await a.seen("event", "binary");
      await a.call("binaryAck", bytes(400_000));
    },
  },
  {
    name: "thousands of messages and a large one from one handler",
    async run(t) {
      const a = await t.client();
      const [messages, size, large] = [5_000, 200, 8_000_000];
      a.emit("pour", { messages, size, large });
      await a.seen("event", "poured", messages + 1);
      const poured = a.log.filter((line) => line[1] === "poured").map((line) => line.slice(2));
      a.log.length = 0;
      t.note("in order", poured.every((args, i) => args[0] === i));
      t.note("complete", poured.every((args, i) => args[1].length === (i < messages ? size : large)));
      await a.call("echoAck", "still here");
    },
  },
  {
    name: "message over the limit",
    server: { maxMessage: 10_000 },
    async run(t) {
      const a = await t.client();
      a.emit("echo", "x".repeat(20_000));
      await a.seen("disconnect");
    },
  },
  {
    name: "order, 200 both ways",
    async run(t) {
      // Does not wait for the upgrade: nothing may be lost or overtaken in its course.
      const connection = t.connection();
      const a = t.open(connection);
      await a.connected();
      a.emit("count", 200);
      for (let i = 0; i < 200; i++) {
        a.emit("echo", i);
        if (i % 20 === 0) await pause(1);
      }
      await a.seen("event", "number", 200);
      await a.seen("event", "echo", 200);
      const numbers = a.log.filter((line) => line[1] === "number").map((line) => line[2]);
      const echoes = a.log.filter((line) => line[1] === "echo").map((line) => line[2]);
      a.log.length = 0;
      t.note("numbers", numbers.join());
      t.note("echoes", echoes.join());
    },
  },
  {
    name: "order, binary and text in turn",
    async run(t) {
      const a = await t.client();
      for (let i = 0; i < 20; i++) {
        a.emit("binary", bytes(i + 1));
        a.emit("echo", i);
        a.emit("mixed", String(i), bytes(i), { n: i }, bytes(2));
      }
      await a.seen("event", "mixed", 20);
    },
  },
  {
    name: "volatile, one",
    async run(t) {
      const a = await t.client();
      await pause(60); // the transport is idle, a poll waits
      a.emit("one", 1);
      await a.seen("event", "volatile");
      a.io.volatile?.emit("echo", "volatile of the client");
      await a.call("echoAck", "end");
    },
  },
  {
    name: "volatile, a burst",
    async run(t) {
      const a = await t.client();
      await pause(60);
      await a.call("burst", 100);
      const got = a.log.filter((line) => line[1] === "volatile").map((line) => line[2]);
      a.log.length = 0;
      t.note("first came", got[0] === 0);
      t.note("in order", got.every((n, i) => i === 0 || n > got[i - 1]));
      // How many a WebSocket takes depends on the kernel; a poll takes what is there at that instant.
      if (t.transport === "polling") t.note("some dropped", got.length < 100);
    },
  },
];
