// Package sockjs serves clients of SockJS over each of its transports: WebSocket with
// SockJS's framing and without, and over HTTP polling and streaming by XMLHttpRequest,
// EventSource, htmlfile and JSONP.
//
// What is in the messages is package jsonevent's, or raw strings on request. A client
// over HTTP is a session: it has an id of the client's own choice, requests that carry
// frames to it, one at a time, and requests that bring messages of it.
//
// A session belongs to no goroutine. Each request runs in the handler that net/http
// gives it, which alone writes to it; between requests there is nothing but a timer. What
// happens on the wire and what the hub does meet in the session's state, under one mutex.
// Nothing is written to the network and nothing of the hub is called while it is held.
//
// There are two more locks. polled.turn is held while the hub receives, so that it has
// one caller at a time. Server.mu guards the table of sessions. They are taken in the
// order polled.turn, polled.mu, Server.mu.
//
// A request that sends reads its body when the session's Flow lets the client be read and all requests before it are
// done, and is answered when there is room for more:
//
//	waits for its turn --> waits for room --> reads the body --> hands on a string --> answers
//	                                                              ^            |
//	                                                              +-- waits <--+
//
// It stops waiting when the session ends, or when its own connection does. The session then ends too, since strings are
// lost. If the session ends because it makes the server hold too much, a body that is being read is refused with 503.
package sockjs
