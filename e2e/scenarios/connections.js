// How clients come and go, and what both sides say about it.
import { pause } from "../lib/run.js";
import { until } from "../lib/client.js";

const reconnecting = { reconnection: true };

export default [
  {
    name: "connect",
    async run(t) {
      const connection = t.connection();
      const first = new Promise((resolve) => { connection.manager.once("open", () => resolve(connection.transport)); });
      const a = t.open(connection);
      t.note("transport first", await first);
      await a.connected();
      await t.settled(connection);
      t.note("transport then", connection.transport);
      t.note("id has 20 characters", a.io.id.length === 20);
      await t.server(1);
    },
  },
  {
    name: "events before the connect",
    async run(t) {
      const connection = t.connection();
      const a = t.open(connection);
      a.emit("echo", 1);
      a.emit("binary", Buffer.from([1, 2, 3]));
      a.emit("echo", 2);
      await a.seen("event", "echo", 2);
    },
  },
  {
    name: "query and auth",
    async run(t) {
      const a = await t.client("a", {
        query: { color: "blå & 😀", n: 1 },
        auth: { token: "t 😀", nested: { list: [1, null] } },
      });
      await a.call("whoami");
    },
  },
  {
    name: "no auth",
    async run(t) {
      const a = await t.client();
      await a.call("whoami");
    },
  },
  {
    name: "auth of a namespace",
    async run(t) {
      const connection = t.connection();
      const root = t.open(connection);
      await root.connected();
      await t.settled(connection);
      const chat = t.open(connection, "/chat", { auth: { token: "x" }, query: { token: "x y", n: 1 } });
      await chat.connected();
      await chat.call("whoami");
      await root.call("whoami");
      await t.server(2);
    },
  },
  {
    name: "two namespaces on one connection",
    async run(t) {
      const connection = t.connection();
      const root = t.open(connection);
      const chat = t.open(connection, "/chat");
      await root.connected();
      await chat.connected();
      await t.settled(connection);
      await root.call("echoAck", "root");
      await chat.call("echoAck", "chat");
      chat.emit("binary", Buffer.from("chat"));
      await chat.seen("event", "binary");
      chat.answer = (args) => args;
      chat.emit("ask", "in chat");
      await chat.seen("event", "answered");
      chat.io.close();
      await t.instance.log(3);
      await root.call("echoAck", "root again");
      await t.server(2, 1);
    },
  },
  {
    name: "a namespace left and joined again",
    async run(t) {
      const connection = t.connection();
      const root = t.open(connection);
      const chat = t.open(connection, "/chat");
      await root.connected();
      await chat.connected();
      await t.settled(connection);
      chat.io.close();
      await t.instance.log(3);
      chat.io.open();
      await chat.connected(2);
      await chat.call("echoAck", "again");
      await t.server(2, 1, 1);
    },
  },
  ...[
    ["refused with data", "/guarded"],
    ["refused with a message only", "/closed"],
    ["unknown namespace", "/nowhere"],
  ].map(([name, namespace]) => ({
    name,
    async run(t) {
      const connection = t.connection();
      const root = t.open(connection);
      await root.connected();
      await t.settled(connection);
      const refused = t.open(connection, namespace, { auth: { token: "bad" }, query: { token: "bad" } });
      await refused.seen("refused");
      await root.call("echoAck", "the others are not touched");
    },
  })),
  {
    name: "let in with the right token",
    async run(t) {
      const connection = t.connection();
      const guarded = t.open(connection, "/guarded", { auth: { token: "good" }, query: { token: "good" } });
      await guarded.connected();
      await t.settled(connection);
      await guarded.call("echoAck", "in");
    },
  },
  {
    name: "the client leaves",
    async run(t) {
      const a = await t.client();
      a.io.close();
      await t.server(2);
    },
  },
  {
    name: "the client closes the connection",
    async run(t) {
      const a = await t.client();
      a.connection.manager.engine.close();
      await t.server(2);
    },
  },
  ...[
    ["the client vanishes", (socket) => socket.destroy()],
    ["the client vanishes, with a reset", (socket) => socket.resetAndDestroy()],
  ].map(([name, vanish]) => ({
    name,
    transports: ["websocket", "upgrade"], // polls cannot be cut from here
    async run(t) {
      const a = await t.client();
      vanish(a.connection.manager.engine.transport.ws._socket);
      await a.seen("disconnect");
      await t.server(2);
    },
  })),
  {
    name: "kicked from the namespace",
    async run(t) {
      const connection = t.connection("a", { options: reconnecting });
      const root = t.open(connection);
      const chat = t.open(connection, "/chat");
      await root.connected();
      await chat.connected();
      await t.settled(connection);
      chat.emit("kick", false);
      await chat.seen("disconnect");
      await root.call("echoAck", "root lives");
      await pause(100); // a kicked client does not come back by itself
      await t.server(2, 1);
    },
  },
  {
    name: "kicked altogether",
    async run(t) {
      const connection = t.connection("a", { options: reconnecting });
      const root = t.open(connection);
      const chat = t.open(connection, "/chat");
      await root.connected();
      await chat.connected();
      await t.settled(connection);
      chat.emit("kick", true);
      await chat.seen("disconnect");
      await root.seen("disconnect");
      await pause(100);
      await t.server(2, 2);
    },
  },
  {
    name: "kicked, and back by hand",
    async run(t) {
      const a = await t.client();
      a.emit("kick", false);
      await a.seen("disconnect");
      await pause(100); // a 2.x client closes its connection first, and cannot be opened meanwhile
      a.io.open();
      await a.connected(2);
      await a.call("echoAck", "back");
      await t.server(3);
    },
  },
  {
    name: "last words before the kick",
    async run(t) {
      const a = await t.client();
      a.emit("count", 30);
      a.emit("kick", true);
      await a.seen("disconnect");
    },
  },
  {
    name: "the connection is cut, the client comes back",
    async run(t) {
      const a = await t.client("a", { options: reconnecting });
      await pause(60); // a poll waits
      await t.instance.cut();
      await a.seen("disconnect");
      a.emit("echo", "written while away");
      await a.connected(2);
      await a.seen("event", "echo");
      await a.call("echoAck", "back");
      // A polling client may get its farewell through before the server notices the cut.
      if (t.transport !== "polling") await t.server(3);
    },
  },
  {
    name: "the server shuts down",
    async run(t) {
      const a = await t.client();
      await pause(60);
      await t.instance.shutdown();
      await a.seen("disconnect");
      await t.server(2);
    },
  },
  {
    name: "the server shuts down, two namespaces",
    async run(t) {
      const connection = t.connection();
      const root = t.open(connection);
      const chat = t.open(connection, "/chat");
      await root.connected();
      await chat.connected();
      await t.settled(connection);
      await pause(60);
      await t.instance.shutdown();
      await root.seen("disconnect");
      await chat.seen("disconnect");
      await t.server(2, 2);
    },
  },
  {
    name: "idle over many heartbeats",
    server: { pingInterval: 100, pingTimeout: 800 },
    async run(t) {
      const a = await t.client();
      await pause(1_200); // longer than a client may be silent
      await a.call("echoAck", "alive");
    },
  },
  {
    name: "the client falls silent",
    server: { pingInterval: 400, pingTimeout: 600 },
    async run(t) {
      const a = await t.client();
      await a.call("echoAck", "hello"); // the upgrade has reached the server too
      // Neither pongs (4.x) nor pings (2.x) leave it, while the transport stays open; and it
      // does not end the connection itself, as its own timer would soon do.
      const { engine } = a.connection.manager;
      engine.sendPacket = engine.onClose = engine._onClose = () => {};
      engine.transport.write = () => {};
      await t.server(2);
    },
  },
];
