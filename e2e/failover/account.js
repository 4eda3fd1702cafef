// What became of every message of a case, for every pair of servers.
import { eventually } from "../lib/redis-forms.js";
import { pause } from "../lib/run.js";

const settleTimeout = 8_000; // ms in which the servers have to learn what they have missed
const quiet = 300; // ms in which nothing more may come then

const sum = (list, value) => list.reduce((total, one) => total + value(one), 0);

/** What became of the messages of one sender on the way to one receiver. */
function follow(servers, pair) {
  const { from, to } = pair;
  const arrivals = servers.arrivals(pair);
  const own = servers.arrivals({ from, to: from }).published;
  const refused = new Set(from.report.refused);
  const missing = [];
  for (let n = 0; n < from.report.published; n++) {
    if (arrivals.at[n] === undefined && !refused.has(n)) missing.push(n);
  }
  const { published, unanswered = [] } = from.report;
  return { from, to, arrivals, own, refused, missing, published, unanswered };
}

/** Reports whether the last message has arrived. */
const ended = ({ arrivals, published }) => published === 0 || arrivals.at[published - 1] !== undefined;

/** How long after a moment the messages of a pair come without a gap, in ms. */
function resumed({ own, arrivals, refused }, moment) {
  let first = own.length;
  for (let n = own.length - 1; n >= 0 && own[n] >= moment; n--) {
    if (refused.has(n) || arrivals.at[n] === undefined) break;
    first = n;
  }
  return first < own.length ? Math.max(0, arrivals.at[first] - moment) : Infinity;
}

const some = (numbers) => `${numbers.length}: ${numbers.slice(0, 5)} …`;

/** What must not happen between two servers. */
function wrongLink({ from, to, arrivals: { twice, disordered, at }, refused }, strict) {
  const came = [...refused].filter((n) => at[n] !== undefined);
  return [
    strict && twice.length && `came twice, ${some(twice)}`,
    strict && disordered.length && `came behind later ones, ${some(disordered)}`,
    came.length && `refused, but came, ${some(came)}`,
  ].filter(Boolean).map((text) => `${from.name} to ${to.name}: ${text}`);
}

/** What must not happen to a server and its own client, whatever Redis does. */
function wrongServer(servers, server) {
  const { recorder, report } = server;
  const { count } = servers.arrivals({ from: server, to: server });
  const late = [...recorder.series.keys()].filter((name) => !servers.isCurrent(name));
  return [
    count !== report.published && `${count} of ${report.published} own messages reached the own client`,
    recorder.gone && `the client is gone: ${recorder.gone}`,
    late.length && `messages came after the end of ${late}`,
  ].filter(Boolean).map((text) => `${server.name}: ${text}`);
}

export class Account {
  /** before is what the Go servers counted at the start of the case. */
  constructor(servers, before) {
    Object.assign(this, { servers, before });
    this.links = servers.links.map((pair) => follow(servers, pair));
  }

  /**
   * Waits until the last message of every sender has arrived everywhere, and the Go servers have learned what
   * they have missed. What is not right after that remains wrong.
   */
  static async settled(servers, before) {
    let account;
    const look = async () => {
      account = new Account(servers, before);
      account.after = await servers.stats();
      return account.links.every(ended) && account.unbalanced().length === 0;
    };
    await eventually(look, "", settleTimeout).catch(() => {});
    await pause(quiet);
    await look();
    return account;
  }

  between(from, to) { return this.links.filter((link) => link.from.isGo === from && link.to.isGo === to); }

  /** By how much a figure of a Go server has grown. */
  grown(server, figure) {
    const i = this.servers.go.indexOf(server);
    return this.after[i][figure] - this.before[i][figure];
  }

  /** The Go servers for which Missed is not exactly what is missing of the other Go servers. */
  unbalanced() {
    return this.servers.go.flatMap((to) => {
      const missing = sum(this.between(true, true).filter((link) => link.to === to), (link) => link.missing.length);
      const missed = this.grown(to, "Missed");
      if (missing === missed) return [];
      return [`${to.name}: ${missing} messages of Go servers are missing, Missed counts ${missed}`];
    });
  }

  /** The messages that a Node.js server has not got, and that are not among those Lost at the sender. */
  uncounted() {
    return this.between(true, false).flatMap(({ from, to, missing }) => {
      const lost = this.grown(from, "Lost");
      if (missing.length <= lost) return [];
      return [`${from.name} to ${to.name}: ${missing.length} messages are missing, Lost counts ${lost}`];
    });
  }

  /** Everything that is wrong in any case. */
  wrong({ unordered }) {
    return [
      ...this.unbalanced(),
      ...this.links.flatMap((link) => wrongLink(link, !unordered || link.from.isGo && link.to.isGo)),
      ...this.servers.all.flatMap((server) => wrongServer(this.servers, server)),
      ...this.servers.go.flatMap((server, i) => {
        const dropped = this.grown(server, "Dropped");
        return [
          dropped && `${server.name}: Dropped counts ${dropped}`,
          !this.after[i].Up && `${server.name}: the bus is down`,
        ].filter(Boolean);
      }),
    ];
  }

  /** How long after a moment all pairs have traffic without a gap, in ms, and which pair was the last. */
  resumed(moment) {
    const all = this.links.map((link) => ({ link, after: resumed(link, moment) }));
    return all.reduce((a, b) => (b.after > a.after ? b : a));
  }

  /** The figures of some pairs together. */
  totals(from, to) {
    const links = this.between(from, to);
    return {
      published: sum(links, (link) => link.published),
      refused: sum(links, (link) => link.refused.size),
      arrived: sum(links, (link) => link.arrivals.count),
      missing: sum(links, (link) => link.missing.length),
    };
  }

  missed() { return sum(this.servers.go, (server) => this.grown(server, "Missed")); }

  lost() { return sum(this.servers.go, (server) => this.grown(server, "Lost")); }
}
