// What happens to Redis. Each fault returns when Redis is ready again by its own words.
import assert from "node:assert/strict";
import { Cluster, eventually, Sentinel, Single, user } from "../lib/redis-forms.js";
import { pause } from "../lib/run.js";

const stopped = 6_000; // ms of SIGSTOP
const late = 1_500; // ms after which the servers learn the new password
const limit = 100 << 10; // bytes that Redis keeps for a subscriber
const sample = 300; // ms in which the use of servers is measured
const big = 3 * limit; // bytes of a message that is too much for it

// Why there are cases in which nobody can count what a Node.js server has not got.
const cut = "Redis drops the output of a connection that it closes, and tells nobody";
const cluster = "no reply of a Redis Cluster tells how many servers have subscribed";

const subscribers = async (redis) => {
  const list = await redis.ask("CLIENT", "LIST", "TYPE", "pubsub");
  return [...list.matchAll(/^id=(\d+)/gm)].map(([, id]) => id);
};

async function overLimit({ redis }, servers) {
  const old = await subscribers(redis);
  assert.ok(old.length >= servers.all.length, "every server subscribes");
  const [, before] = await redis.ask("CONFIG", "GET", "client-output-buffer-limit");
  await redis.ask("CONFIG", "SET", "client-output-buffer-limit", `pubsub ${limit} 0 0`);
  await servers.each("burst", { count: 3, size: big });
  await eventually(async () => {
    const now = await subscribers(redis);
    return old.every((id) => !now.includes(id));
  }, "Redis to close the connections of all subscribers");
  await redis.ask("CONFIG", "SET", "client-output-buffer-limit", before);
}

async function kill({ redis }, ...what) {
  const killed = await redis.ask("CLIENT", "KILL", ...what);
  assert.ok(killed > 0, `CLIENT KILL ${what.join(" ")} hits somebody`);
}

/** Both passwords are right while the servers learn the new one. Then all connections end. */
async function changePassword(form, servers) {
  const old = form.password;
  form.password = `${old}+`;
  await form.redis.ask("ACL", "SETUSER", user, `>${form.password}`);
  await servers.each("password", { password: form.password });
  await form.redis.ask("ACL", "SETUSER", user, `<${old}`);
  await kill(form, "USER", user);
}

/** No connection has the right password, until the servers learn it. */
async function changePasswordFirst(form, servers) {
  form.password = `${form.password}+`;
  await form.redis.ask("ACL", "SETUSER", user, "resetpass", `>${form.password}`);
  await kill(form, "USER", user);
  await pause(late);
  await servers.each("password", { password: form.password });
}

async function stopFor6s({ redis }) {
  redis.signal("SIGSTOP");
  await pause(stopped);
  redis.signal("SIGCONT");
  await eventually(() => redis.ask("PING"), "an answer of Redis");
}

async function sentinelFailover(form) {
  const old = await form.current();
  await form.sentinels[0].ask("SENTINEL", "FAILOVER", form.master);
  await form.ready(old);
}

async function killSentinelMaster(form) {
  const old = await form.current();
  await old.kill();
  const now = await form.ready(old);
  return async () => {
    await old.start("--replicaof", "127.0.0.1", now.port);
    await form.healthy();
  };
}

/** The slot of the channel by which Go servers choose their master at first. */
const slotOf = (form, servers) => form.servers[0].ask("CLUSTER", "KEYSLOT", `${servers.prefix}-request#/#`);

async function reshard(form, servers) {
  const slot = await slotOf(form, servers);
  const masters = await form.masters();
  const from = await form.owner(slot);
  const to = masters.find((server) => server !== from);
  const [fromID, toID] = await Promise.all([from, to].map((server) => server.ask("CLUSTER", "MYID")));
  await to.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", fromID);
  await from.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", toID);
  for (const server of [to, from]) await server.ask("CLUSTER", "SETSLOT", slot, "NODE", toID);
  await form.ready(slot, from);
}

const published = async (server) => {
  const { cmdstat_publish: stat = "calls=0" } = await server.info("commandstats");
  return Number(stat.match(/calls=(\d+)/)[1]);
};

/** The masters, from the one by which most is published, which all Go servers use, to the one by which least is. */
async function byUse(form) {
  const masters = await form.masters();
  const before = await Promise.all(masters.map(published));
  await pause(sample);
  const after = await Promise.all(masters.map(published));
  const use = new Map(masters.map((server, i) => [server, after[i] - before[i]]));
  return masters.sort((a, b) => use.get(b) - use.get(a));
}

async function clusterFailover(form) {
  const [old] = await byUse(form);
  const slot = await form.someSlotOf(old);
  const replica = await form.replicaOf(old);
  await replica.ask("CLUSTER", "FAILOVER");
  await form.ready(slot, old);
}

/** Kills the master that is used most (0), or least (-1). */
const killMaster = (rank) => async (form) => {
  const old = (await byUse(form)).at(rank);
  const slot = await form.someSlotOf(old);
  await old.kill();
  await form.ready(slot, old);
  return async () => {
    await old.start();
    await form.healthy();
  };
};

const noop = async () => {};
const healthy = (form) => form.healthy();

/** A case: a fault, what has to be done afterwards, and why nobody counts for Node.js; "" if the sender does. */
const faults = (title, fault, { after = noop, uncounted = "" } = {}) => ({ title, fault, after, uncounted });

export const forms = {
  single: {
    Form: Single,
    cases: [
      faults("CLIENT KILL TYPE pubsub", (form) => kill(form, "TYPE", "pubsub"), { uncounted: cut }),
      faults("CLIENT KILL TYPE normal", (form) => kill(form, "TYPE", "normal")),
      faults("output limit of subscribers", overLimit, { uncounted: cut }),
      faults("password change", changePassword, { uncounted: cut }),
      faults("password change before the servers know", changePasswordFirst, { uncounted: cut }),
      faults("SIGSTOP for 6 s", stopFor6s),
    ],
  },
  sentinel: {
    Form: Sentinel,
    cases: [
      faults("kill -9 of the Sentinel master", killSentinelMaster, { uncounted: cut }),
      faults("SENTINEL FAILOVER", sentinelFailover, { after: healthy, uncounted: cut }),
    ],
  },
  cluster: {
    Form: Cluster,
    unordered: "ioredis publishes to a random master of a Redis Cluster. What two of its servers pass on has no order, and a server that "
      + "moves from one to another may hear it twice. Go servers see that by the numbers of other Go servers; for messages to "
      + "and from Node.js neither order nor single arrival is demanded",
    cases: [
      faults("kill -9 of the Cluster master in use", killMaster(0), { uncounted: cluster }),
      faults("kill -9 of the next one in use", killMaster(0), { uncounted: cluster }),
      faults("kill -9 of one not in use", killMaster(-1), { uncounted: cluster }),
      faults("CLUSTER FAILOVER of the master in use", clusterFailover, { after: healthy, uncounted: cluster }),
      faults("resharding of the slot of our channel", reshard, { after: healthy, uncounted: cluster }),
    ],
  },
};
