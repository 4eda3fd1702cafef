// What clients of SockJS send and get, how they come and go, and what the server sees.
import { pause } from "../lib/run.js";
import { until } from "../lib/client.js";

const texts = [
  "hello", " ", "\"quoted\" and \\ and /", "</script><!--", "line\nfeed\r\ttab", "a[\"x\"]", "h", "o", "c[3000,\"no\"]",
  "null", "0", "[1,2]", "{\"event\":\"close\"}", "100% %41 %zz %", "a,b", "#unknown command",
];

const unicode = [
  "é ü ß ñ", "e\u0301", "日本語", "ру́сский", "עברית عربى", "😀", "👩‍👩‍👧‍👦 and 🏳️‍🌈", "𝒳𝒴𝒵 𠜎", "a😀b😀c", "😀".repeat(70),
];

const controls = [
  Array.from({ length: 0x20 }, (_, i) => String.fromCharCode(i)).join(""), "\u0000", "\u007f\u0080\u009f", "\u0085\u200b\ufeff",
  "\u2028 and \u2029", "\u200c\u200f\u202f\u2060\u206f", "\ufff0\uffff\ufffe", "end\u0000",
];

/** Sends all at once and waits for as many messages. */
async function echo(t, list) {
  const a = await t.client();
  a.send(...list);
  await a.got(list.length);
}

const long = (n, letter = "x") => letter.repeat(n);

// Between two polls nobody waits, and what becomes of the client then shows only after the
// disconnect delay. This is long enough for the next one to wait.
const settled = () => pause(80);

// Node's server keeps a session that it has closed for so long, and then says so.
const briefly = { sockjs: { disconnectDelay: 1_000 } };

