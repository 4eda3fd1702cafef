// Who hears what: rooms, everybody, everybody else; both lines of clients together.
import { pause } from "../lib/run.js";

/** Three clients, of which a and b are in the room "red". */
async function three(t, versions = {}) {
  const clients = {};
  for (const tag of ["a", "b", "c"]) clients[tag] = await t.client(tag, { version: versions[tag] ?? t.version });
  await clients.a.call("join", "red");
  await clients.b.call("join", "red");
  return clients;
}

/** Everybody answers once more, so what was on its way has come. */
async function barrier(clients) {
  for (const client of Object.values(clients)) await client.call("echoAck", "barrier");
}

function shouting(how) {
  return {
    name: `broadcast: ${how}`,
    async run(t) {
      const clients = await three(t);
      await clients.a.call("shout", { how, room: "red", text: "hear 😀" });
      await barrier(clients);
    },
  };
}

const other = { v2: "v4", v4: "v2" };

export default [
  ...["all", "others", "room", "othersInRoom", "except", "binary"].map(shouting),
  {
    name: "broadcast: 2.x and 4.x together",
    async run(t) {
      const clients = await three(t, { b: other[t.version] });
      for (const how of ["all", "others", "room", "othersInRoom", "except", "binary"]) {
        for (const who of [clients.a, clients.b]) await who.call("shout", { how, room: "red", text: how });
      }
      await barrier(clients);
    },
  },
  {
    name: "rooms: join, leave, list",
    async run(t) {
      const clients = await three(t);
      const { a } = clients;
      await a.call("rooms");
      await a.call("join", "blue");
      await a.call("join", "blue");
      await a.call("rooms");
      await a.call("leave", "red");
      await a.call("leave", "never joined");
      await a.call("rooms");
      await clients.b.call("shout", { how: "room", room: "red", text: "without a" });
      await barrier(clients);
    },
  },
  {
    name: "rooms: moved by the server",
    async run(t) {
      const clients = await three(t);
      await clients.a.call("moveAll", "green");
      await clients.c.call("rooms");
      await clients.c.call("shout", { how: "othersInRoom", room: "green", text: "to green" });
      await barrier(clients);
    },
  },
  {
    name: "rooms: kicked by room",
    async run(t) {
      const clients = await three(t);
      clients.c.emit("kickRoom", "red");
      await clients.a.seen("disconnect");
      await clients.b.seen("disconnect");
      await clients.c.call("echoAck", "still here");
    },
  },
  {
    name: "rooms are per namespace",
    async run(t) {
      const clients = await three(t);
      const chat = t.open(clients.c.connection, "/chat");
      await chat.connected();
      await chat.call("join", "red");
      await chat.call("shout", { how: "room", room: "red", text: "only in chat" });
      await chat.call("shout", { how: "all", room: "", text: "all of chat" });
      await barrier({ ...clients, chat });
    },
  },
  {
    name: "pushed from outside",
    async run(t) {
      const clients = await three(t);
      await t.instance.emit({ event: "news", args: ["for all", { n: 1 }] });
      await t.instance.emit({ room: "red", event: "news", args: ["for red"] });
      await t.instance.emit({ namespace: "/chat", event: "news", args: ["for nobody here"] });
      await barrier(clients);
    },
  },
  {
    name: "ack of a room",
    async run(t) {
      const clients = await three(t);
      for (const [tag, client] of Object.entries(clients)) client.answer = () => [tag];
      await clients.c.call("askRoom", "red");
      await clients.c.call("askRoom", "empty");
    },
  },
  {
    name: "ack of a room, one is silent",
    async run(t) {
      const clients = await three(t);
      clients.a.answer = () => ["a"];
      await clients.c.call("askRoom", "red");
    },
  },
  {
    name: "a client that left hears nothing",
    async run(t) {
      const clients = await three(t);
      clients.b.io.close();
      await pause(60);
      await clients.a.call("shout", { how: "room", room: "red", text: "b has left" });
      await clients.a.call("echoAck", "barrier");
      await clients.c.call("echoAck", "barrier");
    },
  },
];
