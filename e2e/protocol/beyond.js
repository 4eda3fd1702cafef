// What the official suites leave open, checked against the servers of Node.js as well.
//
//   node protocol/beyond.js --server PROGRAM
//   node protocol/beyond.js --oracle
import assert from "node:assert/strict";
import { once } from "node:events";
import WebSocket from "ws";
import { call } from "./http.js";
import { Socket } from "./socket.js";
import { runSuite } from "./suite.js";

const upgrade = { Upgrade: "websocket", Connection: "Upgrade", "Sec-WebSocket-Key": "x3JJHMbDL1EzLkh9GBhXDw==" };

async function entered(base) {
  const socket = new Socket(`${base}/socket.io/?EIO=4&transport=websocket`);
  assert.match(await socket.message(), /^0/);
  socket.send("40");
  assert.match(await socket.message(), /^40/);
  assert.equal(await socket.message(), '42["auth",{}]');
  return socket;
}

/** The next message that is no ping, which is answered. */
async function next(socket) {
  let message;
  while ((message = await socket.message()) === "2") socket.send("3");
  return message;
}

const checks = [
  ["a poll that names no revision, or 2, opens a session of revision 3", "C7", async (base) => {
    for (const query of ["", "&EIO=2"]) {
      const { status, body } = await call(base, "GET", `/engine.io/?transport=polling&b64=1${query}`);
      assert.equal(status, 200);
      assert.match(body, /^\d+:0\{/);
    }
  }],
  ["the first subprotocol that a client offers is chosen", "C8", async (base) => {
    for (const path of ["/engine.io/?EIO=4&transport=websocket", "/socket.io/?EIO=4&transport=websocket"]) {
      const ws = new WebSocket(base.replace("http", "ws") + path, ["v1", "token.abc"]);
      await once(ws, "open");
      assert.equal(ws.protocol, "v1");
      ws.close();
    }
  }],
  ["an event that nobody has registered is not acknowledged", "E1", async (base) => {
    const socket = await entered(base);
    socket.send('421["unknown",1]');
    socket.send('422["message-with-ack",2]');
    assert.equal(await next(socket), "432[2]");
    socket.close();
  }],
  ["a message of one byte too many closes the WebSocket with 1009 and no text", "E3", async (base) => {
    const socket = new Socket(`${base}/engine.io/?EIO=4&transport=websocket`);
    await socket.message();
    socket.send(`4${"x".repeat(1_000_000)}`);
    assert.deepEqual(await socket.closed(), { code: 1009, reason: "" });
  }],
  ["a message of as many bytes as are allowed comes back", "E3, the bound itself", async (base) => {
    const socket = new Socket(`${base}/engine.io/?EIO=4&transport=websocket`);
    await socket.message();
    const message = `4${"x".repeat(999_999)}`;
    socket.send(message);
    assert.equal(await next(socket), message);
    socket.close();
  }],
  ["a poll beside the POST of a close packet gets a noop, each time", "E5", async (base) => { // a ping may come first
    const path = "/engine.io/?EIO=4&transport=polling";
    for (let i = 0; i < 50; i++) {
      const { sid } = JSON.parse((await call(base, "GET", path)).body.slice(1));
      const poll = call(base, "GET", `${path}&sid=${sid}`);
      const post = call(base, "POST", `${path}&sid=${sid}`, { body: "1" });
      assert.equal((await post).status, 200);
      const { status, body } = await poll;
      assert.deepEqual([status, body], [200, "6"]);
    }
  }],
  ["a WebSocket of SockJS that asks for another version learns which one there is", "E7", async (base) => {
    const { status, headers } = await call(base, "GET", "/echo/000/version/websocket", { headers: { ...upgrade, "Sec-WebSocket-Version": "99" } });
    assert.equal(status, 400);
    assert.match(headers["sec-websocket-version"], /13/);
  }],
];

await runSuite("Beyond the suites", {
  args: ["--eio3"], checks, failing: { E7: "its answer does not name the version" },
});
