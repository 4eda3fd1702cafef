// The two connections to Redis of a Node.js server, for every form of Redis that ioredis knows.
import { Cluster, Redis } from "ioredis";

// A lost connection is opened again after this many ms. The default grows to 2 s, which would be
// measured as the time that traffic needs to flow again.
const retry = 100;
const retryStrategy = () => retry;

const addresses = (list) => list.split(",").map((address) => {
  const [host, port] = address.split(":");
  return { host, port: Number(port) };
});

// By default, ioredis sends a command again if the connection breaks before the reply: a PUBLISH would
// then arrive twice. While it checks whether a new connection is ready, it sends a PUBLISH before those
// that already wait for the connection: they would arrive in another order.
const inOrder = { autoResendUnfulfilledCommands: false, enableReadyCheck: false, disableClientInfo: true };
const onceToCluster = { clusterRetryStrategy: retryStrategy, maxRedirections: 0 };
const refresh = 500; // ms between two looks at the masters of a Cluster

function open({ redis, sentinels, master, "redis-cluster": cluster, user, password }, subscribes) {
  const common = subscribes ? { retryStrategy } : { retryStrategy, ...inOrder };
  if (cluster) {
    const options = subscribes ? { clusterRetryStrategy: retryStrategy } : onceToCluster;
    return new Cluster(addresses(cluster), { ...options, slotsRefreshInterval: refresh });
  }
  if (sentinels) {
    return new Redis({ ...common, sentinelRetryStrategy: retryStrategy, sentinels: addresses(sentinels), name: master });
  }
  const login = user ? { username: user, password } : {};
  return new Redis(redis, { ...common, ...login });
}

/**
 * Ends connections to an old master when a Sentinel names another one. By itself ioredis stays there until
 * a Sentinel closes the connection, some 9 s later. Its option failoverDetector ends the client for good if the
 * news come while it connects, as they do when the master was killed.
 */
function followMaster(connections, { sentinels, master }) {
  let port;
  for (const address of addresses(sentinels)) {
    const sentinel = new Redis({ ...address, retryStrategy, maxRetriesPerRequest: null });
    sentinel.on("error", (error) => console.error(error.message));
    sentinel.on("message", (_, message) => {
      const [name, , , , now] = message.split(" ");
      if (name === master) port = Number(now);
    });
    sentinel.subscribe("+switch-master");
  }
  setInterval(() => {
    if (port === undefined) return;
    for (const one of connections) if (one.status === "ready" && one.stream.remotePort !== port) one.disconnect(true);
  }, retry);
}

export function connect(flags) {
  const connections = [open(flags, false), open(flags, true)];
  for (const one of connections) one.on("error", (error) => console.error(error.message));
  if (flags.sentinels) followMaster(connections, flags);
  const [pub, sub] = connections;
  return { pub, sub };
}

/** Lets new connections log in with another password. */
export function setPassword({ pub, sub }, password) {
  for (const one of [pub, sub]) one.options.password = password;
}
