// The steps of the official suite of Socket.IO, revision 5 (32 tests, 16 of them about
// Engine.IO below it), against an echo of events in the namespaces "/" and "/custom".
//
//   node protocol/socketio.js --server PROGRAM
//   node protocol/socketio.js --oracle
import assert from "node:assert/strict";
import { Socket } from "./socket.js";
import { pause, runSuite } from "./suite.js";

const pingInterval = 300; // ms
const pingTimeout = 200; // ms
const lateness = 50; // ms by which the server may find a silence later than it should

class Client {
  constructor(base) { this.url = `${base}/socket.io/`; }

  async raw(query, init) {
    const answer = await fetch(`${this.url}?${query}`, init);
    return { status: answer.status, text: await answer.text() };
  }

  poll(sid) { return this.raw(`EIO=4&transport=polling${sid ? `&sid=${sid}` : ""}`); }

  post(sid, body) { return this.raw(`EIO=4&transport=polling&sid=${sid}`, { method: "POST", body }); }

  /** Opens a session by polling and returns its id. */
  async open() { return JSON.parse((await this.poll()).text.slice(1)).sid; }

  websocket(sid) { return new Socket(`${this.url}?EIO=4&transport=websocket${sid ? `&sid=${sid}` : ""}`); }

  /** A WebSocket whose open packet has been read. */
  async connected() {
    const socket = this.websocket();
    assert.equal((await socket.message())[0], "0");
    return socket;
  }

  /**
   * A WebSocket that has taken the session over. The suite goes on without a word of the server
   * that it has read the "5", but what comes by two connections has no order.
   */
  async upgraded(sid) {
    const socket = this.websocket(sid);
    await socket.opened();
    for (const packet of ["2probe", "5", "40"]) socket.send(packet);
    assert.equal(await socket.message(), "3probe");
    assert.match(await socket.message(), /^40/);
    return socket;
  }

