// Every transport of SockJS that Chromium can do, from a page of another origin and from one
// of the service's own: let in or refused, as the page and as the server see it.
//
//   node sockjs-browser.js --server PROGRAM
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { browser, serve } from "./lib/browser.js";
import { ServerProcess } from "./lib/control.js";
import { runTests } from "./lib/tests.js";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const { values: flags } = parseArgs({ options: { server: { type: "string" } } });
if (!flags.server) throw new Error("--server PROGRAM, please");

const plain = ["websocket", "xhr-streaming", "eventsource", "xhr-polling"];
const iframes = ["iframe-eventsource", "iframe-htmlfile", "iframe-xhr-polling"];
const jsonp = "jsonp-polling";
const everything = [...plain, ...iframes, jsonp];
const atOnce = 3; // clients of a page: Chromium has six connections to a host

const scripts = { "1.6.1": "/1.6.1/sockjs.js", "1.1.5": "/1.1.5/sockjs.js" };
const texts = ["hello", "𝒳 😀 é", "\"quoted\" \\", "</script><!--", "\u0000\u0001\u001f\u007f", "\u2028\u2029\u200c", "100% %41 %", "\uffff", "a=1&b=2+3"];
const long = 200_000; // beyond the limit of a stream
const count = 100;

const connected = (transport) => ({
  transport, texts, long, numbers: Array.from({ length: count }, (_, i) => i), ack: "ack 😀", close: [1000, "Normal closure", true],
});
const refused = (code, reason) => ({ transport: null, texts: [], long: null, numbers: [], ack: null, close: [code, reason, false] });
const noInfo = refused(1002, "Cannot connect to server");
const noTransport = refused(2000, "All transports failed");

/** Tries transports from a page, and returns what it saw of each. */
async function attempts({ page, url: base }, transports) {
  const outcomes = {};
  const waiting = transports.values();
  await Promise.all(Array.from({ length: atOnce }, async () => {
    for (const transport of waiting) {
      const url = `${base}/sockjs?tag=${transport}`;
      outcomes[transport] = await page.evaluate((args) => window.attempt(...args), [url, [transport], texts, long, count]);
    }
  }));
  return outcomes;
}

/** Fails unless those were let in and kicked by the server, each once, and nobody else. */
async function checkLog(instance, transports) {
  const lines = await instance.log(2 * transports.length);
  const wanted = transports.flatMap((name) => [`${name} / open`, `${name} / close: server namespace disconnect`]);
  assert.deepEqual([...lines].sort(), wanted.sort());
}

/** The last parts of the paths that the server says it has refused. */
function refusedPaths(server, origin) {
  const lines = server.errors.split("\n").filter((line) => line.includes("origin refused"));
  if (origin) for (const line of lines) assert.ok(line.includes(` origin=${origin} `), line);
  return new Set(lines.map((line) => line.match(/url=\S*\/(\S+)/)[1]));
}

/** The same server by a name that is not this host's to a browser: it sends no Sec-Fetch-Site there. */
const byName = (url, name) => url.replace("127.0.0.1", `${name}.test`);

/**
 * A test with a server that lists origins, and a page of another origin; "foreign" stands
 * for that in the list. With names, both go by one.
 */
function from({ origins = [], version = "1.6.1", referrer = "", own = false, names = false, sockjs = {} }, test) {
  return async ({ context, server, foreign }) => {
    server.errors = "";
    const home = names ? byName(foreign.origin, "page") : foreign.origin;
    const script = home + scripts[version];
    const instance = await server.instance({
      origins: origins.map((origin) => (origin === "foreign" ? home : origin)), sockjs: { clientURL: script, ...sockjs },
      page: own ? here("sockjs.html") : "",
    });
    const page = await context.newPage();
    try {
      await page.goto(`${own ? instance.url : home}/page?client=${script}&referrer=${referrer}`);
      await page.waitForFunction(() => window.SockJS);
      assert.equal(await page.evaluate(() => window.SockJS.version), version);
      await test({ page, instance, server, home, url: names ? byName(instance.url, "service") : instance.url });
    } finally {
      await page.close();
      await instance.remove();
    }
  };
}

/** Expects those transports to be let in, and the others refused with an outcome. */
const expect = (welcome, outcome, wantedPaths) => async (t) => {
  const outcomes = await attempts(t, everything);
  for (const transport of everything) {
    assert.deepEqual(outcomes[transport], welcome.includes(transport) ? connected(transport) : outcome, transport);
  }
  await checkLog(t.instance, welcome);
  assert.deepEqual([...refusedPaths(t.server)].sort(), [...wantedPaths].sort());
};