export default [
  { name: "text", run: (t) => echo(t, texts) },
  { name: "unicode", run: (t) => echo(t, unicode) },
  { name: "control characters", run: (t) => echo(t, controls) },
  { name: "an empty text", run: (t) => echo(t, ["", "then"]) },
  { name: "lone surrogate", run: (t) => echo(t, ["a\ud83d", "\ude00b"]) },
  {
    name: "values other than texts",
    run: (t) => echo(t, [1, null, true, { a: 1 }, [1, [2]]]),
  },
  {
    name: "open and close by the client",
    async run(t) {
      const a = await t.client();
      await settled();
      a.io.close(3001, "enough 😀");
      await a.end();
      await t.server(2);
    },
  },
  {
    name: "close by the client without a code",
    async run(t) {
      const a = await t.client();
      a.send("#log before");
      await t.instance.log(2);
      await settled();
      a.io.close();
      await a.end();
      await t.server(3);
    },
  },
  {
    name: "long texts beyond the limit of a stream",
    async run(t) {
      const a = await t.client();
      for (const [i, n] of [1_000, 70_000, 131_072, 200_000, 450_000].entries()) {
        a.send(long(n, "abcde"[i]));
        await a.got(i + 1);
      }
      a.send("and on");
      await a.got(6);
      t.note("streams", t.requests(/\/(xhr_streaming|eventsource)\?/)); // each has its limit
      t.note("unaltered", a.texts.slice(0, 5).every((text, i) => text === long(text.length, "abcde"[i])));
    },
  },
  {
    name: "a long text of characters that are escaped",
    async run(t) {
      const a = await t.client();
      // The EventSource of 1.1.5 decodes each chunk of the network by itself, and so breaks what is
      // longer than a byte and lies on the edge of one.
      const plain = t.version === "1.1.5" && t.transport === "eventsource" ? "e" : "é😀";
      const text = `${plain}\u2028"\\\n%`.repeat(9_000);
      a.send(text);
      await a.got(1);
      t.note("unaltered", a.texts[0] === text);
    },
  },
  {
    name: "many messages beyond the limit of a stream, in order",
    async run(t) {
      const a = await t.client();
      const list = Array.from({ length: 900 }, (_, i) => `${i} ${long(400)}`);
      for (let i = 0; i < list.length; i += 100) {
        a.send(...list.slice(i, i + 100));
        await pause(5);
      }
      await a.got(list.length);
      await pause(20);
      t.note("in order, once", a.texts.length === list.length && list.every((text, i) => text === a.texts[i]));
    },
  },
  {
    name: "many small messages at once",
    async run(t) {
      const a = await t.client();
      a.send("#count 800");
      await a.got(800);
      a.send(...Array.from({ length: 300 }, (_, i) => `echo ${i}`));
      await a.got(1_100);
    },
  },
  {
    name: "thousands of messages and a large one from one handler",
    async run(t) {
      const a = await t.client();
      const [messages, size, large] = [2_000, 200, 1_000_000]; // the clients are slow with more
      a.send(`#pour ${messages} ${size} ${large}`);
      await a.got(messages + 1);
      const poured = a.texts.splice(0);
      a.log.length = 1; // that it is open
      t.note("in order", poured.every((text, i) => i === messages || text.startsWith(`${i}x`)));
      t.note("complete", poured.every((text, i) => text.length === (i < messages ? String(i).length + size : large)));
    },
  },
  {
    name: "conversation",
    async run(t) {
      const a = await t.client();
      for (let i = 1; i <= 25; i++) {
        a.send(`turn ${i}`);
        await a.got(i);
      }
    },
  },
  {
    name: "sent while the client is opening",
    async run(t) {
      const a = t.begin();
      let thrown;
      try {
        a.send("too early");
      } catch (error) {
        thrown = error.message;
      }
      t.note("thrown", thrown);
      a.io.addEventListener("open", () => a.send("at once"));
      await a.got(1);
      await t.server(1);
    },
  },
  {
    name: "close by the server",
    server: briefly,
    async run(t) {
      const a = await t.client();
      a.send("#count 3", "#close", "never heard");
      await a.end();
      await t.server(2);
    },
  },
  {
    name: "close by the server while nothing waits",
    server: briefly,
    async run(t) {
      const a = await t.client();
      a.send("one");
      await a.got(1);
      await settled();
      a.send("#close");
      await a.end();
      await t.server(2);
    },
  },
  {
    name: "closed as it opens",
    async run(t) {
      const a = t.begin("a", { query: "&nsp=/closed" });
      await a.end();
      await t.server(0);
    },
  },
  {
    name: "closed with a code of the server's",
    server: briefly,
    async run(t) {
      const a = await t.client("a");
      const b = await t.client("b");
      b.send("here");
      await b.got(1);
      await t.instance.log(2);
      await t.instance.shutdown();
      await a.end();
      await b.end();
      t.note("server", (await t.instance.log(4)).sort());
    },
  },
  {
    name: "connections cut",
    async run(t) {
      const a = await t.client();
      a.send("one");
      await a.got(1);
      await settled();
      await t.instance.cut();
      // In Node the client does not notice the end of a stream over XHR; the server does.
      if (t.transport !== "xhr-streaming") await a.end();
      t.note("server", (await t.instance.log(2)).slice(0, 2)); // some clients come again to be told that all is lost
    },
  },
  {
    name: "info absent",
    async run(t) {
      const a = t.begin("a", { path: "/nowhere" });
      await a.end();
      await t.server(0);
    },
  },
  {
    name: "info refused",
    server: { requireOrigin: true },
    async run(t) {
      const a = t.begin();
      await a.end();
      await t.server(0);
    },
  },
  {
    name: "nobody at home",
    async run(t) {
      const a = t.begin("a", { url: "http://127.0.0.1:1" });
      await a.end();
    },
  },
  {
    name: "websocket off",
    server: { sockjs: { noWebSocket: true } },
    async run(t) {
      const a = t.begin();
      await until(() => a.opened || a.closed, "the end of the attempt");
    },
  },
  {
    name: "heartbeats",
    server: { sockjs: { heartbeatDelay: 100 } },
    async run(t) {
      const a = await t.client();
      if (t.transport === "websocket") await pause(450); // pings of WebSocket, which the client does not tell of
      else await until(() => a.heartbeats >= 3, "heartbeats");
      a.send("alive");
      await a.got(1);
      t.note("told", a.heartbeats >= 3);
    },
  },
  {
    name: "idle for longer than the disconnect delay",
    server: { sockjs: { disconnectDelay: 500 } },
    async run(t) {
      const a = await t.client();
      await pause(1_200);
      a.send("still here");
      await a.got(1);
      a.send("#close");
      await a.end();
      await pause(800); // nobody fetches what is closed: then it is gone, and that is all
      await t.server(2);
    },
  },
  {
    name: "two clients hear each other",
    async run(t) {
      const a = await t.client("a");
      const b = await t.client("b");
      await t.instance.log(2);
      for (let i = 0; i < 20; i++) {
        a.send(`#all of a ${i}`);
        b.send(`#all of b ${i}`);
      }
      await a.got(40);
      await b.got(40);
      const of = (sock, who) => sock.texts.filter((text) => text.startsWith(`of ${who}`));
      t.note("in order, once", [a, b].map((sock) => ["a", "b"].map((who) => of(sock, who))));
      for (const sock of [a, b]) sock.log.splice(1); // the two mix as they like
    },
  },
  {
    name: "sent from outside of any connection",
    async run(t) {
      const a = await t.client();
      await t.instance.log(1);
      for (let i = 0; i < 5; i++) await t.instance.emit({ event: "message", args: [`number ${i}`], strings: true });
      await a.got(5);
    },
  },
];
