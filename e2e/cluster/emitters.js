// What emitters want beside broadcasts.
import assert from "node:assert/strict";
import { until } from "../lib/client.js";
import { fence } from "../lib/cluster.js";
import { pause } from "../lib/run.js";
import { bySize, withClients } from "./requests.js";

const red = { name: "red", rooms: ["red"] };
const both = { name: "both", rooms: ["red", "blue"] };
const none = { name: "none" };

export function emissions(emitter, node) {
  const tests = {};
  const add = (name, list, test) => { tests[`${emitter.name} ⇒ ${node.name}: ${name}`] = withClients(node, list, test); };

  add("join and leave", [red, both, none], async (...clients) => {
    const tell = async (room) => {
      for (const client of clients) client.clear();
      await emitter.do("emit", { rooms: [room], event: "news", args: ["text"] });
      await fence(emitter, clients);
      return clients.filter((client) => client.events("news").length).map(({ name }) => name).join();
    };
    await emitter.do("join", { rooms: ["red"], except: ["blue"], names: ["green"] });
    assert.equal(await tell("green"), "red");
    await emitter.do("join", { names: ["green", "white"] });
    assert.equal(await tell("white"), "red,both,none");
    await emitter.do("leave", { rooms: ["red"], names: ["green"] });
    assert.equal(await tell("green"), "none");
  });

  add("disconnect", [red, both, none], async (first, second, third) => {
    const stays = first.connection.open("/chat");
    await stays.connected();
    await emitter.do("disconnect", { rooms: ["red"], except: ["blue"] });
    await until(() => first.gone, "the client to be disconnected");
    await emitter.do("disconnect", { rooms: ["blue"], close: true });
    await until(() => second.connection.manager.engine.readyState === "closed", "the connection to be closed");
    await fence(emitter, [third]);
    await stays.call("id"); // the connection is still there
  });

  add("server-side emit", [], async () => {
    await node.do("events"); // of before
    await emitter.do("serverEmit", { event: "tell", args: ["a", { b: 1 }] });
    await emitter.do("serverEmit", { namespace: "/chat", event: "tell", args: [] });
    let list = [];
    for (const end = Date.now() + 1_000; list.length < 2 && Date.now() < end; await pause(10)) list = list.concat(await node.do("events"));
    assert.deepEqual(bySize(list), [
      { namespace: "/", event: "tell", args: ["a", { b: 1 }] }, { namespace: "/chat", event: "tell", args: [] },
    ]);
  });
  return tests;
}
