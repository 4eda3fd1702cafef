// One room in which clients of every kind meet: Socket.IO 4 and 2 over polling and over
// WebSocket, SockJS over each of its transports, native WebSockets.
//
//   node together.js --server PROGRAM
import assert from "node:assert/strict";
import { isDeepStrictEqual, parseArgs } from "node:util";
import { ServerProcess } from "./lib/control.js";
import { until } from "./lib/client.js";
import { SocketIOParty, sockParty, webSocketParty } from "./lib/party.js";
import { Run, pause } from "./lib/run.js";
import { runTests } from "./lib/tests.js";

const { values: flags } = parseArgs({ options: { server: { type: "string" } } });
if (!flags.server) throw new Error("--server PROGRAM, please");

const each = 25; // messages of every client
const patient = { askTimeout: 5_000, pingInterval: 60_000, pingTimeout: 60_000, sockjs: { disconnectDelay: 60_000 } };
const all = (parties, work) => Promise.all(parties.map(work));

/** Lets everybody in, runs the test, and sends everybody home. */
const together = (test) => async (server) => {
  const instance = await server.instance(patient);
  const runs = ["polling", "websocket"].map((transport) => new Run(instance, "v4", transport));
  const parties = [];
  try {
    for (const run of runs) {
      for (const version of ["v4", "v2"]) {
        const name = `Socket.IO ${version} ${run.transport}`;
        parties.push(new SocketIOParty(name, await run.client(name, { version })));
      }
    }
    for (const version of ["1.6.1", "1.1.5"]) {
      for (const transport of ["websocket", "xhr-streaming", "eventsource", "xhr-polling"]) {
        parties.push(await sockParty(`SockJS ${version} ${transport}`, `${instance.url}/sockjs`, { version, transport }));
      }
    }
    parties.push(await webSocketParty("WebSocket", `${instance.url}/ws`));
    parties.push(await webSocketParty("WebSocket of SockJS", `${instance.url}/sockjs/websocket`));
    assert.equal(parties.length, 14);
    await all(parties, (party) => party.call("join", "red"));
    await test(parties, instance);
  } finally {
    for (const party of parties) party.close?.();
    for (const run of runs) run.close();
    await instance.remove();
  }
};

const texts = (party) => Array.from({ length: each }, (_, i) => `${party.name}: ${i} 😀 \u2028 "</script>`);

/** Waits until a party has heard that much, and then a while for what should not come. */
async function heard(parties, count) {
  await all(parties, (party) => until(() => party.events("shout").length >= count, `what ${party.name} has to hear`));
  await pause(100);
}

function checkOrder(listener, speakers) {
  const lines = listener.events("shout");
  for (const speaker of speakers) {
    const own = lines.filter((line) => line.startsWith(`${speaker.name}: `));
    assert.deepEqual(own, texts(speaker), `${speaker.name}, as ${listener.name} heard it`);
  }
  assert.equal(lines.length, each * speakers.length, listener.name);
}

const tests = {
  "everybody hears everybody, once and in order": together(async (parties) => {
    for (let i = 0; i < each; i++) {
      for (const party of parties) party.emit("shout", { how: "room", room: "red", text: texts(party)[i] });
    }
    await heard(parties, each * parties.length);
    for (const party of parties) checkOrder(party, parties);
  }),

  "all others hear it": together(async (parties) => {
    await all(parties, async (party) => {
      for (const text of texts(party)) await party.call("shout", { how: "othersInRoom", room: "red", text });
    });
    await heard(parties, each * (parties.length - 1));
    for (const party of parties) checkOrder(party, parties.filter((other) => other !== party));
  }),

  "everybody asks the server": together(async (parties) => {
    await all(parties, async (party) => {
      assert.equal(await party.call("echoAck", `of ${party.name} 😀`), `of ${party.name} 😀`);
      const { transport } = await party.call("whoami");
      assert.equal(transport, party.name.startsWith("WebSocket") ? "websocket" : party.name.split(" ").at(-1));
    });
  }),

  "the server asks everybody": together(async (parties) => {
    await all(parties, async (party) => {
      party.emit("ask", "you");
      await until(() => party.events("answered").length > 0, `the answer of ${party.name}`);
      assert.deepEqual(party.events("answered"), [party.name]);
    });
    const names = parties.map((party) => party.name).sort();
    for (const party of parties) {
      assert.deepEqual(await party.call("askRoom", "red"), { complete: true, answers: names }, party.name);
    }
  }),

  "who has left is neither heard nor asked": together(async (parties) => {
    const [stays, ...others] = parties;
    const leavers = others.filter((party) => party.close);
    assert.equal(leavers.length, 10);
    await pause(100); // everybody who polls waits
    for (const party of leavers) party.close();
    const rest = parties.filter((party) => !party.close);
    // Not after one of the delays, of a minute each: each of them breaks off what the server writes to.
    const end = Date.now() + 30_000;
    const wanted = { complete: true, answers: rest.map((party) => party.name).sort() };
    let answer;
    do answer = await stays.call("askRoom", "red");
    while (!isDeepStrictEqual(answer, wanted) && Date.now() < end);
    assert.deepEqual(answer, wanted);
    await all(rest, (party) => party.call("shout", { how: "room", room: "red", text: "anybody?" }));
    await heard(rest, rest.length);
    for (const party of leavers) assert.deepEqual(party.events("shout"), [], party.name);
  }),
};

const server = await ServerProcess.start("thinkws", flags.server, []);
try {
  const failed = await runTests(tests, server);
  if (failed) console.log(`The server's last words:\n${server.errors.slice(-3000)}`);
  process.exitCode = failed ? 1 : 0;
} finally {
  await server.stop();
}
process.exit();
