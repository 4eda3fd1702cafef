// What one node asks or wants of the clients of another, and of the other itself.
import assert from "node:assert/strict";
import { until } from "../lib/client.js";
import { closeClients, fence, openClient } from "../lib/cluster.js";
import { pause } from "../lib/run.js";
import { bin } from "./values.js";

const soon = 1_900; // ms in which a complete answer comes; who waits for an answer that does not, waits 2 s at least

export const sorted = (list) => [...list].sort();

/** Events with the most arguments first: those of different namespaces come in any order. */
export const bySize = (events) => [...events].sort((a, b) => b.args.length - a.args.length);

/** Lets clients into a node for a test. */
export const withClients = (node, list, test) => async () => {
  const clients = await Promise.all(list.map((options) => openClient(node, options)));
  try {
    await test(...clients);
  } finally {
    await closeClients(clients);
  }
};

/** Runs work, which has to be done soon: a node that waits for nobody answers at once, or once it has been held up. */
export async function promptly(work, held = 0) {
  const start = Date.now();
  const result = await work;
  assert.ok(Date.now() - start < held + soon, `it took ${Date.now() - start} ms`);
  return result;
}

const byID = (list, client) => list.find(({ id }) => id === client.id);
const header = (headers, name) => Object.entries(headers).find(([key]) => key.toLowerCase() === name)?.[1];

