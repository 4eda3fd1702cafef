// The steps of sockjs-protocol's suite against an echo: 60 of its 68 tests. The others are
// listed in leftOut, with the reason.
//
//   node protocol/sockjs.js --server PROGRAM
//   node protocol/sockjs.js --oracle
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { Connection } from "./http.js";
import {
  echo, noWebSocket, withCookie, session, form, busy, of, checkType,
  checkNoCookie, checkOrigin, checkNotCached, checkPreflight, checkPreflights, checkMethodRefused, checkIframe, htmlfileLines,
  streaming, xhrFrame, eventFrame, htmlFrame, checkBusy, afterAbort, checkCallback, checkNoCallback,
  checkCookie, checkStreamCookie, escapedByServer, everyCharacter, greeting,
} from "./sockjs-client.js";
import { pause, runSuite } from "./suite.js";

const chosenCode = "the service cannot choose the code of its close frame yet";
const leftOut = {
  "Protocol.test_closeSession": chosenCode,
  "Websocket.test_close": chosenCode,
  "Websocket.test_haproxy": "Hixie-76, a draft of WebSocket before RFC 6455, is not served",
  "JsonPolling.test_close": chosenCode,
  "RawWebsocket.test_close": chosenCode,
  "HandlingClose.test_close_frame": chosenCode,
  "Http10.test_streaming": chosenCode,
  "Http11.test_streaming": chosenCode,
};

