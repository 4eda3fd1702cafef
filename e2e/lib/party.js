// Clients of every kind behind one face, for tests in which they meet: what they hear of
// each other, and how they ask and answer.
import { once } from "node:events";
import WebSocket from "ws";
import { until } from "./client.js";
import { Sock } from "./sockjs.js";

const waitTimeout = 100_000; // ms, for busy machines

/** A client of Socket.IO; socket is that of run.client. */
export class SocketIOParty {
  constructor(name, socket) {
    this.name = name;
    this.socket = socket;
    socket.answer = () => [name];
  }

  emit(event, data) { this.socket.emit(event, data); }

  async call(event, data) { return (await this.socket.call(event, data))[0]; }

  events(name) {
    return this.socket.log.filter((line) => line[0] === "event" && line[1] === name).map((line) => line[2]);
  }
}

/** A client that speaks JSON events: a native WebSocket, or SockJS. */
class JSONParty {
  constructor(name, send) {
    this.name = name;
    this.send = (frame) => send(JSON.stringify(frame));
    this.frames = [];
    this.cid = 0;
  }

  receive(text) {
    const frame = JSON.parse(text);
    this.frames.push(frame);
    if (frame.event === "question") this.send({ rid: frame.cid, data: this.name });
  }

  emit(event, data) { this.send({ event, data }); }

  async call(event, data) {
    const cid = ++this.cid;
    this.send({ event, data, cid });
    const answer = () => this.frames.find((frame) => frame.rid === cid);
    await until(answer, `the answer to ${event}`);
    if (this.frames.filter((frame) => frame.rid === cid).length > 1) throw new Error(`two answers to ${event}`);
    if (answer().error) throw new Error(answer().error.message);
    return answer().data;
  }

  events(name) { return this.frames.filter((frame) => frame.event === name).map((frame) => frame.data); }
}

export async function webSocketParty(name, url) {
  const ws = new WebSocket(url.replace(/^http/, "ws"));
  const party = new JSONParty(name, (text) => ws.send(text));
  party.ws = ws;
  ws.on("message", (text) => party.receive(text));
  party.close = () => ws.terminate();
  await once(ws, "open", { signal: AbortSignal.timeout(waitTimeout) });
  return party;
}

export async function sockParty(name, url, options) {
  const sock = new Sock(url, options);
  const party = new JSONParty(name, (text) => sock.send(text));
  sock.io.addEventListener("message", ({ data }) => party.receive(data));
  party.sock = sock;
  party.close = () => sock.io.close();
  await sock.open();
  return party;
}
