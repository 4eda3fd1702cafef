/*
Package stickiness brings requests to the node their session lives on, so that long-polling
works with several nodes behind any load balancer, sticky or not. One process needs
nothing of it.

Every node has an id, which thinkws.WithNode puts at the front of Socket.IO's session ids,
and is entered in a [Registry]. [Forward] is middleware for the nodes: what has come to the wrong one is
sent to the right one.

	registry, err := stickiness.NewStatic(
		stickiness.Node{ID: "n1aB", URL: "http://10.0.0.5:8360"},
		stickiness.Node{ID: "n2aB", URL: "http://10.0.0.6:8360"},
	)
	ws, err := thinkws.New(thinkws.WithNode("n1aB"))
	forward, err := stickiness.Forward(registry, stickiness.Options{
		Node: "n1aB", Secret: secret, Local: ws.Holds,
	})
	r := chi.NewRouter()
	r.Use(forward.Middleware)
	r.Mount("/socket.io", ws)

Forwarding costs about a tenth of a millisecond of CPU for each poll, and 42 KB for each WebSocket. A load
balancer that reads the node in the session id saves that; fronts/ has configurations for nginx and HAProxy, and
README.md says what was measured with them. [Dispatcher] is such a front in Go.

The rest are parts to build with: [Rendezvous] and [Owner] say where a session belongs, [ClientIP] where a
request comes from, [NodeCookie] is for load balancers that go by cookies, [ListenReusePort] and [Dir] are for several
processes on one host.

# Security

Nodes trust what other nodes send, which they know by a MAC with [Options.Secret], and send the
requests of users to where the registry says, within [Options.Networks]. Session ids hold no addresses.

# Concurrency

Everything exported is safe for concurrent use. A request that is forwarded keeps the goroutine of its
handler until it is answered, and a WebSocket two more as long as it lasts. [Forwarder.Close] awaits them.
*/
package stickiness