/** Answers info in the place of the service, so that the client tries its transports. */
async function forgeInfo({ page, home }) {
  const info = { websocket: true, origins: ["*:*"], cookie_needed: false, entropy: 1 };
  await page.route("**/sockjs/info?*", (route) => route.fulfill({
    json: info, headers: { "Access-Control-Allow-Origin": home, "Access-Control-Allow-Credentials": "true" },
  }));
}

const tests = {};
for (const version of Object.keys(scripts)) {
  tests[`client ${version}, no origins listed: all connect`] = from({ version }, expect(everything, null, []));
  tests[`client ${version}, its origin listed: all connect`] = from({ version, origins: ["own", "foreign"] }, expect(everything, null, []));
  tests[`client ${version}, another origin listed: none does`] = from({ version, origins: ["own"] }, expect([], noInfo, ["info"]));
}

Object.assign(tests, {
  // What the client does not try after a refused info, another script would.
  "another origin listed, and info forged: none connects": from({ origins: ["own"] }, async (t) => {
    await forgeInfo(t);
    await expect([], noTransport, ["websocket", "xhr_streaming", "eventsource", "xhr", "iframe.html", "jsonp"])(t);
    refusedPaths(t.server, t.home);
  }),

  "its origin listed, the service's own is not: no iframes, for they are of the service":
    from({ origins: ["foreign"] }, expect([...plain, jsonp], noTransport, ["eventsource", "htmlfile", "xhr"])),

  "its origin listed, but no Referer: nothing that needs one as its proof":
    from({ origins: ["own", "foreign"], referrer: "no-referrer" }, expect(plain, noTransport, ["iframe.html", "jsonp"])),

  // Where a browser sends no Sec-Fetch-Site, there is nothing but the Referer.
  "over plain HTTP by name: all connect": from({ origins: ["*.test:*"], names: true }, expect(everything, null, [])),

  "over plain HTTP by name, its origin not listed: no page is embedded": from({ origins: ["service.test:*"], names: true }, async (t) => {
    await forgeInfo(t);
    await expect([], noTransport, ["websocket", "xhr_streaming", "eventsource", "xhr", "iframe.html", "jsonp"])(t);
  }),

  "over plain HTTP by name, but no Referer: nothing that needs one as its proof":
    from({ origins: ["*.test:*"], names: true, referrer: "no-referrer" }, expect(plain, noTransport, ["iframe.html", "jsonp"])),

  "a page of the service itself: all connect, htmlfile without an iframe page, too": from({ origins: ["own"], own: true }, async (t) => {
    const transports = [...everything, "htmlfile"];
    const outcomes = await attempts(t, transports);
    for (const transport of transports) assert.deepEqual(outcomes[transport], connected(transport), transport);
    await checkLog(t.instance, transports);
    assert.deepEqual([...refusedPaths(t.server)], []);
  }),

  "left to itself, the client takes the best there is": from({ origins: ["foreign"] }, async (t) => {
    const outcome = await t.page.evaluate((args) => window.attempt(...args), [`${t.instance.url}/sockjs`, [], texts, long, count]);
    assert.deepEqual(outcome, connected("websocket"));
  }),

  "left to itself, without WebSocket": from({ origins: ["foreign"], sockjs: { noWebSocket: true } }, async (t) => {
    const outcome = await t.page.evaluate((args) => window.attempt(...args), [`${t.instance.url}/sockjs`, [], texts, long, count]);
    assert.deepEqual(outcome, connected("xhr-streaming"));
  }),
});

const { context, close } = await browser();
const foreign = await serve({
  "/page": here("sockjs.html"),
  [scripts["1.6.1"]]: join(here("node_modules"), "sockjs-client/dist/sockjs.js"),
  [scripts["1.1.5"]]: join(here("node_modules"), "sockjs-client-v1.1/dist/sockjs.js"),
});
const server = await ServerProcess.start("thinkws", flags.server, []);
try {
  const failed = await runTests(tests, { context, server, foreign });
  process.exitCode = failed ? 1 : 0;
} finally {
  await close();
  foreign.stop();
  await server.stop();
}
process.exit(); // whatever a test that took too long left running
