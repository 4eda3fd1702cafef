/*
Package thinkws lets services on net/http and chi talk to real-time clients:
socket.io-client of the lines 2.x to 4.x, sockjs-client and plain WebSockets, all of
them in one hub. A service says which events it acts on; an action has the event's data, can
answer, and can reach everybody else.

	ws, err := thinkws.New(
		thinkws.WithAllowOrigin("https://app.example.com"),
		thinkws.On("say", func(c *thinkws.Context) error {
			return c.Broadcast("said", c.WsData())
		}),
	)
	r := chi.NewRouter()
	r.Mount("/socket.io", ws)
	r.Mount("/sockjs", ws.SockJS())
	r.Mount("/ws", ws.WebSocket())

# Mounting

A [Handler] is an http.Handler for Socket.IO. [Handler.SockJS] is one for SockJS,
[Handler.WebSocket] one for plain WebSockets. All may be mounted at any path with chi's Mount
and Handle, http.ServeMux or http.StripPrefix; [Handler.Middleware] serves them at their
configured paths instead.
ServeHTTP returns as soon as a connection has been upgraded. Middleware that wraps the
http.ResponseWriter must let http.ResponseController through to it (an Unwrap method), or upgrades
are answered by 501.

Long polls and streams wait longer than most handlers. They set their own write deadline, so
http.Server.WriteTimeout does not cut them; middleware that limits the time of requests
(chi's Timeout) does and belongs elsewhere, and so does what buffers or compresses streams. Set http.Server.ReadHeaderTimeout: slow
headers are beyond what a handler can see.

# Actions

An action is a [HandlerFunc], registered by [On] for the main namespace "/", or within
[Namespace] for another. "open" runs when a client has entered, "close" when it has
left. [Bind] and [Reply] make actions of functions with typed data, and [Handler.Action]
serves the same action over plain HTTP. [Use] wraps actions, [Authorize] decides who may enter.

The events of one client in one namespace run one after another, in the order they
were sent: "open" first, then its events, "close" last. Actions of different clients
run at the same time. [Concurrent] lifts the order for an action. Answers to
[Context.EmitAck] do not queue, so an action may wait for its own client.

# Rooms and targets

A room is a set of sockets with a name: [Context.Join], [Context.Leave]. Every socket
is also alone in a room named by its id. [Hub.To] and [Context.To] make a [Target] of
rooms, which is a value that can be kept and narrowed; [Target.Emit] sends to everyone in
it. Arguments are marshaled once and encoded once per kind of client, and with
[WithCompression] compressed once.

# Binary

A []byte argument, also deep inside of other values, reaches Socket.IO clients as binary (Buffer,
ArrayBuffer) and all others as a base64 string. What clients send as
binary decodes into []byte, and reads as a base64 string in [Context.WsData].

# JSON over plain WebSocket

A frame is a JSON object in a text message, in both directions:

	{"event":"say","data":"hello"}            an event; without data, no argument
	{"event":"say","data":"hello","cid":7}    one that asks for an answer
	{"rid":7,"data":"heard"}                  the answer
	{"rid":7,"error":{"name":"Forbidden","message":"not here"}}

cid is a number or a string of at most 64 bytes, chosen by who asks. Several arguments of an
Emit make data an array. Unknown keys are ignored. The path below the mount point is
the namespace. Heartbeats are WebSocket pings, which browsers answer by themselves.

# SockJS

[Handler.SockJS] serves every transport of sockjs-client: WebSocket, XHR streaming and polling,
EventSource, htmlfile, JSONP, and with [SockJSOptions.ClientURL] those in an iframe. A message
is a string with the same JSON as on plain WebSocket,

	sock.send(JSON.stringify({event: "say", data: "hello", cid: 7}))

or, with [SockJSOptions.RawStrings], any string, which is the event "message". One SockJS
connection is in one namespace, that of the query parameter nsp:

	new SockJS("https://api.example.com/sockjs?nsp=chat")

Clients get Disconnect and Close as code 1000, Shutdown as 1001, a refusal by [Authorize] as
1008 with its text. A client over HTTP that has not asked for more within
[SockJSOptions.DisconnectDelay] has left, and one whose request breaks off has left at once.

SockJS demands that pages of other origins may send their cookies. What makes that safe is
that the gate refuses those that do unless their origin is listed. Load balancers that route by
[SockJSOptions.Cookie] therefore need such a list; they may route by the path instead, which is
/sockjs/<server>/<session>/ for all transports of a client.

# Origins

The origin of every request is checked before any protocol sees it, for every method and
transport; see [WithAllowOrigin] for what is allowed by default and what is not.

# More than one node

With [WithBus] what is sent to a [Target] reaches its clients on all nodes: package redisbus does that
over Redis, and understands the nodes of Node.js, [MemoryBus] within a process. Without it, and with
[Target.Local], a target is of this node. Calls take effect on this node first;
[ErrBus] means that the other nodes were not reached. Per namespace, what one node sends arrives
in its order everywhere. Events for the nodes themselves are sent by [Space.ServerEmit] and
acted on by [OnServer]. [Handler.Health] and [BusStats] say how the bus is.

With [WithNode] session ids name their node, and package stickiness brings requests there, whatever
load balancer is in front.

# Bounds

Everything that a client can make the server hold has a limit: the size of a message
([WithMaxMessage]), what waits to be sent ([WithSendQueue]) or to be handled ([WithReceiveQueue]),
how fast it sends ([WithReceiveRate]), how many rooms it joins ([WithMaxRooms]), how many clients
connect ([WithLimits]), and how long each step may take. A client that exceeds one is refused or
disconnected with a reason, and counted in [Stats]. [WithOnError] is called for each, and for errors
of actions.

# Concurrency

Everything exported is safe for concurrent use. The events of one client in one namespace
run one after another, those of different clients at the same time. An action runs on the
goroutine that reads its client's connection; if it takes longer than some milliseconds,
or waits for an answer of its client, another one reads on. So an action may block, and the
client is still heard.

An idle WebSocket client costs one goroutine with the smallest stack there is. A polling
client costs what net/http needs for its waiting GET, and nothing between two requests.
The GET stays in its handler until it is answered: middleware sees its status, its size and
its full duration. [Handler.Shutdown] awaits every goroutine.
*/
package thinkws
