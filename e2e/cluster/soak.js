// Many messages: none may be lost, doubled, or out of its publisher's order.
import assert from "node:assert/strict";
import { closeClients, openClient } from "../lib/cluster.js";
import { pause } from "../lib/run.js";

const roomCount = 100; // each with one client on each of three nodes
const chunk = 250; // messages that a publisher sends at once
const ahead = 1_500; // messages that may be on their way, of each publisher
const patience = 30_000; // ms without anything new
const ofGo = [{ version: "v4" }, { version: "v2" }, { kind: "sockjs" }, { kind: "websocket" }];
const ofNode = [{ version: "v4" }, { version: "v2" }];

const roomName = (number) => `room ${number}`;
const rooms = Array.from({ length: roomCount }, (_, i) => roomName(i));

/** Lets 300 clients in, of four kinds, a few at a time. */
async function enter(nodes) {
  const all = nodes.flatMap((node, n) => rooms.map((room, i) => {
    const kinds = node.isGo ? ofGo : ofNode;
    return { node, options: { name: `client of ${room}`, rooms: [room], ...kinds[(i + n) % kinds.length] } };
  }));
  const clients = [];
  for (let i = 0; i < all.length; i += 20) {
    clients.push(...await Promise.all(all.slice(i, i + 20).map(({ node, options }) => openClient(node, options))));
  }
  return clients;
}

/** What has come from one publisher, to all clients. */
class Deliveries {
  constructor() {
    this.count = 0;
    this.wrong = []; // what came when something else had to
    this.next = new Map(); // by client: the number that has to come next
  }

  take(client, number) {
    const room = Number(client.name.split(" ").at(-1));
    const wanted = this.next.get(client) ?? room;
    this.next.set(client, number + roomCount);
    this.count++;
    if (number !== wanted) this.wrong.push(`${client.name} of ${client.node.name}: ${number} in place of ${wanted}`);
  }
}

/** Calls take with what a client gets, without keeping it. */
function listen(client, take) {
  if (client.socket) {
    client.socket.log.push = () => 0; // 300,000 lines are of no use
    client.socket.io.on("news", (message) => take(client, message));
    return;
  }
  client.receive = (text) => {
    const { event, data } = JSON.parse(text);
    if (event === "news") take(client, data);
  };
}

/** Publishes so many messages, no faster than they arrive. */
async function publish(publisher, total, deliveries) {
  for (let first = 0; first < total; first += chunk) {
    const count = Math.min(chunk, total - first);
    await publisher.do("publish", { from: publisher.name, rooms, first, count });
    await arrived(publisher, deliveries, (first + count - ahead) * 3);
  }
  await arrived(publisher, deliveries, total * 3);
}

/** Waits until there were so many deliveries; gives up when nothing more comes. */
async function arrived(publisher, deliveries, count) {
  for (let last = deliveries.count, end = Date.now() + patience; deliveries.count < count; await pause(2)) {
    if (deliveries.count > last) [last, end] = [deliveries.count, Date.now() + patience];
    if (Date.now() > end) throw new Error(`${count - deliveries.count} deliveries of ${publisher.name} are missing: ${deliveries.wrong.slice(0, 5)}`);
  }
}

/** The test: so many messages of all nodes together. */
export const soak = (nodes, total) => async () => {
  const clients = await enter(nodes);
  try {
    const deliveries = new Map(nodes.map((node) => [node.name, new Deliveries()]));
    for (const client of clients) listen(client, (c, [from, number]) => deliveries.get(from).take(c, number));
    const start = Date.now();
    const share = Math.ceil(total / nodes.length);
    await Promise.all(nodes.map((node) => publish(node, share, deliveries.get(node.name))));
    const seconds = (Date.now() - start) / 1_000;
    await pause(300); // for what should not come
    for (const node of nodes) {
      const { count, wrong } = deliveries.get(node.name);
      assert.deepEqual(wrong, [], `of ${node.name}`);
      assert.equal(count, share * 3, `deliveries of ${node.name}`);
      if (node.isGo) await checkStats(node);
    }
    console.log(`        ${share * nodes.length} messages, ${share * nodes.length * 3} deliveries in ${seconds} s`);
  } finally {
    await closeClients(clients);
  }
};

/** What the node itself says: nothing was lost or dropped. */
export async function checkStats(node) {
  const { Slow: slow, Bus: { Up: up, Lost: lost, Missed: missed, Dropped: dropped } } = await node.do("stats");
  assert.deepEqual({ slow, up, lost, missed, dropped }, { slow: 0, up: true, lost: 0, missed: 0, dropped: 0 }, node.name);
}
