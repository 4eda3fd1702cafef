// A client of SockJS for the steps of sockjs-protocol's suite, and what they check time and again.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { call, stream } from "./http.js";
import { Socket } from "./socket.js";

export const echo = "/echo";
export const noWebSocket = "/disabled_websocket_echo";
export const withCookie = "/cookie_needed_echo";

export const session = (service = echo) => `${service}/000/${randomUUID()}`;
export const form = { "Content-Type": "application/x-www-form-urlencoded" };
export const busy = 'c[2010,"Another connection still open"]\n';

/** A client of one server. */
class Client {
  constructor(base) { this.base = base; }

  get(path, headers) { return call(this.base, "GET", path, { headers }); }

  post(path, body, headers, within) { return call(this.base, "POST", path, { body, headers, within }); }

  options(path, headers) { return call(this.base, "OPTIONS", path, { headers }); }

  getStream(path, headers) { return stream(this.base, "GET", path, { headers }); }

  postStream(path, headers) { return stream(this.base, "POST", path, { headers }); }

  websocket(path) { return new Socket(this.base + path); }

  /** A session that has been opened by xhr. */
  async opened(service) {
    const path = session(service);
    await this.receives(path, "o\n");
    return path;
  }

  /** What the next xhr gets. */
  async receives(path, body) {
    const answer = await this.post(`${path}/xhr`);
    assert.deepEqual([answer.status, answer.body], [200, body]);
    return answer;
  }

  async sends(path, body, headers) {
    const answer = await this.post(`${path}/xhr_send`, body, headers);
    assert.deepEqual([answer.status, answer.body], [204, ""]);
    return answer;
  }

  /** What the next jsonp gets. */
  async receivesJSONP(path, body, callback = "x") {
    const answer = await this.get(`${path}/jsonp?c=${callback}`);
    assert.deepEqual([answer.status, answer.body], [200, body]);
    return answer;
  }

  async sendsJSONP(path, body, headers = form) {
    const answer = await this.post(`${path}/jsonp_send`, body, headers);
    assert.deepEqual([answer.status, answer.body], [200, "ok"]);
    return answer;
  }
}

export const of = (check) => (base) => check(new Client(base));

export function checkType({ headers }, type) { assert.equal(headers["content-type"]?.replaceAll(" ", ""), type); }

export function checkNoCookie({ headers }) { assert.equal(headers["set-cookie"], undefined); }

export function checkOrigin({ headers }, origin) {
  assert.equal(headers["access-control-allow-origin"], origin);
  assert.equal(headers["access-control-allow-credentials"], "true");
}

export function checkNotCached({ headers }) {
  assert.equal(headers["cache-control"], "no-store, no-cache, no-transform, must-revalidate, max-age=0");
  assert.equal(headers.expires, undefined);
  assert.equal(headers["last-modified"], undefined);
}

function checkCachedForLong({ headers }) {
  assert.match(headers["cache-control"], /public/);
  assert.match(headers["cache-control"], /max-age=[1-9]\d{6}/);
  assert.ok(headers.expires);
}

export function checkPreflight(answer) {
  assert.ok([200, 204].includes(answer.status), String(answer.status));
  assert.equal(answer.body, "");
}

/** Preflights of a path, from a page with an origin and from one without. */
export async function checkPreflights(c, path, methods) {
  for (const origin of ["test", "null"]) {
    const answer = await c.options(path, { Origin: origin, "Access-Control-Request-Method": methods.join(", ") });
    checkPreflight(answer);
    checkCachedForLong(answer);
    assert.ok(Number(answer.headers["access-control-max-age"]) > 1_000_000);
    for (const method of methods) assert.ok(answer.headers["access-control-allow-methods"].includes(method), method);
    checkOrigin(answer, origin);
  }
}

export function checkMethodRefused({ status, headers, body }) {
  assert.equal(status, 405);
  assert.equal(headers["content-type"], undefined);
  assert.ok(headers.allow);
  assert.equal(body, "");
}

