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

// By default, ioredis sends a command again if the connection breaks before the reply. A PUBLISH
// would then arrive twice.
const once = { retryStrategy, autoResendUnfulfilledCommands: false };
const onceToCluster = { clusterRetryStrategy: retryStrategy, maxRedirections: 0 };
const refresh = 500; // ms between two looks at the masters of a Cluster

function open({ redis, sentinels, master, "redis-cluster": cluster, user, password }, subscribes) {
  if (cluster) {
    const options = subscribes ? { clusterRetryStrategy: retryStrategy } : onceToCluster;
    return new Cluster(addresses(cluster), { ...options, slotsRefreshInterval: refresh });
  }
  if (sentinels) {
    // Without the detector it keeps the old master until a Sentinel closes the connection, some 9 s later.
    const options = { failoverDetector: true, sentinelRetryStrategy: retryStrategy };
    return new Redis({ ...once, ...options, sentinels: addresses(sentinels), name: master });
  }
  const login = user ? { username: user, password } : {};
  return new Redis(redis, { ...once, ...login });
}

export function connect(flags) {
  const [pub, sub] = [open(flags, false), open(flags, true)];
  for (const one of [pub, sub]) one.on("error", (error) => console.error(error.message));
  return { pub, sub };
}

/** Lets new connections log in with another password. */
export function setPassword({ pub, sub }, password) {
  for (const one of [pub, sub]) one.options.password = password;
}
