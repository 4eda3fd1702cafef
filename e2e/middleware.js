// Three servers behind the middleware that services have: request ids, security headers, cookies, CORS, compression. Each
// header appears once, whichever server a request reaches, and a page of another origin is served by every transport.
//
//   node middleware.js --server PROGRAM
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import http from "node:http";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { browser, serve } from "./lib/browser.js";
import { Cluster } from "./lib/fronts.js";
import { runTests } from "./lib/tests.js";

const { values: flags } = parseArgs({ options: { server: { type: "string" } } });
if (!flags.server) throw new Error("--server PROGRAM, please");

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const origin = "http://127.0.0.1:9"; // a page of another origin, for requests that no browser sends
const patience = 10_000; // ms
const sockjs = ["websocket", "xhr-streaming", "eventsource", "xhr-polling", "iframe-eventsource", "iframe-htmlfile", "iframe-xhr-polling", "jsonp-polling"];
const atOnce = 3; // clients of SockJS on the page: Chromium has six connections to a host
const agent = new http.Agent({ keepAlive: false }); // so that round robin takes the next server

/** Sends a request until a server has time for it: one that has not answered the others in two seconds makes them answer 503. */
async function ask(method, url, options) {
  for (let tries = 1; ; tries++) {
    const result = await askOnce(method, url, options);
    if (result.answer.statusCode !== 503 || tries === 20) return result;
    await new Promise((resolve) => setTimeout(resolve, 1_000 * Number(result.answer.headers["retry-after"] ?? 1)));
  }
}

/** Sends a request and resolves with the answer and the beginning of its body; the rest of it is not waited for. */
function askOnce(method, url, { headers = {}, body } = {}) {
  return new Promise((resolve, reject) => {
    const request = http.request(url, { method, agent, headers: { Origin: origin, "Accept-Encoding": "identity", ...headers } });
    request.setTimeout(patience, () => request.destroy(new Error(`no answer: ${method} ${url}`)));
    request.on("error", reject);
    request.on("upgrade", (answer, socket) => { socket.destroy(); resolve({ answer, text: "" }); });
    request.on("response", (answer) => {
      const done = (text) => { resolve({ answer, text: String(text) }); request.destroy(); };
      answer.once("data", done);
      answer.once("end", () => done(""));
      answer.on("error", () => {});
    });
    request.end(body);
  });
}

const websocket = { headers: { Connection: "Upgrade", Upgrade: "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==" } };
const preflight = { headers: { "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type" } };
const message = JSON.stringify([JSON.stringify({ event: "echo", data: 1, cid: 1 })]);

/** Requests of every kind, in an order in which a client may send them, and the status of each. */
function requests(sid) {
  const poll = "/socket.io/?EIO=4&transport=polling";
  const sock = (transport) => `/sockjs/000/${transport}-${randomUUID()}`;
  const [xhr, jsonp] = [sock("xhr"), sock("jsonp")];
  return [
    ["GET", poll, 200],
    ["POST", `${poll}&sid=${sid}`, 200, { body: '421["echo",1]' }],
    ["GET", `${poll}&sid=${sid}`, 200],
    ["OPTIONS", `${poll}&sid=${sid}`, 204, preflight],
    ["GET", `${poll}&sid=n2aBAAAAAAAAAAAAAAAA`, 400],
    ["GET", "/socket.io/?EIO=4&transport=websocket", 101, websocket],
    ["GET", `/socket.io/?EIO=4&transport=websocket&sid=${sid}`, 101, websocket],
    ["GET", "/sockjs/info", 200],
    ["OPTIONS", "/sockjs/info", 204, preflight],
    ["GET", "/sockjs/iframe.html", 200, { headers: { Referer: `${origin}/page` } }],
    ["POST", `${xhr}/xhr`, 200],
    ["POST", `${xhr}/xhr_send`, 204, { body: message }],
    ["POST", `${xhr}/xhr`, 200],
    ["OPTIONS", `${xhr}/xhr`, 204, preflight],
    ["POST", `${sock("stream")}/xhr_streaming`, 200],
    ["GET", `${sock("events")}/eventsource`, 200],
    ["GET", `${sock("htmlfile")}/htmlfile?c=call`, 200],
    ["GET", `${jsonp}/jsonp?c=call`, 200],
    ["POST", `${jsonp}/jsonp_send`, 200, { body: message, headers: { "Content-Type": "text/plain" } }],
    ["GET", `${jsonp}/jsonp?c=call`, 200],
    ["POST", `${sock("nobody")}/xhr_send`, 404, { body: message }],
    ["GET", `${sock("ws")}/websocket`, 101, websocket],
    ["GET", "/sockjs/websocket", 101, websocket],
  ];
}

