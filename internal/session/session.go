// Package session is the seam between the hub and the protocols.
//
// A protocol (Socket.IO, JSON over plain WebSocket, …) brings clients: for each
// namespace a client asks for, it calls [Admitter.Admit] with a [Peer] and feeds
// the [Receiver] it gets. The hub answers through [Conn]. Both sides speak
// [Message], which knows no wire; a [Codec] turns it into [Frame]s, once per wire
// variant, however many clients receive it.
//
// The package imports only internal/bucket and internal/ledger of ours, so neither side can reach the other.
package session

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
)

// Peer is a client that asks to enter a namespace.
type Peer struct {
	ID        string          // public id of the socket, 20 or more characters, unique
	Namespace string          // with its leading slash; "/" is the main one
	Auth      json.RawMessage // what the client sent along, a JSON object; nil if nothing
	Handshake Handshake       // what the client came with
	Conn      Conn            // the way back to the client
	Flow      *Flow           // of the connection that the client uses
}

// Handshake is the request that a client came with, kept for as long as it stays.
type Handshake interface {
	// Request returns it, without body and detached from its connection. It must not be
	// changed.
	Request() *http.Request
	// RemoteAddr is Request().RemoteAddr.
	RemoteAddr() string
}

// Keep returns a handshake that is r itself.
func Keep(r *http.Request) Handshake { return kept{r} }

type kept struct{ r *http.Request }

func (k kept) Request() *http.Request { return k.r }
func (k kept) RemoteAddr() string     { return k.r.RemoteAddr }

// Conn is the way from the hub to one client in one namespace. Every method
// returns at once, without waiting for the network, and may be called by any
// goroutine. It may write to the network, so callers hold no lock of theirs.
type Conn interface {
	// Accept tells the client that it is in. It is called at most once, before
	// the first Send, and never after Refuse.
	Accept()
	// Refuse tells the client why it is not let in. Closed does not follow.
	Refuse(*Failure)
	// Send queues m. It returns ErrClosed after the client has left. If the queue has no room it returns ErrSlow, and the
	// connection is being closed, or what else the SlowPolicy says. A volatile message that cannot go out at once is
	// dropped with ErrDropped. The frames of m may be kept, m itself and its arguments may not.
	Send(m *Message) error
	// Leave ends the client's stay in this namespace, and tells it so, after
	// what was sent before. Closed follows with the same reason.
	Leave(reason string)
	// Close ends the whole connection, with every namespace on it, likewise.
	Close(reason string)
	// Transport names what carries the client now, "polling", "websocket" and the like.
	Transport() string
	// Released is called exactly once, last, when nothing of the hub runs for the client any more:
	// not Authorize, no handler, not the action "close". Until then the client uses the resources
	// that the protocol limits. It is not called if Admit has panicked.
	Released()
}

// Admitter lets clients in. The hub is one.
type Admitter interface {
	// Admit returns at once. The answer goes to the client through
	// p.Conn.Accept or p.Conn.Refuse, sooner or later.
	Admit(p Peer) Receiver
}

// Receiver takes what one client sends into one namespace. Receive has one caller
// at a time and does not block. Closed is called exactly once, unless the client was
// refused: then it may be called or not.
type Receiver interface {
	// Receive takes m and owns it from then on. It may be called before the client
	// has been accepted, and m waits for that; after Closed, or if the client is
	// refused, m is ignored. The caller then runs the task that Flow.Start has kept, or
	// has it run. Before it receives more, it calls Flow.Wait.
	Receive(m *Message)
	// Closed says that the client has left, and why: one of the Reason constants.
	Closed(reason string)
}

// Task is work that the caller has to see to: it runs it, on any goroutine, once and
// soon, holding no lock. It may take its time, and what comes from the client meanwhile
// must be received all the same.
type Task = interface{ Run() }

// Failure is an error as a client sees it.
type Failure struct {
	Name    string          // a word for programs: BadRequest, NotFound, Forbidden, Timeout, Internal
	Message string          // a sentence for people
	Data    json.RawMessage // more of it, any JSON value; nil if there is none

	// Unheard marks the answer to an event that nobody has registered. A wire on which clients cannot tell failures from
	// answers does not send it.
	Unheard bool
}

// Errors of Conn.Send, and of what clients send.
var (
	ErrClosed  = fmt.Errorf("thinkws: the client has left: %w", net.ErrClosed)
	ErrSlow    = errors.New("thinkws: send queue full, client disconnected")
	ErrDropped = errors.New("thinkws: message dropped, the client is busy")
	ErrMemory  = error(excess{errors.New("thinkws: clients make the server hold too much memory")})
	ErrPolicy  = error(excess{errors.New("thinkws: too much of what the protocol forbids")})
)

// WebSocket close codes that the protocols send (RFC 6455, section 7.4.1).
const (
	CloseNormal      = 1000
	CloseGoingAway   = 1001
	CloseProtocol    = 1002
	CloseInvalidText = 1007
	ClosePolicy      = 1008
	CloseTooBig      = 1009
	CloseInternal    = 1011
	CloseTryLater    = 1013
)

// Verdict tells how a connection ends on which something unacceptable was received, or too
// little taken: the WebSocket close code and the reason.
func Verdict(err error) (code int, reason string) {
	switch {
	case errors.Is(err, ErrSlow):
		return CloseTryLater, ReasonSlow
	case errors.Is(err, ErrMemory):
		return CloseTryLater, ReasonMemory
	case errors.Is(err, ErrPolicy), errors.Is(err, ErrPings):
		return ClosePolicy, ReasonParseError
	default:
		return CloseProtocol, ReasonParseError
	}
}

// Why a client has left, in the words of Socket.IO.
const (
	ReasonTransportClose   = "transport close"             // the connection was closed by the client or lost
	ReasonTransportError   = "transport error"             // a poll was broken off, or the transport misused
	ReasonPingTimeout      = "ping timeout"                // no heartbeat came in time
	ReasonParseError       = "parse error"                 // what came is not of the protocol
	ReasonServerShutdown   = "server shutting down"        // Shutdown
	ReasonServerClose      = "forced server close"         // no namespace entered in time
	ReasonClientDisconnect = "client namespace disconnect" // the client left this namespace
	ReasonServerDisconnect = "server namespace disconnect" // Disconnect or Close on our side
	ReasonSlow             = "slow client"                 // it took messages too slowly
	ReasonMemory           = "memory limit"                // the server held too much, and this client held most
)

// ReservedEvent reports whether the name of an event is reserved, on every wire: clients of Socket.IO give these names
// a meaning of their own. Services cannot register or emit such an event, and one that a client sends has no handler.
func ReservedEvent(name string) bool {
	switch name {
	case "", "connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener":
		return true
	}
	return false
}
