// Clients that only a Go node has, SockJS and plain WebSocket, as the nodes of Node.js see them.
import assert from "node:assert/strict";
import { until } from "../lib/client.js";
import { closeClients, fence, openClient } from "../lib/cluster.js";
import { sorted, withClients } from "./requests.js";

const kinds = {
  "a plain WebSocket": { kind: "websocket" },
  "SockJS over WebSocket": { kind: "sockjs" },
  "SockJS over xhr-streaming": { kind: "sockjs", transport: "xhr-streaming" },
  "SockJS over xhr-polling": { kind: "sockjs", transport: "xhr-polling" },
};

export function otherKinds(asker, node) {
  const tests = {};
  for (const [name, kind] of Object.entries(kinds)) {
    const add = (what, list, test) => {
      tests[`${asker.name} ⇒ ${name} on ${node.name}: ${what}`] = withClients(node, list.map((client) => ({ ...client, ...kind })), test);
    };
    const red = { name: "red", rooms: ["red"], data: { user: "u1" } };
    const none = { name: "none" };

    add("hears, and is heard", [red, none], async (client, other) => {
      const listener = await openClient(asker, { name: "listener", rooms: ["red"] });
      try {
        await client.call("say", { room: "red", text: "to red 😀" });
        await client.call("say", { text: { to: ["all"] } });
        await listener.call("say", { room: "red", text: "back" });
        await fence(node, [listener]);
        await fence(asker, [client, other]);
        assert.deepEqual(listener.events("said"), ["to red 😀", { to: ["all"] }]);
        assert.deepEqual(client.events("said"), ["back"]);
        assert.deepEqual(other.events("said"), [{ to: ["all"] }]);
      } finally {
        await closeClients([listener]);
      }
    });

    add("is listed, asked and moved", [red, none], async (client, other) => {
      const socket = (await asker.do("sockets", { rooms: ["red"] })).sockets.find(({ id }) => id === client.id);
      assert.deepEqual(socket.data, { user: "u1" });
      assert.deepEqual(sorted(socket.rooms), sorted([client.id, "red"]));
      const { answers, error } = await asker.do("emitAck", { event: "question", args: ["?"], timeout: 3_000 });
      assert.equal(error, undefined);
      assert.deepEqual(sorted(answers), ["none", "red"]);
      await asker.do("join", { rooms: [other.id], names: ["green"] });
      await asker.do("emit", { rooms: ["green"], event: "news", args: ["text"] });
      await fence(asker, [client, other]);
      assert.deepEqual([client.events("news"), other.events("news")], [[], ["text"]]);
    });

    add("is disconnected", [red, none], async (client, other) => {
      await asker.do("disconnect", { rooms: ["red"] });
      await until(() => client.gone, "the client to be disconnected");
      await fence(asker, [other]);
      assert.ok(!other.gone);
    });
  }
  return tests;
}
