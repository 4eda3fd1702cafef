// What nodes of Socket.IO 2 ask for beside broadcasts. Their adapter knows other requests
// than its successors, about one client each.
import assert from "node:assert/strict";
import { until } from "../lib/client.js";
import { closeClients, fence, openClient } from "../lib/cluster.js";
import { sorted, withClients } from "./requests.js";

const red = { name: "red", rooms: ["red"] };
const seven = { name: "seven", rooms: [7] };
const blue = { name: "blue", rooms: ["blue"], kind: "sockjs" };
const none = { name: "none", kind: "websocket" };

export function oldRequests(asker, node) {
  const tests = {};
  const add = (name, list, test) => { tests[`${asker.name} ⇒ ${node.name}: ${name}`] = withClients(node, list, test); };

  add("clients", [red, blue, seven, none], async (...clients) => {
    const names = async (rooms) => {
      const ids = await asker.do("clients", { rooms });
      return clients.filter(({ id }) => ids.includes(id)).map(({ name }) => name).join();
    };
    assert.equal(await names([]), "red,blue,seven,none");
    assert.equal(await names(["red"]), "red");
    assert.equal(await names(["red", "blue"]), "red,blue");
    assert.equal(await names([7]), "seven");
  });

  add("clients where nobody is", [], async () => {
    assert.deepEqual(await asker.do("clients"), []);
    assert.deepEqual(await asker.do("clients", { namespace: "/chat" }), []);
  });

  add("all rooms", [red, seven], async (client, other) => {
    const rooms = await asker.do("rooms");
    for (const room of ["red", "7", client.id, other.id]) assert.ok(rooms.includes(room), room);
  });

  add("rooms of a client", [red, seven], async (client, other) => {
    assert.deepEqual(sorted(await asker.do("clientRooms", { id: client.id })), sorted([client.id, "red"]));
    assert.deepEqual(sorted(await asker.do("clientRooms", { id: other.id })), sorted([other.id, "7"]));
  });

  remote(asker, add);

  add("a custom request", [], async () => {
    assert.deepEqual((await asker.do("custom", { data: { what: "ever" } })).filter((reply) => reply !== null), []);
  });

  add("a client nobody has", [], async () => {
    await assert.rejects(asker.do("clientRooms", { id: "nobody" }), /timeout/);
  });
  return tests;
}

/** Requests about one client, which the node that has it answers. */
function remote(asker, add) {
  add("one client is to join and to leave", [red, blue], async (...clients) => {
    for (const client of clients) {
      const tell = async () => {
        client.clear();
        await asker.do("emit", { rooms: ["green"], event: "news", args: ["text"] });
        await fence(asker, clients);
        return client.events("news").length;
      };
      await asker.do("remoteJoin", { id: client.id, room: "green" });
      assert.equal(await tell(), 1);
      await asker.do("remoteLeave", { id: client.id, room: "green" });
      assert.equal(await tell(), 0);
    }
  });

  add("one client is to be disconnected", [red, seven], async (first, second) => {
    await asker.do("remoteDisconnect", { id: first.id, close: false });
    await until(() => first.gone, "the client to be disconnected");
    await asker.do("remoteDisconnect", { id: second.id, close: true });
    await until(() => second.gone && second.connection.manager.engine.readyState === "closed", "the connection to be closed");
  });

  add("one client, which nobody has, is to join", [red], async () => {
    await assert.rejects(asker.do("remoteJoin", { id: "nobody", room: "red" }), /timeout/);
  });
}

/** What socket.io-redis 6 asks for, and its successors do not. */
export function requestsOf6(asker, node) {
  const tests = {};
  const add = (name, list, test) => { tests[`${asker.name} ⇒ ${node.name}: ${name}`] = withClients(node, list, test); };

  add("ids of clients", [red, blue, none], async (...clients) => {
    const names = async (rooms) => {
      const ids = await asker.do("ids", { rooms });
      return clients.filter(({ id }) => ids.includes(id)).map(({ name }) => name).join();
    };
    assert.equal(await names([]), "red,blue,none");
    assert.equal(await names(["red", "blue"]), "red,blue");
    assert.equal(await names(["green"]), "");
  });

  remote(asker, add);
  return tests;
}

/** Nodes of this library among nodes of Socket.IO 2, which do not understand their requests. */
export function amongOld(asker, node) {
  const tests = {};
  const add = (name, list, test) => { tests[`${asker.name} ⇒ ${node.name}: ${name}`] = withClients(node, list, test); };

  add("except a client", [red, { name: "other" }], async (...clients) => {
    await asker.do("emit", { except: [clients[0].id], event: "news", args: ["text"] });
    await fence(asker, clients);
    assert.deepEqual(clients.map((client) => client.events("news")), [[], ["text"]]);
  });

  add("clients are asked beside it", [red], async (client) => {
    const own = await openClient(asker, { name: "own" });
    try {
      const { answers, nodes } = await asker.do("emitAck", { event: "question", args: ["?"], timeout: 1_000 });
      assert.deepEqual([answers, nodes], [["own"], 1]);
      await fence(asker, [client]);
    } finally {
      await closeClients([own]);
    }
  });

  add("requests end without its answer, and do it no harm", [red], async (client) => {
    const { sockets, nodes } = await asker.do("sockets", { timeout: 3_000 });
    assert.deepEqual([sockets.length, nodes], [0, 1]);
    await assert.rejects(asker.do("rooms", { timeout: 3_000 }), /node/);
    await asker.do("join", { names: ["green"] });
    await asker.do("leave", { names: ["green"] });
    await asker.do("disconnect", { rooms: ["red"], close: true });
    await asker.do("serverEmit", { event: "tell", args: [1] });
    await fence(asker, [client]);
    assert.ok(!client.gone);
  });
  return tests;
}

/** One room with clients on nodes of all versions. start() starts those, and returns who publishes too. */
export const mixed = (start) => async () => {
  const { nodes, publishers } = await start();
  const clients = await Promise.all(nodes.flatMap((node) => [
    openClient(node, { name: "red", rooms: ["red", "blue"] }), openClient(node, { name: "none" }),
  ]));
  for (const publisher of publishers) {
    await publisher.do("emit", { rooms: ["red"], event: "news", args: [`to red by ${publisher.name}`] });
    await publisher.do("emit", { rooms: ["red", "blue"], event: "news", args: [`to two by ${publisher.name}`] });
    await publisher.do("emit", { event: "news", args: [`to all by ${publisher.name}`] });
    await fence(publisher, clients);
  }
  for (const client of clients) {
    const wanted = publishers.flatMap(({ name }) => (
      client.name === "red" ? [`to red by ${name}`, `to two by ${name}`, `to all by ${name}`] : [`to all by ${name}`]));
    assert.deepEqual(client.events("news"), wanted, `${client.name} of ${client.node.name}`);
  }
  await closeClients(clients);
  for (const publisher of publishers) publisher.close?.();
  await Promise.all(nodes.map((node) => node.stop()));
};
