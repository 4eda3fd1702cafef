// Nodes that come, go, hang and die while others go on.
import assert from "node:assert/strict";
import { until } from "../lib/client.js";
import { closeClients, fence, openClient } from "../lib/cluster.js";
import { pause } from "../lib/run.js";
import { promptly, sorted } from "./requests.js";

const settle = 4_500; // ms in which what a dead node has held up goes on: requests wait 5 s for an answer
const held = 1_000; // ms for which a Go node holds what it publishes, from when it misses another one: that may come back

/** Lets nodes come and go around two that stay; start(kind) starts one more. */
export function comingsAndGoings(stays, nodeStays, start) {
  const tests = {};
  const add = (name, test) => {
    tests[`nodes come and go: ${name}`] = async () => {
      const clients = [];
      const open = async (node, options) => {
        clients.push(await openClient(node, options));
        return clients.at(-1);
      };
      try {
        await test(open);
      } finally {
        await closeClients(clients);
      }
    };
  };

  for (const kind of ["go", "node"]) {
    add(`a new node of ${kind} is a member at once`, async (open) => {
      const comes = await start(kind);
      const client = await open(comes, { name: "new", rooms: ["red"] });
      for (const asker of [stays, nodeStays]) {
        const { sockets } = await promptly(asker.do("sockets", { rooms: ["red"] }));
        assert.deepEqual(sockets.map(({ id }) => id), [client.id], asker.name);
        await fence(asker, [client]);
      }
      client.close();
      await comes.stop();
    });

    add(`a node of ${kind} that has left is not waited for`, async (open) => {
      const client = await open(nodeStays, { name: "stays" });
      const leaves = await start(kind);
      await open(leaves, { name: "leaves" });
      await leaves.stop();
      await promptly(fence(stays, [client]));
      for (const [asker, hold] of [[stays, held], [stays, 0], [nodeStays, 0]]) {
        const { sockets, error } = await promptly(asker.do("sockets"), hold);
        assert.equal(error, undefined);
        assert.deepEqual(sockets.map(({ id }) => id), [client.id], asker.name);
      }
    });

    add(`a node of ${kind} that is killed holds nothing up for long`, async (open) => {
      const client = await open(nodeStays, { name: "stays" });
      const dies = await start(kind);
      await dies.kill("SIGKILL");
      const began = Date.now();
      await fence(stays, [client]);
      assert.ok(Date.now() - began < settle, `it took ${Date.now() - began} ms`);
      const { sockets } = await promptly(stays.do("sockets"));
      assert.deepEqual(sockets.map(({ id }) => id), [client.id]);
    });

    add(`of a node of ${kind} that hangs only its part is missing`, async (open) => {
      const clients = [await open(stays, { name: "one" }), await open(nodeStays, { name: "other" })];
      const hangs = await start(kind);
      const lost = await open(hangs, { name: "lost" });
      await hangs.hang();
      try {
        // At the same time: a node that hangs for three seconds gives its connections up, and misses what comes.
        const [{ sockets, nodes, error }, asked] = await Promise.all([
          stays.do("sockets", { timeout: 1_000 }), stays.do("emitAck", { event: "question", args: ["?"], timeout: 1_000 }),
        ]);
        assert.deepEqual(sorted(sockets.map(({ id }) => id)), sorted(clients.map(({ id }) => id)));
        assert.equal(nodes, 1, error);
        assert.deepEqual(sorted(asked.answers), ["one", "other"]);
        assert.equal(asked.nodes, 1, asked.error);
        await fence(stays, clients);
      } finally {
        hangs.signal("SIGCONT");
      }
      await fence(stays, [lost]); // it has missed nothing
      lost.close();
      await hangs.stop();
    });

    add(`a node of ${kind} dies while it is asked`, async (open) => {
      const client = await open(nodeStays, { name: "stays" });
      const dies = await start(kind);
      await open(dies, { name: "lost" });
      await dies.hang();
      setTimeout(() => dies.kill("SIGKILL"), 300);
      const began = Date.now();
      const { sockets, nodes } = await stays.do("sockets", { timeout: 15_000 });
      assert.ok(Date.now() - began < settle, `it took ${Date.now() - began} ms`);
      assert.deepEqual(sockets.map(({ id }) => id), [client.id]);
      assert.equal(nodes, 1);
    });
  }

  add("what is published while nodes come and go is not lost", async (open) => {
    const client = await open(nodeStays, { name: "stays", rooms: ["red"] });
    let going = true;
    const published = (async () => {
      let count = 0;
      for (; going; count++) {
        await stays.do("emit", { rooms: ["red"], event: "news", args: [count] });
        await pause(2);
      }
      return count;
    })();
    for (const kind of ["go", "node", "go"]) await (await start(kind)).stop();
    await (await start("go")).kill("SIGKILL");
    going = false;
    const count = await published;
    await until(() => client.events("news").length >= count, `all ${count} messages, got ${client.events("news").length}`);
    assert.deepEqual(client.events("news"), Array.from({ length: count }, (_, i) => i));
  });
  return tests;
}
