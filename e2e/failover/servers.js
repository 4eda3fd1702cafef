// The servers under test: three of Go and one of Node.js, each with a client that records all messages.
import { once } from "node:events";
import { io } from "socket.io-client";
import { ClusterNode } from "../lib/cluster.js";
import { eventually } from "../lib/redis-forms.js";

const rooms = ["room a", "room b"];
const meetTimeout = 20_000; // ms that the servers have to hear one another

/** What has come from one sender in one series. */
class Arrivals {
  constructor() {
    this.at = []; // by number: when it came, in ms of performance.timeOrigin
    this.published = []; // by number: when the sender published it
    this.last = -1;
    this.count = 0;
    this.twice = [];
    this.disordered = [];
  }

  take(number, published) {
    if (this.at[number] !== undefined) {
      this.twice.push(number);
      return;
    }
    if (number < this.last) this.disordered.push(number);
    this.last = Math.max(this.last, number);
    this.at[number] = Date.now();
    this.published[number] = published;
    this.count++;
  }
}

/** A client of one server that is in all rooms, and records what comes by sender. */
class Recorder {
  static async open(url) {
    const recorder = new Recorder();
    recorder.socket = io(url, { transports: ["websocket"], forceNew: true, reconnection: false });
    recorder.series = new Map();
    recorder.socket.on("traffic", ([name, number, published]) => recorder.of(name).take(number, published));
    recorder.socket.on("disconnect", (reason) => { recorder.gone = reason; });
    await once(recorder.socket, "connect");
    for (const room of rooms) await recorder.socket.emitWithAck("join", room);
    return recorder;
  }

  of(name) {
    if (!this.series.has(name)) this.series.set(name, new Arrivals());
    return this.series.get(name);
  }
}

/** All servers, and the traffic among them. */
export class Servers {
  static async start(form, program) {
    const servers = new Servers();
    const flags = [...form.flags, "--prefix", `failover-${process.pid}`];
    servers.prefix = flags.at(-1);
    const script = ["cluster-node.js", "--traffic", ...flags];
    servers.all = await Promise.all([
      ...["go 1", "go 2", "go 3"].map((name) => ClusterNode.start(name, program, flags)),
      ClusterNode.start("node", process.execPath, script),
    ]);
    servers.seriesCount = 0;
    for (const server of servers.all) server.recorder = await Recorder.open(server.url);
    return servers;
  }

  get go() { return this.all.filter(({ isGo }) => isGo); }

  /** Every sender with every receiver. */
  get pairs() { return this.all.flatMap((from) => this.all.map((to) => ({ from, to }))); }

  /** The pairs of two servers. */
  get links() { return this.pairs.filter(({ from, to }) => from !== to); }

  arrivals({ from, to }) { return to.recorder.of(this.seriesOf(from)); }

  seriesOf(server) { return `${server.name}, series ${this.seriesCount}`; }

  /** Reports whether a series is of now. That of meet may end late. */
  isCurrent(series) {
    const number = Number(series.split(" ").at(-1));
    return number === this.seriesCount || number === 1;
  }

  each(what, command = {}, servers = this.all) {
    const of = typeof command === "function" ? command : () => command;
    return Promise.all(servers.map((server) => server.do(what, of(server))));
  }

  async startTraffic(rate) {
    this.seriesCount++;
    for (const { recorder } of this.all) recorder.series.clear();
    await this.each("traffic", (server) => ({ from: this.seriesOf(server), rooms, rate }));
  }

  /** Ends the traffic; every server then has a report of what it has published. */
  async endTraffic() {
    const reports = await this.each("endTraffic");
    this.all.forEach((server, i) => { server.report = reports[i]; });
  }

  /** Waits until messages go from every server to every other one. */
  async meet() {
    await this.startTraffic(20);
    const met = () => this.links.every((pair) => this.arrivals(pair).count > 0);
    await eventually(met, "all servers to meet", meetTimeout);
    await this.endTraffic();
  }

  /** Reports whether something that was published after a moment has arrived, for every pair of servers. */
  flowsSince(moment) {
    return this.links.every((pair) => this.arrivals(pair).published.at(-1) >= moment);
  }

  /** What the buses of the Go servers have counted. */
  async stats() { return (await this.each("stats", {}, this.go)).map(({ Bus: bus }) => bus); }

  async stop() {
    for (const { recorder } of this.all) recorder.socket.close();
    const stopped = await Promise.allSettled(this.all.map((server) => server.stop()));
    return stopped.filter(({ status }) => status === "rejected").map(({ reason }) => reason);
  }
}
