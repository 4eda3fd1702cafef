// Package engineio is a server of Engine.IO, revisions 3 and 4: sessions that are
// carried by long-polling or by a WebSocket, the upgrade from one to the other, and
// heartbeats.
//
// A [Session] belongs to no goroutine. While a client polls, each of its requests
// runs in the handler that net/http gives it, and between requests there is
// nothing but a timer; a WebSocket adds the reader of package wsconn. What happens
// on the wire and what the layer above does meet in the session's state, under one
// mutex. Nothing is written to the network and nothing of the layer above is called
// while it is held.
//
// There are two more locks. Session.inbox is held while the layer above receives, so
// that it has one caller at a time even when a client changes its transport.
// Server.mu guards the table of sessions. They are taken in the order Session.inbox,
// Session.mu, Server.mu.
package engineio
