// Package load makes clients that cost as little as a client can: raw non-blocking
// sockets on one epoll, driven by one thread, with prebuilt frames. It knows as much of
// WebSocket, Socket.IO and HTTP as the servers measured make it hear.
//
// Nothing in it is safe for concurrent use: a Loop and all that hangs on it belong to
// the goroutine that runs it, which should be locked to its thread.
package load