/** Fails unless the answer has each header once, and those of the middleware. */
function checkOnce(answer, about, encoding) {
  const lines = {};
  for (let i = 0; i < answer.rawHeaders.length; i += 2) (lines[answer.rawHeaders[i].toLowerCase()] ??= []).push(answer.rawHeaders[i + 1]);
  const once = (what, list) => assert.equal(new Set(list).size, list.length, `${about}: ${what}: ${list}`);
  const { vary = [], "set-cookie": cookies = [], ...others } = lines;
  for (const [name, values] of Object.entries(others)) assert.equal(values.length, 1, `${about}: ${name}: ${values}`);
  once("Vary", vary.flatMap((line) => line.toLowerCase().split(",").map((token) => token.trim())));
  once("Set-Cookie", cookies.map((line) => line.split("=")[0]));
  assert.ok(vary.join().toLowerCase().includes("origin"), `${about}: Vary: ${vary}`);
  // chi's Compress adds a line of Vary for itself, after everybody else.
  if (encoding === "identity") assert.equal(vary.length, 1, `${about}: Vary: ${vary}`);
  assert.deepEqual(others["access-control-allow-origin"], [origin], about);
  assert.deepEqual(others["access-control-allow-credentials"], ["true"], about);
  for (const name of ["x-request-id", "content-security-policy", "referrer-policy", "x-content-type-options"]) {
    assert.ok(others[name], `${about}: ${name}`);
  }
  assert.ok(cookies.some((line) => line.startsWith("sliding=")), about);
}

/** Sends every request to each of the URLs, with and without compression. Resolves with the number of the answers. */
async function checkRequests(urls, home) {
  const kinds = {};
  for (const encoding of ["identity", "gzip"]) {
    for (const url of urls) {
      const { text } = await ask("GET", `${home}/socket.io/?EIO=4&transport=polling`);
      const { sid } = JSON.parse(text.slice(1));
      await ask("POST", `${home}/socket.io/?EIO=4&transport=polling&sid=${sid}`, { body: "40" });
      await ask("GET", `${home}/socket.io/?EIO=4&transport=polling&sid=${sid}`);
      for (const [method, target, status, options = {}] of requests(sid)) {
        const { answer } = await ask(method, url + target, { ...options, headers: { ...options.headers, "Accept-Encoding": encoding } });
        const about = `${method} ${target} by way of ${url}, ${encoding}`;
        assert.equal(answer.statusCode, status, about);
        checkOnce(answer, about, encoding);
        const node = answer.headers["x-sio-node"] ?? "the middleware";
        kinds[node] = (kinds[node] ?? 0) + 1;
      }
    }
  }
  return kinds;
}

/** Has the page try everything there is. */
async function checkPage(page, url) {
  assert.equal(await page.evaluate((u) => window.trySocketIO(u, ["polling"], 10), url), "polling");
  assert.equal(await page.evaluate((u) => window.trySocketIO(u, ["websocket"], 10), url), "websocket");
  assert.equal(await page.evaluate((u) => window.trySocketIO(u, ["polling", "websocket"], 10), url), "websocket");
  const waiting = sockjs.values();
  await Promise.all(Array.from({ length: atOnce }, async () => {
    for (const transport of waiting) {
      assert.equal(await page.evaluate((args) => window.trySockJS(...args), [`${url}/sockjs`, transport, 5]), transport);
    }
  }));
  const { status, id } = await page.evaluate((u) => window.tryFetch(u), url);
  assert.equal(status, 200);
  assert.ok(id, "the page may read the request id");
}

/** A cluster with this middleware, behind a front that open starts. */
const behind = (args, open) => async ({ context, foreign }) => {
  const all = [...args, "-client", `${foreign.origin}/sockjs.js`];
  const cluster = await Cluster.start(flags.server, { args: all });
  const page = await context.newPage();
  const messages = [];
  page.on("console", (line) => { if (line.type() === "error") messages.push(line.text()); });
  try {
    const url = await open(cluster, all);
    const nodes = cluster.ports.map((port) => `http://127.0.0.1:${port}`);
    const kinds = await checkRequests([...nodes, url], nodes[0]);
    await page.goto(`${foreign.origin}/page`);
    await checkPage(page, url).catch((error) => { throw new Error([error.message, ...messages].join("\n")); });
    const forwarded = await cluster.forwarded();
    assert.ok(forwarded > 50, `${forwarded} requests forwarded`);
    console.log(`        answers by ${JSON.stringify(kinds)}, ${forwarded} requests forwarded`);
  } finally {
    await page.close();
    await cluster.stop();
  }
};

const nginx = (cluster, _, ports) => cluster.front("nginx", "nginx-round-robin.conf", ports);
const dispatchers = async (cluster, args) => {
  const urls = [];
  for (let i = 0; i < 3; i++) urls.push(await cluster.dispatcher("least", args));
  return nginx(cluster, args, urls.map((url) => new URL(url).port));
};
const tests = {};
for (const [front, cors, compress] of [
  ["round robin", "rs", "front"], ["round robin", "strict", "behind"],
  ["round robin over three dispatchers", "strict", "front"], ["round robin over three dispatchers", "rs", "behind"],
]) {
  const name = `nginx ${front}, CORS by ${cors}, compression ${compress === "front" ? "in front of" : "behind"} Forward`;
  tests[name] = behind(["-cors", cors, "-compress", compress], front === "round robin" ? nginx : dispatchers);
}

const { context, close } = await browser();
const foreign = await serve({
  "/page": here("middleware.html"),
  "/socket.io.js": here("node_modules/socket.io-client/dist/socket.io.js"),
  "/sockjs.js": here("node_modules/sockjs-client/dist/sockjs.js"),
});
try {
  process.exitCode = (await runTests(tests, { context, foreign })) ? 1 : 0;
} finally {
  await close();
  foreign.stop();
}
process.exit();
