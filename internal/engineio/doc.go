// Package engineio is a server of Engine.IO, revisions 3 and 4: sessions over long-polling or
// a WebSocket, the upgrade from one to the other, and heartbeats.
//
// A session has a state and a transport. [Session.end] is the only way out of open:
//
//	             GET without a session id
//	                       |
//	                       v
//	      +--------------- open ----------------+
//	      | Close, Shutdown; the client polls   | every other end, or a WebSocket:
//	      | and has something to fetch          | the GET that waits is answered
//	      v                                     v
//	   closing -------------------------------> closed
//	GETs fetch what waits,    it is fetched,   not a session any more; for 100 ms
//	then the close packet     or 30 s pass     requests that were under way find it
//
// The transport of an open session:
//
//	polling --------> polling, probing --------> WebSocket
//	   ^    GET with         |          packet 5
//	   |    Upgrade          |
//	   +---------------------+
//	     10 s pass, the WebSocket closes, or it brings anything but a probe
//
// A POST hands its packets on one by one, with pauses as the session's Flow says (see session.Flow):
//
//	is read --> a packet is handed on --> waits --> the next packet, or the answer
//	                  ^                     |  there is room, and the rate allows it
//	                  +---------------------+
//	                                        |  the session ends: it is answered, as the end says
//	                                        |  its connection ends: so does the session, since packets are lost
//
// While the client polls, each of its requests runs in the handler that net/http gives it, and so
// does a GET that waits. Between requests a session has no goroutine, only an alarm: for heartbeats
// while it is open, then for the time to fetch what waits, then for the time to be remembered. A
// WebSocket adds the reader of package wsconn.
//
// What is sent to a polling client waits in the send queue of the session, and counts there until the
// response that carries it is written. A response has at most 1 MiB, or one packet. It is written in
// pieces, each of which the client must take within WriteTimeout. While the queue exceeds its bound and
// no response is being written, the client has WriteTimeout to come with a GET:
//
//	within the bound ------> over the bound, a timer runs ------> slow: the session ends
//	       ^      a message            |         nothing was taken
//	       +---------------------------+
//	            responses have taken enough
//
// Session.mu protects the state and the transport. Nothing is written to the network and nothing of
// the layer above is called while it is held. Session.conn is set with it held and read without: once a
// WebSocket carries the session, sending takes no lock of it. There are two more locks. Session.inbox is held while
// the layer above receives, so that it has one caller at a time even when a client changes its
// transport. Server.mu protects the tables of sessions. They are taken in the order Session.inbox,
// Session.mu, Server.mu. A POST that waits holds none of them.
package engineio
