// A SockJS client, of either version, that records what a user of it would see, in order,
// as plain JSON.
import diagnostics from "node:diagnostics_channel";
import sockjs16 from "sockjs-client";
import sockjs11 from "sockjs-client-v1.1";
import { plain, until } from "./client.js";

const libraries = { "1.6.1": sockjs16, "1.1.5": sockjs11 };
const openTimeout = 30_000; // ms that a transport has to open, for busy machines

/** One connection. */
export class Sock {
  constructor(url, { version, transport }) {
    this.log = [];
    this.texts = []; // all messages, as they came
    this.heartbeats = 0;
    this.io = new libraries[version](url, null, { transports: [transport], timeout: openTimeout });
    // The client derives that time from one round trip, which is too short once the machine is busy.
    this.io.countRTO = () => openTimeout;
    this.io.onopen = () => this.log.push(["open", this.io.transport]);
    this.io.onheartbeat = () => this.heartbeats++;
    this.io.onclose = ({ code, reason, wasClean }) => this.log.push(["close", code, reason, wasClean]);
    this.io.onmessage = ({ data }) => {
      this.texts.push(data);
      this.log.push(["message", plain(data)]);
    };
  }

  get opened() { return this.log[0]?.[0] === "open"; }

  get closed() { return this.log.at(-1)?.[0] === "close"; }

  async open() { await until(() => this.opened, "the open frame"); }

  async end() { await until(() => this.closed, "the close"); }

  send(...texts) { for (const text of texts) this.io.send(text); }

  /** Waits until that many messages have come, in all. */
  async got(count) { await until(() => this.texts.length >= count, `${count} messages, got ${this.texts.length}`); }
}

const requests = []; // of all clients over HTTP, as addresses
diagnostics.subscribe("http.client.request.start", ({ request }) => {
  requests.push(`http://${request.getHeader("host")}${request.path}`);
});

/** What a scenario gets, as Run in run.js. */
export class SockRun {
  constructor(instance, version, transport) {
    Object.assign(this, { instance, version, transport });
    this.socks = [];
    this.notes = {};
  }

  /** A client that has not connected yet. path is that of the mount. */
  begin(tag = "a", { url = this.instance.url, path = "/strings", query = "" } = {}) {
    const sock = new Sock(`${url}${path}?tag=${tag}${query}`, this);
    this.socks.push([tag, sock]);
    return sock;
  }

  async client(tag, options) {
    const sock = this.begin(tag, options);
    await sock.open();
    return sock;
  }

  note(name, value) { this.notes[name] = value; }

  /** Adds what the server saw to the outcome, as soon as there are that many lines. */
  async server(count) { this.note("server", await this.instance.log(count)); }

  /** How many requests the clients have made that match. */
  requests(pattern) { return requests.filter((url) => url.startsWith(`${this.instance.url}/`) && pattern.test(url)).length; }

  outcome() {
    const logs = this.socks.map(([tag, sock]) => [tag, sock.log]);
    return JSON.parse(JSON.stringify({ ...Object.fromEntries(logs), ...this.notes }));
  }

  close() { for (const [, sock] of this.socks) if (!sock.closed) sock.io.close(); }
}