  /** A WebSocket in the main namespace. */
  async entered() {
    const socket = await this.connected();
    socket.send("40");
    assert.match(await socket.message(), /^40\{/);
    assert.equal(await socket.message(), '42["auth",{}]');
    return socket;
  }
}

function checkHandshake(packet, upgrades) {
  assert.equal(packet[0], "0");
  const { sid, ...rest } = JSON.parse(packet.slice(1));
  assert.equal(typeof sid, "string");
  assert.deepEqual(rest, { upgrades, pingInterval, pingTimeout, maxPayload: 1_000_000 });
}

/** Enters a namespace with a CONNECT packet, and sees its id and its auth. */
const enters = (connect, prefix, auth) => of(async (c) => {
  const socket = await c.connected();
  socket.send(connect);
  const packet = await socket.message();
  assert.ok(packet.startsWith(`40${prefix}`), packet);
  const answer = JSON.parse(packet.slice(2 + prefix.length));
  assert.deepEqual(Object.keys(answer), ["sid"]);
  assert.equal(typeof answer.sid, "string");
  assert.equal(await socket.message(), `42${prefix}["auth",${auth}]`);
});

/** A client that is in sends something that is no packet. */
const closedFor = (packet) => of(async (c) => {
  const socket = await c.entered();
  socket.send(packet);
  await socket.closed();
});

/** The next n messages that are no ping. */
async function messages(socket, n) {
  const list = [];
  while (list.length < n) {
    const message = await socket.message();
    if (message !== "2") list.push(message);
  }
  return list;
}

const placeholders = '{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}';

/** Sends two attachments and gets them back behind a packet. */
const attached = (packet, back) => of(async (c) => {
  const socket = await c.entered();
  const parts = [Buffer.of(1, 2, 3), Buffer.of(4, 5, 6)];
  socket.send(packet);
  for (const part of parts) socket.send(part);
  assert.deepEqual(await messages(socket, 3), [back, ...parts]);
  socket.close();
});

const exchange = (packet, back) => of(async (c) => {
  const socket = await c.entered();
  socket.send(packet);
  assert.equal(await socket.message(), back);
});

function of(check) { return (base) => check(new Client(base)); }

const checks = [
  ["a first poll opens a session", "Engine.IO, handshake, polling: should successfully open a session", of(async (c) => {
    const { status, text } = await c.poll();
    assert.equal(status, 200);
    checkHandshake(text, ["websocket"]);
  })],
  ["a poll of no revision, or of an unknown one, is refused", "Engine.IO, handshake, polling: should fail with an invalid 'EIO' query parameter", of(async (c) => {
    assert.equal((await c.raw("transport=polling")).status, 400);
    assert.equal((await c.raw("EIO=abc&transport=polling")).status, 400);
  })],
  ["a request for no transport, or for an unknown one, is refused", "Engine.IO, handshake, polling: should fail with an invalid 'transport' query parameter", of(async (c) => {
    assert.equal((await c.raw("EIO=4")).status, 400);
    assert.equal((await c.raw("EIO=4&transport=abc")).status, 400);
  })],
  ["a session begins with a GET only", "Engine.IO, handshake, polling: should fail with an invalid request method", of(async (c) => {
    for (const method of ["POST", "PUT"]) {
      assert.equal((await c.raw("EIO=4&transport=polling", { method })).status, 400, method);
    }
  })],
  ["a WebSocket opens a session", "Engine.IO, handshake, WebSocket: should successfully open a session", of(async (c) => {
    const socket = c.websocket();
    checkHandshake(await socket.message(), []);
    socket.close();
  })],
  ["a WebSocket of no revision, or of an unknown one, is refused", "Engine.IO, handshake, WebSocket: should fail with an invalid 'EIO' query parameter", of(async (c) => {
    await new Socket(`${c.url}?transport=websocket`).closed();
    await new Socket(`${c.url}?EIO=abc&transport=websocket`).closed();
  })],
  ["a WebSocket that names no transport, or an unknown one, is refused", "Engine.IO, handshake, WebSocket: should fail with an invalid 'transport' query parameter", of(async (c) => {
    await new Socket(`${c.url}?EIO=4`).closed();
    await new Socket(`${c.url}?EIO=4&transport=abc`).closed();
  })],

  ["three heartbeats by polling", "Engine.IO, heartbeat, polling: should send ping/pong packets", of(async (c) => {
    const sid = await c.open();
    for (let i = 0; i < 3; i++) {
      const { status, text } = await c.poll(sid);
      assert.deepEqual([status, text], [200, "2"]);
      assert.equal((await c.post(sid, "3")).status, 200);
    }
  })],
  ["a polling client without heartbeats is given up", "Engine.IO, heartbeat, polling: should close the session upon ping timeout", of(async (c) => {
    const sid = await c.open();
    await pause(pingInterval + pingTimeout + lateness);
    assert.equal((await c.poll(sid)).status, 400);
  })],
  ["three heartbeats over WebSocket", "Engine.IO, heartbeat, WebSocket: should send ping/pong packets", of(async (c) => {
    const socket = await c.connected();
    for (let i = 0; i < 3; i++) {
      assert.equal(await socket.message(), "2");
      socket.send("3");
    }
    socket.close();
  })],
  ["a WebSocket without heartbeats is closed", "Engine.IO, heartbeat, WebSocket: should close the session upon ping timeout", of(async (c) => {
    await c.websocket().closed();
  })],

  ["a client that closes gets a noop for its poll, and has no session any more", "Engine.IO, close, polling: should forcefully close the session", of(async (c) => {
    const sid = await c.open();
    const [poll] = await Promise.all([c.poll(sid), c.post(sid, "1")]);
    assert.deepEqual([poll.status, poll.text], [200, "6"]);
    assert.equal((await c.poll(sid)).status, 400);
  })],
  ["a close packet closes the WebSocket", "Engine.IO, close, WebSocket: should forcefully close the session", of(async (c) => {
    const socket = await c.connected();
    socket.send("1");
    await socket.closed();
  })],

  ["a session goes from polling to WebSocket", "Engine.IO, upgrade: should successfully upgrade from HTTP long-polling to WebSocket", of(async (c) => {
    const socket = c.websocket(await c.open());
    await socket.opened();
    socket.send("2probe");
    assert.equal(await socket.message(), "3probe");
    socket.send("5");
  })],
  ["after an upgrade a poll is refused", "Engine.IO, upgrade: should ignore HTTP requests with same sid after upgrade", of(async (c) => {
    const sid = await c.open();
    await c.upgraded(sid);
    assert.equal((await c.poll(sid)).status, 400);
  })],
  ["after an upgrade a second WebSocket is closed", "Engine.IO, upgrade: should ignore WebSocket connection with same sid after upgrade", of(async (c) => {
    const sid = await c.open();
    await c.upgraded(sid);
    await c.websocket(sid).closed();
  })],

  ["a client enters the main namespace", "connect: should allow connection to the main namespace", enters("40", "", "{}")],
  ["a client enters the main namespace with its auth", "connect: should allow connection to the main namespace with a payload", enters('40{"token":"123"}', "", '{"token":"123"}')],
  ["a client enters another namespace", "connect: should allow connection to a custom namespace", enters("40/custom,", "/custom,", "{}")],
  ["a client enters another namespace with its auth", "connect: should allow connection to a custom namespace with a payload", enters('40/custom,{"token":"abc"}', "/custom,", '{"token":"abc"}')],
  ["nobody enters an unknown namespace", "connect: should disallow connection to an unknown namespace", of(async (c) => {
    const socket = await c.connected();
    socket.send("40/random");
    assert.equal(await socket.message(), '44/random,{"message":"Invalid namespace"}');
  })],
  ["a first packet that is none closes the connection", "connect: should disallow connection with an invalid handshake", of(async (c) => {
    const socket = await c.connected();
    socket.send("4abc");
    await socket.closed();
  })],
  ["a connection that enters no namespace is closed", "connect: should close the connection if no handshake is received", of(async (c) => {
    await c.websocket().closed();
  })],

  ["a client that has left the main namespace stays connected", "disconnect: should disconnect from the main namespace", of(async (c) => {
    const socket = await c.entered();
    socket.send("41");
    assert.equal(await socket.message(), "2");
  })],
  ["a client that has left another namespace is still in the main one", "disconnect: should connect then disconnect from a custom namespace", of(async (c) => {
    const socket = await c.entered();
    assert.equal(await socket.message(), "2");
    socket.send("40/custom");
    assert.match(await socket.message(), /^40\/custom,/);
    assert.equal(await socket.message(), '42/custom,["auth",{}]');
    socket.send("41/custom");
    socket.send('42["message","message to main namespace"]');
    assert.equal(await socket.message(), '42["message-back","message to main namespace"]');
  })],

  ["an event without binary goes there and back", "message: should send a plain-text packet", exchange('42["message",1,"2",{"3":[true]}]', '42["message-back",1,"2",{"3":[true]}]')],
  ["an event with attachments goes there and back", "message: should send a packet with binary attachments", attached(`452-["message",${placeholders}]`, `452-["message-back",${placeholders}]`)],
  ["an event without binary is acknowledged", "message: should send a plain-text packet with an ack", exchange('42456["message-with-ack",1,"2",{"3":[false]}]', '43456[1,"2",{"3":[false]}]')],
  ["an event with attachments is acknowledged", "message: should send a packet with binary attachments and an ack", attached(`452-789["message-with-ack",${placeholders}]`, `462-789[${placeholders}]`)],
  ["a packet of an unknown type closes the connection", "message: should close the connection upon invalid format (unknown packet type)", closedFor("4abc")],
  ["an event that is no array closes the connection", "message: should close the connection upon invalid format (invalid payload format)", closedFor("42{}")],
  ["an ack id that is no number closes the connection", "message: should close the connection upon invalid format (invalid ack id)", closedFor('42abc["message-with-ack",1,"2",{"3":[false]}]')],
];

await runSuite("Socket.IO, revision 5", { checks });