const checks = [
  ["the greeting", "BaseUrlGreeting.test_greeting", of(async (c) => {
    for (const path of [echo, `${echo}/`]) {
      const answer = await c.get(path);
      assert.deepEqual([answer.status, answer.body], [200, greeting]);
      checkType(answer, "text/plain;charset=UTF-8");
      checkNoCookie(answer);
    }
  })],
  ["nothing is at other simple paths", "BaseUrlGreeting.test_notFound", of(async (c) => {
    for (const path of ["/a", "/a.html", "//", "///", "/a/a", "/a/a/", "/a", "/a/"]) {
      assert.equal((await c.get(echo + path)).status, 404, path);
    }
  })],

  ["the iframe page", "IframePage.test_simpleUrl", of((c) => checkIframe(c, "/iframe.html"))],
  ["the iframe page of a version", "IframePage.test_versionedUrl", of(async (c) => {
    for (const version of ["a", "", "0.1.2", "0.1.2abc-dirty.2144"]) await checkIframe(c, `/iframe-${version}.html`);
  })],
  ["the iframe page with a query", "IframePage.test_queriedUrl", of(async (c) => {
    for (const rest of ["a.html?t=1234", "0.1.2.html?t=123414", "0.1.2abc-dirty.2144.html?t=qweqweq123"]) {
      await checkIframe(c, `/iframe-${rest}`);
    }
  })],
  ["no iframe page at a misspelt path", "IframePage.test_invalidUrl", of(async (c) => {
    for (const path of ["/iframe.htm", "/iframe", "/IFRAME.HTML", "/IFRAME", "/iframe.HTML", "/iframe.xml", "/iframe-/.html"]) {
      assert.equal((await c.get(echo + path)).status, 404, path);
    }
  })],
  ["the iframe page is cached", "IframePage.test_cacheability", of(async (c) => {
    const [first, second] = [await c.get(`${echo}/iframe.html`), await c.get(`${echo}/iframe.html`)];
    assert.ok(first.headers.etag);
    assert.equal(second.headers.etag, first.headers.etag);
    const third = await c.get(`${echo}/iframe.html`, { "If-None-Match": first.headers.etag });
    assert.deepEqual([third.status, third.body, third.headers["content-type"]], [304, "", undefined]);
  })],

  ["info", "InfoTest.test_basic", of(async (c) => {
    const answer = await c.get(`${echo}/info`, { Origin: "test" });
    assert.equal(answer.status, 200);
    checkType(answer, "application/json;charset=UTF-8");
    checkNoCookie(answer);
    checkNotCached(answer);
    checkOrigin(answer, "test");
    const info = JSON.parse(answer.body);
    assert.equal(info.websocket, true);
    assert.equal(typeof info.cookie_needed, "boolean");
    assert.deepEqual(info.origins, ["*:*"]);
    assert.ok(Number.isInteger(info.entropy));
  })],
  ["info has fresh entropy", "InfoTest.test_entropy", of(async (c) => {
    const [a, b] = [await c.get(`${echo}/info`), await c.get(`${echo}/info`)].map(({ body }) => JSON.parse(body).entropy);
    assert.ok(Number.isInteger(a) && Number.isInteger(b));
    assert.notEqual(a, b);
  })],
  ["preflights of info", "InfoTest.test_options", of((c) => checkPreflights(c, `${echo}/info`, ["OPTIONS", "GET"]))],
  ["a preflight of info from a page without an origin", "InfoTest.test_options_null_origin", of(async (c) => {
    const answer = await c.options(`${echo}/info`, { Origin: "null", "Access-Control-Request-Method": "POST" });
    checkPreflight(answer);
    assert.equal(answer.headers["access-control-allow-origin"], "null");
  })],
  ["info tells that there is no WebSocket", "InfoTest.test_disabled_websocket", of(async (c) => {
    const answer = await c.get(`${noWebSocket}/info`);
    assert.equal(answer.status, 200);
    assert.equal(JSON.parse(answer.body).websocket, false);
  })],

  ["a session has any ids", "SessionURLs.test_anyValue", of(async (c) => {
    const unique = randomUUID();
    for (const ids of ["/a/a", "/_/_", "/1/", "/abcdefgh_i-j%20/abcdefg_i-j%20"]) await c.receives(echo + ids + unique, "o\n");
  })],
  ["no session at a path of another form", "SessionURLs.test_invalidPaths", of(async (c) => {
    for (const ids of ["//", "/a./a", "/a/a.", "/./.", "/", "///"]) {
      assert.equal((await c.get(`${echo}${ids}/xhr`)).status, 404, ids);
      assert.equal((await c.post(`${echo}${ids}/xhr`)).status, 404, ids);
    }
  })],
  ["the first of the two ids does not count", "SessionURLs.test_ignoringServerId", of(async (c) => {
    const id = randomUUID();
    await c.receives(`${echo}/000/${id}`, "o\n");
    await c.sends(`${echo}/000/${id}`, '["a"]');
    await c.receives(`${echo}/999/${id}`, 'a["a"]\n');
  })],

  ["a session: open, send, receive, unknown session, a second receiver", "Protocol.test_simpleSession", of(async (c) => {
    const path = await c.opened();
    await c.sends(path, '["a"]');
    await c.receives(path, 'a["a"]\n');
    assert.equal((await c.post(`${echo}/000/bad_session/xhr_send`, '["a"]')).status, 404);
    const first = new Connection(c.base);
    const waiting = first.request("POST", `${path}/xhr`).catch(() => {}); // it is cut off below
    await pause(250);
    const second = await c.post(`${path}/xhr`, "", {}, 1_000);
    assert.deepEqual([second.status, second.body], [200, busy]);
    first.close();
    await waiting;
  })],

  ["a GET without an upgrade is no WebSocket", "WebsocketHttpErrors.test_httpMethod", of(async (c) => {
    assert.equal((await c.get(`${echo}/0/0/websocket`)).status, 400);
  })],
  ["an upgrade that Connection does not name is no WebSocket", "WebsocketHttpErrors.test_invalidConnectionHeader", of(async (c) => {
    const answer = await c.get(`${echo}/0/0/websocket`, { Upgrade: "WebSocket", Connection: "close" });
    assert.equal(answer.status, 400);
    assert.ok(answer.body);
  })],
  ["a POST is no WebSocket", "WebsocketHttpErrors.test_invalidMethod", of(async (c) => {
    for (const headers of [{ Upgrade: "WebSocket", Connection: "Upgrade" }, {}]) {
      checkMethodRefused(await c.post(`${echo}/0/0/websocket`, "", headers));
    }
  })],

  ["a session over WebSocket", "Websocket.test_transport", of(async (c) => {
    const socket = c.websocket(`${session()}/websocket`);
    assert.equal(await socket.message(), "o");
    socket.send('["a"]');
    assert.equal(await socket.message(), 'a["a"]');
    socket.close();
  })],
  ["headers of a WebSocket", "Websocket.test_headersSanity", of(async (c) => {
    const connection = new Connection(c.base);
    const { status, headers } = await connection.request("GET", `${session()}/websocket`, { headers: {
      Upgrade: "websocket", Connection: "Upgrade", "Sec-WebSocket-Version": "13",
      "Sec-WebSocket-Origin": "http://asd", "Sec-WebSocket-Key": "x3JJHMbDL1EzLkh9GBhXDw==",
    } });
    assert.equal(status, 101);
    assert.equal(headers["sec-websocket-accept"], "HSmrc0sMlYUkAGmm5OPpG2HaGWk=");
    assert.equal(headers.connection.toLowerCase(), "upgrade");
    assert.equal(headers.upgrade.toLowerCase(), "websocket");
    assert.equal(headers["content-length"], undefined);
    connection.close();
  })],
  ["empty messages over WebSocket are ignored", "Websocket.test_empty_frame", of(async (c) => {
    const socket = c.websocket(`${session()}/websocket`);
    assert.equal(await socket.message(), "o");
    for (const text of ["", "[]", '["a"]']) socket.send(text);
    assert.equal(await socket.message(), 'a["a"]');
    socket.close();
  })],
  ["WebSockets may have the same id", "Websocket.test_reuseSessionId", of(async (c) => {
    const path = `${session()}/websocket`;
    const talk = async (socket, text) => {
      socket.send(JSON.stringify([text]));
      assert.equal(await socket.message(), `a["${text}"]`);
    };
    const [first, second] = [c.websocket(path), c.websocket(path)];
    assert.equal(await first.message(), "o");
    assert.equal(await second.message(), "o");
    await talk(first, "a");
    await talk(second, "b");
    first.close();
    second.close();
    const third = c.websocket(path);
    assert.equal(await third.message(), "o");
    await talk(third, "a");
    third.close();
  })],
  ["broken JSON closes the WebSocket", "Websocket.test_broken_json", of(async (c) => {
    const socket = c.websocket(`${session()}/websocket`);
    assert.equal(await socket.message(), "o");
    socket.send('["a');
    await socket.closed();
  })],

  ["preflights of xhr", "XhrPolling.test_options", of(async (c) => {
    for (const transport of ["xhr", "xhr_send"]) await checkPreflights(c, `${echo}/abc/abc/${transport}`, ["OPTIONS", "POST"]);
  })],
  ["a session over xhr", "XhrPolling.test_transport", of(async (c) => {
    const path = session();
    const opened = await c.post(`${path}/xhr`, "", { Origin: "test" });
    assert.deepEqual([opened.status, opened.body], [200, "o\n"]);
    const sent = await c.sends(path, '["x"]', { Origin: "test" });
    for (const [answer, type] of [[opened, "application/javascript"], [sent, "text/plain"]]) {
      checkType(answer, `${type};charset=UTF-8`);
      checkOrigin(answer, "test");
      checkNotCached(answer);
    }
    await c.receives(path, 'a["x"]\n');
  })],
  ["xhr_send to an unknown session", "XhrPolling.test_invalid_session", of(async (c) => {
    assert.equal((await c.post(`${session()}/xhr_send`, '["x"]')).status, 404);
  })],
  ["xhr_send of broken JSON, or of nothing", "XhrPolling.test_invalid_json", of(async (c) => {
    const path = await c.opened();
    for (const [body, complaint] of [['["x', /Broken JSON encoding\./], ["", /Payload expected\./]]) {
      const answer = await c.post(`${path}/xhr_send`, body);
      assert.equal(answer.status, 500);
      assert.match(answer.body, complaint);
    }
    await c.sends(path, '["a"]');
    await c.receives(path, 'a["a"]\n');
  })],
  ["xhr_send has any content type", "XhrPolling.test_content_types", of(async (c) => {
    const path = await c.opened();
    const types = ["text/plain", "T", "application/json", "application/xml", "", "application/json; charset=utf-8", "text/xml; charset=utf-8", "text/xml"];
    for (const type of types) await c.sends(path, '["a"]', { "Content-Type": type });
    await c.receives(path, `a[${types.map(() => '"a"').join(",")}]\n`);
  })],
  ["a preflight gets the headers that it asks for", "XhrPolling.test_request_headers_cors", of(async (c) => {
    for (const names of ["a, b, c", "", undefined]) {
      const asked = names === undefined ? {} : { "Access-Control-Request-Headers": names };
      const answer = await c.options(`${session()}/xhr`, { Origin: "test", "Access-Control-Request-Method": "POST", ...asked });
      checkPreflight(answer);
      checkOrigin(answer, "test");
      assert.equal(answer.headers["access-control-allow-headers"], names || undefined);
    }
  })],
  ["xhr_send of no messages", "XhrPolling.test_sending_empty_frame", of(async (c) => {
    const path = await c.opened();
    await c.sends(path, "[]");
    await c.sends(path, '["a"]');
    await c.receives(path, 'a["a"]\n');
  })],

  ["preflights of xhr_streaming", "XhrStreaming.test_options", of((c) => checkPreflights(c, `${echo}/abc/abc/xhr_streaming`, ["OPTIONS", "POST"]))],
  ["a session over xhr_streaming", "XhrStreaming.test_transport", of(async (c) => {
    const path = session();
    const answer = await streaming(c, c.postStream(`${path}/xhr_streaming`, { Origin: "test" }), xhrFrame);
    checkType(answer, "application/javascript;charset=UTF-8");
    checkOrigin(answer, "test");
    checkNotCached(answer);
    assert.equal(answer.prelude, `${"h".repeat(2048)}\n`);
    await c.sends(path, '["x"]');
    assert.equal(await answer.read(), 'a["x"]\n');
    answer.close();
  })],
  ["xhr_streaming ends after enough bytes", "XhrStreaming.test_response_limit", of(async (c) => {
    const path = session();
    const answer = await streaming(c, c.postStream(`${path}/xhr_streaming`), xhrFrame);
    const message = `"${"x".repeat(128)}"`;
    for (let i = 0; i < 31; i++) {
      await c.sends(path, `[${message}]`);
      assert.equal(await answer.read(), `a[${message}]\n`);
    }
    assert.equal(await answer.read(), "");
  })],

  ["a session over eventsource", "EventSource.test_transport", of(async (c) => {
    const path = session();
    const answer = await streaming(c, c.getStream(`${path}/eventsource`), eventFrame);
    checkType(answer, "text/event-stream");
    checkNotCached(answer);
    assert.equal(answer.prelude, "\r\n");
    await c.sends(path, '["x"]');
    assert.equal(await answer.read(), eventFrame('a["x"]'));
    await c.sends(path, String.raw`["  \u0000\n\r "]`);
    assert.equal(await answer.read(), eventFrame(String.raw`a["  \u0000\n\r "]`));
    answer.close();
  })],
  ["eventsource ends after enough bytes", "EventSource.test_response_limit", of(async (c) => {
    const path = session();
    const answer = await streaming(c, c.getStream(`${path}/eventsource`), eventFrame);
    const message = `["${"x".repeat(4096)}"]`;
    await c.sends(path, message);
    assert.equal(await answer.read(), eventFrame(`a${message}`));
    assert.equal(await answer.read(), "");
  })],

  ["a session over htmlfile", "HtmlFile.test_transport", of(async (c) => {
    const path = session();
    const answer = await streaming(c, c.getStream(`${path}/htmlfile?c=%63allback`), htmlFrame);
    checkType(answer, "text/html;charset=UTF-8");
    checkNotCached(answer);
    assert.ok(answer.prelude.length > 1024);
    assert.deepEqual(answer.prelude.trim().split("\n").map((line) => line.trim()), htmlfileLines("callback"));
    await c.sends(path, '["x"]');
    assert.equal(await answer.read(), htmlFrame('a["x"]'));
    answer.close();
  })],
  ["htmlfile needs a callback", "HtmlFile.test_no_callback", of((c) => checkNoCallback(c, "htmlfile"))],
  ["htmlfile takes no callback but a name", "HtmlFile.test_invalid_callback", of((c) => checkCallback(c, "htmlfile"))],
  ["htmlfile ends after enough bytes", "HtmlFile.test_response_limit", of(async (c) => {
    const path = session();
    const answer = await streaming(c, c.getStream(`${path}/htmlfile?c=callback`), htmlFrame);
    const message = `["${"x".repeat(4096)}"]`;
    await c.sends(path, message);
    assert.equal(await answer.read(), htmlFrame(`a${message}`));
    assert.equal(await answer.read(), "");
  })],

  ["a session over jsonp", "JsonPolling.test_transport", of(async (c) => {
    const path = session();
    const opened = await c.receivesJSONP(path, '/**/callback("o");\r\n', "%63allback");
    checkType(opened, "application/javascript;charset=UTF-8");
    checkNotCached(opened);
    const sent = await c.sendsJSONP(path, "d=%5B%22x%22%5D");
    checkType(sent, "text/plain;charset=UTF-8");
    checkNotCached(sent);
    await c.receivesJSONP(path, String.raw`/**/callback("a[\"x\"]");` + "\r\n", "%63allback");
  })],
  ["jsonp needs a callback", "JsonPolling.test_no_callback", of((c) => checkNoCallback(c, "jsonp"))],
  ["jsonp takes no callback but a name", "JsonPolling.test_invalid_callback", of((c) => checkCallback(c, "jsonp"))],
  ["jsonp_send of broken JSON, or of nothing", "JsonPolling.test_invalid_json", of(async (c) => {
    const path = session();
    await c.receivesJSONP(path, '/**/x("o");\r\n');
    for (const [body, complaint] of [["d=%5B%22x", /Broken JSON encoding\./], ...["", "d=", "p=p"].map((text) => [text, /Payload expected\./])]) {
      const answer = await c.post(`${path}/jsonp_send`, body, form);
      assert.equal(answer.status, 500, body);
      assert.match(answer.body, complaint);
    }
    await c.sendsJSONP(path, "d=%5B%22b%22%5D");
    await c.receivesJSONP(path, String.raw`/**/x("a[\"b\"]");` + "\r\n");
  })],
  ["jsonp_send as a form and as text", "JsonPolling.test_content_types", of(async (c) => {
    const path = session();
    await c.receivesJSONP(path, '/**/x("o");\r\n');
    await c.sendsJSONP(path, "d=%5B%22abc%22%5D");
    await c.sendsJSONP(path, '["%61bc"]', { "Content-Type": "text/plain" });
    await c.receivesJSONP(path, String.raw`/**/x("a[\"abc\",\"%61bc\"]");` + "\r\n");
  })],
  ["jsonp_send of no messages", "JsonPolling.test_sending_empty_frame", of(async (c) => {
    const path = session();
    await c.receivesJSONP(path, '/**/x("o");\r\n');
    await c.sendsJSONP(path, "d=%5B%5D");
    await c.sendsJSONP(path, "d=%5B%22x%22%5D");
    await c.receivesJSONP(path, String.raw`/**/x("a[\"x\"]");` + "\r\n");
  })],

  ["info tells that the cookie is needed", "JsessionidCookie.test_basic", of(async (c) => {
    const answer = await c.get(`${withCookie}/info`);
    assert.equal(answer.status, 200);
    checkNoCookie(answer);
    assert.equal(JSON.parse(answer.body).cookie_needed, true);
  })],
  ["xhr sets the cookie", "JsessionidCookie.test_xhr", of(async (c) => {
    const first = await c.post(`${session(withCookie)}/xhr`);
    assert.equal(first.body, "o\n");
    checkCookie(first);
    const second = await c.post(`${session(withCookie)}/xhr`, "", { Cookie: "JSESSIONID=abcdef" });
    assert.equal(second.body, "o\n");
    checkCookie(second, "abcdef");
  })],
  ["xhr_streaming sets the cookie", "JsessionidCookie.test_xhr_streaming", of(async (c) => {
    await checkStreamCookie(await c.postStream(`${session(withCookie)}/xhr_streaming`));
  })],
  ["eventsource sets the cookie", "JsessionidCookie.test_eventsource", of(async (c) => {
    await checkStreamCookie(await c.getStream(`${session(withCookie)}/eventsource`));
  })],
  ["htmlfile sets the cookie", "JsessionidCookie.test_htmlfile", of(async (c) => {
    await checkStreamCookie(await c.getStream(`${session(withCookie)}/htmlfile?c=%63allback`));
  })],
  ["jsonp sets the cookie", "JsessionidCookie.test_jsonp", of(async (c) => {
    const path = session(withCookie);
    checkCookie(await c.receivesJSONP(path, '/**/callback("o");\r\n', "%63allback"));
    checkCookie(await c.sendsJSONP(path, "d=%5B%22x%22%5D"));
  })],

  ["a WebSocket without frames of SockJS", "RawWebsocket.test_transport", of(async (c) => {
    const socket = c.websocket(`${echo}/websocket`);
    await socket.opened();
    socket.send("Hello world!\uffff");
    assert.equal(await socket.message(), "Hello world!\uffff");
    socket.close();
  })],

  ["the server escapes what gets lost on the way", "JSONEncoding.test_xhr_server_encodes", of(async (c) => {
    const path = await c.opened();
    const escaped = escapedByServer();
    await c.sends(path, `["${JSON.parse(escaped)}"]`);
    await c.receives(path, `a[${escaped}]\n`);
  })],
  ["the server reads what clients escape", "JSONEncoding.test_xhr_server_decodes", of(async (c) => {
    const path = await c.opened();
    const escaped = everyCharacter();
    await c.sends(path, `[${escaped}]`);
    const answer = await c.post(`${path}/xhr`);
    assert.equal(answer.status, 200);
    assert.deepEqual(JSON.parse(answer.body.slice(1)), [JSON.parse(escaped)]);
  })],

  ["a second stream is turned away", "HandlingClose.test_close_request", of(async (c) => {
    const path = session();
    const first = await streaming(c, c.postStream(`${path}/xhr_streaming`), xhrFrame);
    await checkBusy(c, path);
    first.close();
  })],
  ["a stream that is cut off ends its session", "HandlingClose.test_abort_xhr_streaming", of(async (c) => {
    const path = session();
    const first = await streaming(c, c.postStream(`${path}/xhr_streaming`), xhrFrame);
    await checkBusy(c, path);
    first.close();
    const third = await c.postStream(`${path}/xhr_streaming`);
    await third.read();
    const frame = await third.read();
    assert.ok(afterAbort.includes(frame), frame);
    third.close();
  })],
  ["an xhr that is cut off ends its session", "HandlingClose.test_abort_xhr_polling", of(async (c) => {
    const path = await c.opened();
    const first = new Connection(c.base);
    const waiting = first.request("POST", `${path}/xhr`).catch(() => {}); // it is cut off below
    await pause(250);
    assert.equal((await c.post(`${path}/xhr`, "", {}, 1_000)).body, busy);
    first.close();
    await waiting;
    const { body } = await c.post(`${path}/xhr`);
    assert.ok(afterAbort.includes(body), body);
  })],

  ["HTTP/1.0: an answer with a length, or with the end of the connection", "Http10.test_synchronous", of(async (c) => {
    const connection = new Connection(c.base);
    const ask = () => connection.request("GET", echo, { version: "1.0", headers: { Connection: "Keep-Alive" } });
    const head = await ask();
    assert.equal(head.status, 200);
    assert.equal(head.headers["transfer-encoding"], undefined);
    const keepsAlive = head.headers.connection?.toLowerCase() === "keep-alive";
    if (head.headers["content-length"] === undefined) assert.equal(keepsAlive, false);
    else assert.equal(head.headers["content-length"], String(greeting.length));
    assert.equal(await connection.body(head), greeting);
    if (keepsAlive) assert.equal((await ask()).status, 200);
    else await connection.closed();
    connection.close();
  })],
  ["HTTP/1.1: two answers on one connection", "Http11.test_synchronous", of(async (c) => {
    const connection = new Connection(c.base);
    const ask = () => connection.request("GET", echo, { headers: { Connection: "Keep-Alive" } });
    const head = await ask();
    assert.equal(head.version, "1.1");
    assert.match(head.headers.connection ?? "", /^(keep-alive)?$/i);
    if (head.headers["content-length"] === undefined) assert.equal(head.headers["transfer-encoding"], "chunked");
    else assert.equal(head.headers["transfer-encoding"], undefined);
    assert.equal(await connection.body(head), greeting);
    assert.equal((await ask()).status, 200);
    connection.close();
  })],
];

await runSuite("SockJS", { checks });
for (const [official, reason] of Object.entries(leftOut)) console.log(`left out: ${official}: ${reason}`);
