/*
Package redisbus connects the nodes of a service by Redis, so that a room reaches over all
of them, and makes them members of a Socket.IO cluster of Node.js:

	rdb := redis.NewClient(&redis.Options{Addr: "localhost:6379"})
	ws, err := thinkws.New(thinkws.WithBus(redisbus.New(rdb)), …)

A Redis for a try, without persistence, which nothing here needs:

	redis-server --save ""

An [Emitter] sends into the cluster from a process that is no node of it.

# What goes over the wire

The wire is that of @socket.io/redis-adapter, version 8, the so-called classic one: one
pattern per namespace and node, MessagePack for broadcasts, JSON for requests. Nodes of Node.js
understand all of it from that version on; those of versions 6 and 7 know fewer
requests, those of socket.io-redis 5 (Socket.IO 2) broadcasts only, see [WithSocketIO2]. The
emitters @socket.io/redis-emitter and socket.io-emitter work as they are.

A room in Node.js may have a number as its name, which is another room than the one with
the same digits. Here it is the same, and what is sent to it reaches both.

Events of server to server (thinkws.Space.ServerEmit) are JSON, so binary in them becomes
base64; a client's answer to EmitAck has one argument between nodes of Node.js.

# To join a cluster of Node.js, and to leave it

Give the nodes the same Redis and, by [WithPrefix], the adapter's key. Route some of
the clients to them: Socket.IO's clients notice no difference. Requests of Node's nodes
(fetchSockets, serverSideEmit with an acknowledgement) wait for every subscriber; this library answers
all of them, and where it has no action for a server-side event it stays silent, as Node does. To
leave, call Handler.Shutdown.

# What can get lost

Redis keeps nothing for who is not listening. The bus notices when its connection is gone,
when nothing comes for three seconds, and when what it publishes does not come back; it
subscribes again in chunks and reports itself up when Redis has confirmed everything. While it
is down what is published waits for a second, and is refused with thinkws.ErrBus after that;
clients of the own node are served in any case. What has been sent to Redis when a
connection broke, and what was published while nodes were missing, counts as lost in
thinkws.BusStats, although it may have arrived. A node that says goodbye, as all of this
library do, is not missed.

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