/** The tests of a node that asks and one that has the clients; without is what they cannot do. */
export function requests(asker, node, without = /^$/) {
  const tests = {};
  const add = (name, test) => { if (!without.test(name)) tests[`${asker.name} ⇒ ${node.name}: ${name}`] = test; };
  const on = (list, test) => withClients(node, list, test);
  const sockets = async (target) => {
    const { sockets: list, error } = await promptly(asker.do("sockets", target));
    assert.equal(error, undefined);
    return list;
  };
  const fenced = (clients) => fence(asker, clients);
  const red = { name: "red", rooms: ["red"] };
  const both = { name: "both", rooms: ["red", "blue"] };
  const blue = { name: "blue", rooms: ["blue"] };
  const seven = { name: "seven", rooms: [7] };
  const none = { name: "none" };
  const number = asker.isGo ? "7" : 7;

  add("sockets, with all that is known", on([{
    ...both, data: { user: "u1", list: [1, null] }, query: { colour: "green" }, auth: { token: "t" },
    options: { extraHeaders: { "x-test": "of the client" } },
  }], async (client) => {
    const socket = byID(await sockets(), client);
    assert.ok(socket, "the client is there");
    assert.deepEqual(sorted(socket.rooms), sorted([client.id, "blue", "red"]));
    assert.deepEqual(socket.data, { user: "u1", list: [1, null] });
    assert.deepEqual(socket.auth, { token: "t" });
    assert.equal(header(socket.headers, "x-test"), "of the client");
    assert.equal(socket.query.colour, "green");
    assert.equal(socket.query.tag, "both");
    assert.match(socket.address, /127\.0\.0\.1/);
  }));

  add("sockets without data", on([none], async (client) => {
    const socket = byID(await sockets(), client);
    assert.deepEqual(socket.data ?? {}, {});
    assert.deepEqual(socket.rooms, [client.id]);
  }));

  add("sockets of rooms, with exceptions", on([red, both, blue, seven, none], async (...clients) => {
    const names = async (target) => {
      const ids = (await sockets(target)).map(({ id }) => id);
      return clients.filter(({ id }) => ids.includes(id)).map(({ name }) => name).join();
    };
    assert.equal(await names({ rooms: ["red"] }), "red,both");
    assert.equal(await names({ rooms: ["red", "blue"] }), "red,both,blue");
    assert.equal(await names({ rooms: ["red"], except: ["blue"] }), "red");
    assert.equal(await names({ except: ["blue"] }), "red,seven,none");
    assert.equal(await names({ rooms: [number] }), "seven");
    assert.equal(await names({ rooms: [clients[4].id] }), "none");
    assert.equal(await names({ local: true }), "");
  }));

  add("sockets where nobody is", async () => {
    assert.deepEqual(await sockets(), []);
    assert.deepEqual(await sockets({ rooms: ["red"] }), []);
    assert.deepEqual(await sockets({ namespace: "/chat" }), []);
  });

  add("all rooms", on([both, seven], async (client, other) => {
    const rooms = (await promptly(asker.do("rooms"))).map(String);
    for (const room of ["red", "blue", "7", client.id, other.id]) assert.ok(rooms.includes(room), room);
    assert.ok(!rooms.includes("green"));
    assert.deepEqual(await promptly(asker.do("rooms", { namespace: "/chat" })), []);
  }));

  add("join and leave", on([red, both, none], async (...clients) => {
    const [, other] = clients;
    const tell = async (rooms) => {
      for (const client of clients) client.clear();
      await asker.do("emit", { rooms, event: "news", args: ["text"] });
      await fenced(clients);
      return clients.filter((client) => client.events("news").length).map(({ name }) => name).join();
    };
    await asker.do("join", { rooms: ["red"], except: ["blue"], names: ["green", "white"] });
    assert.equal(await tell(["green"]), "red");
    await asker.do("join", { rooms: [other.id], names: [number] });
    assert.equal(await tell([number]), "both");
    await asker.do("join", { names: ["everybody"] });
    assert.equal(await tell(["everybody"]), "red,both,none");
    await asker.do("leave", { rooms: ["red"], names: ["everybody", "white"] });
    assert.equal(await tell(["everybody", "white"]), "none");
    await asker.do("leave", { names: [number] });
    assert.equal(await tell([number]), "");
    assert.equal(await tell(["red"]), "red,both");
  }));

  add("disconnect", on([red, both, none], async (first, second, third) => {
    const stays = first.connection.open("/chat");
    await stays.connected();
    await asker.do("disconnect", { rooms: ["red"], except: ["blue"] });
    await until(() => first.gone, "the client to be disconnected");
    assert.deepEqual(first.socket.log.find(([kind]) => kind === "disconnect"), ["disconnect", "io server disconnect"]);
    await fenced([second, third]);
    await stays.call("id"); // the connection is still there
    assert.ok(!second.gone && !third.gone);
  }));

  add("disconnect and close", on([red, none], async (first, second) => {
    await asker.do("disconnect", { rooms: ["red"], close: true });
    await until(() => first.connection.manager.engine.readyState === "closed", "the connection to be closed");
    assert.ok(first.gone);
    await fenced([second]);
    assert.ok(!second.gone);
  }));

  const heard = async (count) => {
    let list = [];
    for (const end = Date.now() + soon; list.length < count && Date.now() < end; await pause(10)) list = list.concat(await node.do("events"));
    return list;
  };

  add("server-side emit", async () => {
    await Promise.all([node.do("events"), asker.do("events")]); // of before
    await asker.do("serverEmit", { event: "tell", args: ["a", { b: [1, null] }, "😀"] });
    await asker.do("serverEmit", { event: "tell", args: [] });
    await asker.do("serverEmit", { namespace: "/chat", event: "tell", args: [1] });
    assert.deepEqual(bySize(await heard(3)), [
      { namespace: "/", event: "tell", args: ["a", { b: [1, null] }, "😀"] },
      { namespace: "/chat", event: "tell", args: [1] },
      { namespace: "/", event: "tell", args: [] },
    ]);
    assert.deepEqual(await asker.do("events"), []);
  });

  add("server-side emit with answers", async () => {
    await node.do("events");
    const { answers, error } = await promptly(asker.do("serverEmitAck", { event: "ask", args: ["question", 2] }));
    assert.equal(error, undefined);
    assert.equal(answers.length, asker.others, "one answer of each other node");
    for (const answer of answers) assert.deepEqual(answer.args, ["question", 2]);
    assert.ok(answers.some(({ of }) => of === (node.isGo ? "go" : "node")));
    assert.deepEqual(await heard(1), [{ namespace: "/", event: "ask", args: ["question", 2] }]);
  });

  add("server-side emit that nobody answers", async () => {
    const { answers, error, nodes } = await asker.do("serverEmitAck", { event: "nobody's", args: [], timeout: 400 });
    assert.deepEqual(answers, []);
    if (!asker.isGo) assert.equal(error, `timeout reached: only 0 responses received out of ${asker.others}`);
    else assert.equal(nodes, asker.othersOfNode, error);
  });

  add("clients are asked", on([red, both, none], async () => {
    const ask = (target) => promptly(asker.do("emitAck", { event: "question", args: ["?"], timeout: 15_000, ...target }));
    let { answers, error } = await ask({ rooms: ["red"] });
    assert.equal(error, undefined);
    assert.deepEqual(sorted(answers), ["both", "red"]);
    ({ answers, error } = await ask({}));
    assert.deepEqual(sorted(answers), ["both", "none", "red"]);
    ({ answers, error } = await ask({ rooms: ["red"], except: ["blue"] }));
    assert.deepEqual(sorted(answers), ["red"]);
    assert.equal(error, undefined);
  }));

  add("clients are asked, in a namespace", on([{ ...red, namespace: "/chat" }, none], async () => {
    const { answers, error } = await promptly(asker.do("emitAck", { namespace: "/chat", event: "question", args: [], timeout: 15_000 }));
    assert.equal(error, undefined);
    assert.deepEqual(answers, ["red"]);
  }));

  add("clients answer by many kinds of values", on([red], async (client) => {
    for (const value of ["text", 1.5, null, true, [1, [2]], { a: { b: null } }, "😀", 2 ** 40]) {
      client.socket.answer = () => [value];
      const { answers } = await asker.do("emitAck", { rooms: ["red"], event: "question", args: [value], timeout: 15_000 });
      assert.deepEqual(answers, [value]);
    }
    client.socket.answer = () => [];
    const { answers } = await asker.do("emitAck", { rooms: ["red"], event: "question", args: [], timeout: 15_000 });
    assert.deepEqual(answers, [null]);
    client.socket.answer = () => [{ data: Buffer.from("binary") }];
    const { answers: [{ data }] } = await asker.do("emitAck", { rooms: ["red"], event: "question", args: [], timeout: 15_000 });
    assert.equal(Buffer.from(data.data ?? data, asker.isGo ? "base64" : undefined).toString(), "binary");
  }));

  add("clients are asked many things at once, and nodes too", on([red, both, none], async (...clients) => {
    for (const client of clients) client.socket.answer = ([number]) => [`${client.name} ${number}`];
    const ids = sorted(clients.map(({ id }) => id));
    await Promise.all(Array.from({ length: 60 }, async (_, number) => {
      const [asked, list, nodes] = await Promise.all([
        asker.do("emitAck", { rooms: ["red"], event: "question", args: [number], timeout: 15_000 }),
        asker.do("sockets", { timeout: 15_000 }),
        asker.do("serverEmitAck", { event: "ask", args: [number], timeout: 15_000 }),
      ]);
      assert.deepEqual(sorted(asked.answers), [`both ${number}`, `red ${number}`]);
      assert.deepEqual(sorted(list.sockets.map(({ id }) => id)), ids);
      assert.deepEqual(nodes.answers.map(({ args }) => args), Array(asker.others).fill([number]));
    }));
  }));

  add("nobody is asked", async () => {
    const { answers, error } = await promptly(asker.do("emitAck", { rooms: ["red"], event: "question", args: [], timeout: 15_000 }));
    assert.deepEqual(answers, []);
    assert.equal(error, undefined);
  });

  add("a client that does not answer", on([red, both, none], async (first) => {
    first.socket.answer = undefined;
    const { answers, error, clients } = await asker.do("emitAck", { event: "question", args: ["?"], timeout: 1_500 });
    assert.deepEqual(sorted(answers), ["both", "none"]);
    if (asker.isGo) assert.equal(clients, 1, error);
    else assert.equal(error, "operation has timed out");
  }));

  add("clients leave when they are asked", on([red, both, none], async (first, second) => {
    first.socket.io.once("question", () => first.socket.io.disconnect());
    second.socket.io.once("question", () => second.close());
    for (const client of [first, second]) client.socket.answer = undefined;
    const { answers, error, clients } = await asker.do("emitAck", { event: "question", args: ["?"], timeout: 1_500 });
    assert.deepEqual(answers, ["none"]);
    if (!asker.isGo) assert.equal(error, "operation has timed out");
    else if (!node.isGo) assert.equal(clients, 2, error);
    else {
      assert.equal(clients, 2, error);
      assert.match(error, /has left/); // Go's nodes tell each other, so that nobody is waited for
    }
  }));

  add("clients are asked by binary", on([red], async (client) => {
    client.socket.answer = ([question]) => [Buffer.from(question.a[0]).toString()];
    const { answers } = await promptly(asker.do("emitAck", { event: "question", args: [{ a: [bin("binary")] }, bin("more")], timeout: 15_000 }));
    assert.deepEqual(answers, ["binary"]);
  }));

  add("what clients say reaches the others", on([red, blue, none], async (...clients) => {
    const speaker = await openClient(asker, red);
    try {
      await speaker.call("say", { room: "red", text: "to red" });
      await speaker.call("say", { text: "to all" });
      await fenced([...clients, speaker]);
      assert.deepEqual(clients.map((client) => client.events("said")), [["to red", "to all"], ["to all"], ["to all"]]);
      assert.deepEqual(speaker.events("said"), []);
    } finally {
      await closeClients([speaker]);
    }
  }));
  return tests;
}