export async function checkIframe(c, path) {
  const answer = await c.get(echo + path);
  assert.equal(answer.status, 200, path);
  checkType(answer, "text/html;charset=UTF-8");
  checkCachedForLong(answer);
  assert.ok(answer.headers.etag);
  assert.equal(answer.headers["last-modified"], undefined);
  checkNoCookie(answer);
  const lines = answer.body.trim().split("\n").map((line) => line.trim());
  const script = lines.findIndex((line) => line.startsWith("<script src="));
  assert.match(lines[script], /^<script src="(\/|http)[^"]*"><\/script>$/);
  assert.deepEqual(lines.toSpliced(script, 1), iframeLines);
}

const iframeLines = [
  "<!DOCTYPE html>", "<html>", "<head>",
  '<meta http-equiv="X-UA-Compatible" content="IE=edge" />',
  '<meta http-equiv="Content-Type" content="text/html; charset=UTF-8" />',
  "<script>", "document.domain = document.domain;", "SockJS.bootstrap_iframe();", "</script>", "</head>",
  "<body>", "<h2>Don't panic!</h2>", "<p>This is a SockJS hidden iframe. It's used for cross domain magic.</p>", "</body>", "</html>",
];

export const htmlfileLines = (callback) => [
  "<!doctype html>", "<html><head>",
  '<meta http-equiv="X-UA-Compatible" content="IE=edge" />',
  '<meta http-equiv="Content-Type" content="text/html; charset=UTF-8" />',
  "</head><body><h2>Don't panic!</h2>",
  "<script>", "document.domain = document.domain;", `var c = parent.${callback};`, "c.start();",
  "function p(d) {c.message(d);};", "window.onload = function() {c.stop();};", "</script>",
];

/** A stream of a transport whose prelude and open frame have been read. */
export async function streaming(c, open, frame) {
  const answer = await open;
  assert.equal(answer.status, 200);
  const prelude = await answer.read();
  assert.ok(prelude);
  assert.equal(await answer.read(), frame("o"));
  return { ...answer, prelude };
}

export const xhrFrame = (frame) => `${frame}\n`;
export const eventFrame = (frame) => `data: ${frame}\r\n\r\n`;
export const htmlFrame = (frame) => `<script>\np(${JSON.stringify(frame)});\n</script>\r\n`;

/** A second receiver gets to know, without a wait, that there is another. */
export async function checkBusy(c, path) {
  const second = await c.postStream(`${path}/xhr_streaming`);
  await second.read();
  assert.equal(await second.read(1_000), busy);
  assert.equal(await second.read(), "");
}

/** After a receiver was cut off there is a new session, or word of the interruption. */
export const afterAbort = ["o\n", 'c[1002,"Connection interrupted"]\n'];

export async function checkCallback(c, transport) {
  for (const callback of ["%20", "*", "abc(", "abc%28"]) {
    const answer = await c.get(`${echo}/a/a/${transport}?c=${callback}`);
    assert.equal(answer.status, 500, callback);
    assert.match(answer.body, /invalid "callback" parameter/);
  }
}

export async function checkNoCallback(c, transport) {
  const answer = await c.get(`${echo}/a/a/${transport}`);
  assert.equal(answer.status, 500);
  assert.match(answer.body, /"callback" parameter required/);
}

export function checkCookie({ status, headers }, value = "dummy") {
  assert.equal(status, 200);
  const [cookie, path] = headers["set-cookie"].split(";").map((part) => part.trim());
  assert.equal(cookie, `JSESSIONID=${value}`);
  assert.equal(path.toLowerCase(), "path=/");
}

/** A stream of a transport sets the cookie. */
export async function checkStreamCookie(answer) {
  checkCookie(answer);
  answer.close();
}

/** The characters that a server must escape in what it sends, as JSON text. */
export function escapedByServer() {
  const ranges = [[0x200c, 0x200f], [0x2028, 0x202f], [0x2060, 0x206f], [0xfff0, 0xffff]];
  const escapes = ranges.flatMap(([from, to]) => Array.from({ length: to - from + 1 }, (_, i) => escape(from + i)));
  return `"${escapes.join("")}"`;
}

/** Every character of the basic plane as JSON escapes, among them all that clients escape. */
export function everyCharacter() {
  const codes = Array.from({ length: 0x10000 }, (_, code) => code).filter((code) => code < 0xd800 || code > 0xdfff);
  return `"${codes.map(escape).join("")}"`;
}

function escape(code) { return `\\u${code.toString(16).padStart(4, "0")}`; }

export const greeting = "Welcome to SockJS!\n";
