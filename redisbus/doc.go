/*
Package redisbus connects the nodes of a service by Redis, so that a room reaches over all
of them, and makes them members of a Socket.IO cluster of Node.js:

	rdb := redis.NewClient(&redis.Options{Addr: "localhost:6379"})
	ws, err := thinkws.New(thinkws.WithBus(redisbus.New(rdb)), …)

A Redis for a try, without persistence, which nothing here needs:

	redis-server --save ""

An [Emitter] sends into the cluster from a process that is no node of it.

# What goes over the wire

The wire is that of @socket.io/redis-adapter, version 8, with createAdapter: the classic adapter. It
has one pattern per namespace and node, MessagePack for broadcasts and JSON for requests. Nodes of
Node.js understand all of it from that version on; those of versions 6 and 7 know fewer requests,
those of socket.io-redis 5 (Socket.IO 2) only broadcasts, see [WithSocketIO2]. The emitters
@socket.io/redis-emitter and socket.io-emitter work as they are.

Servers of createShardedAdapter and of @socket.io/redis-streams-adapter speak other wires: nothing is
shared with them. If one with the sharded adapter is at the same Redis, the log warns once.

A room in Node.js may have a number as its name, which is another room than the one with
the same digits. Here it is the same, and what is sent to it reaches both.

Events of server to server (thinkws.Space.ServerEmit) are JSON, so binary in them becomes
base64; a client's answer to EmitAck has one argument between nodes of Node.js.

# Values, and how large they may be

What one server takes from its clients, or from its service, every other server takes, or the sender
gets an error. No option has to be the same on all servers for that.

  - Values are nested at most 10,000 levels deep, whatever thinkws.Limits.Depth is. Emit, EmitAck, Ack,
    ServerEmit and SetData refuse deeper ones before anybody gets them.
  - A message has at most as many bytes as [WithMaxPayload] says, 16 MiB. A longer one goes to the
    clients of its own server only, and the error is thinkws.ErrBus that wraps thinkws.ErrTooLarge. A server
    takes messages up to 256 MiB.
  - An answer that is longer makes a thinkws.NodesError that wraps thinkws.ErrTooLarge, at once. The log of the
    server that has it says so, too.
  - Names are UTF-8 and as long as a message may be.

Clients of all servers see the same values. Servers of Node.js have four that they cannot pass on: their
clients get 0 for -0, null for numbers beyond float64 such as 1e400, nothing for a key "__proto__", and
three U+FFFD for a surrogate without its other half. In what they send themselves, their own clients alone
get such surrogates, integers from 2⁶⁴ on and dates that are invalid as they are. Their clients lose
values that are nested deeper than some 2,000 levels: with them, leave thinkws.Limits.Depth at 512.

# To join a cluster of Node.js, and to leave it

Give the nodes the same Redis and, by [WithPrefix], the adapter's key. Route some of
the clients to them: Socket.IO's clients notice no difference. Requests of Node's nodes
(fetchSockets, serverSideEmit with an acknowledgement) wait for every subscriber; this library answers
all of them, and where it has no action for a server-side event it stays silent, as Node does. To
leave, call Handler.Shutdown.

# Which Redis

The client may be of redis.NewClient, redis.NewFailoverClient (Sentinel) or redis.NewClusterClient
(Redis Cluster), with TLS, users and passwords, also those of a CredentialsProvider. redis.Ring and
redis.NewFailoverClusterClient are refused with an error.

  - Sentinel: when another server becomes the master, all connections move to it within two seconds.
    The old master takes messages for some seconds more, which would reach nobody; what is sent there
    is counted. A server that has become a replica is left at once, also without Sentinel.
  - Redis Cluster: a node publishes to and listens at one master, and moves to another one when that
    fails. Any master reaches all, so it does not wait for the failover. Moving slots changes nothing.

go-redis logs to stderr by a logger of the whole process. Connections of a [Bus] and a [Registry] log
nothing there; for those of the service itself see [Logger].

# Rights

A user of Redis needs these rights for a [Bus], a [Registry] and an [Emitter], if the prefix is
"socket.io" and "/" the only namespace:

	ACL SETUSER bus reset on >secret resetchannels &socket.io#/#* &socket.io-request#* &socket.io-response#* &socket.io-thinkws#* +publish +subscribe +psubscribe +unsubscribe +punsubscribe +ping +pubsub|numsub +pubsub|channels +pubsub|shardchannels
	ACL SETUSER registry reset on >secret resetchannels &socket.io-thinkws-changes* ~socket.io-thinkws-nodes +publish +subscribe +unsubscribe +punsubscribe +ping +evalsha +eval +time +hget +hset +pexpire +hgetall +hdel
	ACL SETUSER emitter reset on >secret resetchannels &socket.io#* &socket.io-request#* +publish

Each further namespace needs its own pattern for the bus, such as &socket.io#/chat#*, because Redis
compares patterns letter by letter; where clients name namespaces that is allchannels. A Redis
Cluster needs +cluster|slots as well, a database other than 0 +select, and a ClientName
+client|setname. Without +pubsub|shardchannels no sharded adapter is found.

A missing right is an error of Health and of BusStats, with the command in it, and a line in the log.
If only requests need it (PUBSUB NUMSUB, PUBSUB CHANNELS), or one namespace, the bus stays up
for everything else.

# What can get lost

Redis keeps nothing for nodes that are not listening. The bus notices when its connection is gone,
when nothing comes for three seconds, and when what it publishes does not come back; it
subscribes again in chunks and reports itself up when Redis has confirmed everything. While it
is down what is published waits for a second, and is refused with thinkws.ErrBus after that;
clients of the own node are served in any case. What has been sent to Redis when a connection broke,
and what was published while nodes were missing, counts as Lost in thinkws.BusStats, although it
may have arrived. A node that says goodbye, as all of this library do, is not missed.

Broadcasts between nodes of this library are numbered. Each broadcast arrives once and in order, or the
receiver counts it as Missed. One that comes after a later one is counted, and dropped. The count may
take some seconds after the last broadcast. A node numbers what it sends to its first 10,000
namespaces, and a receiver keeps the numbers of 10,000 pairs of a node and a namespace; beyond that,
what is lost is not counted. The log says once when a node reaches its bound.

# How large

One Redis process delivers some three million messages a second to nodes when busy, at 200
bytes each: with 10 nodes 80,000 messages a second, with 100 35,000, with 1,000 3,000. Plan for
half of it. Publishing from many goroutines at once costs Redis a twentieth of what single
messages cost, since they are sent in pipelines. Every node gets the messages of all rooms
of its namespaces and drops those for rooms that it has not, undecoded. A request, as
thinkws.Target.Sockets is one, costs every node an answer, so it is nothing for hot paths. Set
client-output-buffer-limit to "pubsub 256mb 64mb 30" and tcp-keepalive to 30 in Redis.

A Redis Cluster passes each message on to all of its nodes, so it gets slower with each one.
*/
package redisbus
