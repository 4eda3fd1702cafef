package thinkws

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/seed-ce09063a/thinkws/internal/session"
)

// Errors that callers may test for with errors.Is.
var (
	// ErrClosed is returned by everything that needs a client who has left. It
	// wraps net.ErrClosed.
	ErrClosed = session.ErrClosed
	// ErrSlow is returned by an Emit that found four times the bound of [WithSendQueue] waiting for the client, which is
	// being disconnected. [WithOnError] gets it for each client that is disconnected because it took messages too slowly.
	ErrSlow = session.ErrSlow
	// ErrDropped is returned by an Emit whose message was dropped because the client's send queue has no room, if
	// [WithSlowPolicy] says so.
	ErrDropped = session.ErrDropped
	// ErrReserved refuses an event name that the protocols keep for themselves:
	// connect, connect_error, disconnect, disconnecting, newListener and
	// removeListener; and the empty name.
	ErrReserved = errors.New("thinkws: reserved event name")
	// ErrNoClient is returned by what needs a client while the action runs for a
	// plain HTTP request; see [Handler.Action].
	ErrNoClient = errors.New("thinkws: no client, the action runs for a plain HTTP request")
	// ErrAnswered is returned by the second Ack of one event. The first one counts.
	ErrAnswered = errors.New("thinkws: the event was answered before")
	// ErrNoAck is returned when not every client answered in time; see [NoAckError].
	ErrNoAck = errors.New("thinkws: no answer")
	// ErrTooMany is returned by a Join past the limit of rooms, and by an EmitAck past
	// the limit of answers awaited from one client or while so many events of the client wait that
	// its answer is not read. Errors passed to [WithOnError] wrap it when a client exceeds any other limit.
	ErrTooMany = session.ErrTooMany
	// ErrBus is returned by what could not be made known to the other nodes, or not to all
	// of them. On this node it has been done.
	ErrBus = errors.New("thinkws: the bus does not reach the other nodes")
	// ErrTooLarge is wrapped by the [ErrBus] for a message that is longer than the bus takes, and by
	// the [NodesError] for an answer that is. The text has the limit.
	ErrTooLarge = errors.New("thinkws: too large for the bus")
)

// Names of errors that clients can tell apart. A service may use names of its own.
const (
	BadRequest = "BadRequest" // the client's data is not what the action takes
	NotFound   = "NotFound"   // there is no such action, thing or namespace
	Forbidden  = "Forbidden"  // the client may not do that
	Timeout    = "Timeout"    // it took too long
	Internal   = "Internal"   // anything else: the text says no more than "internal error"
)

// Error is an error meant for the client. An action or an [Authorize] function
// returns one to choose what the client sees; all other errors read "internal
// error" there, so that no secret of the service slips out.
//
// A Socket.IO client finds it as the only argument of its ack,
// {"error":{"name":…,"message":…,"data":…}}, and as the connect_error of a refused
// namespace (message and data). A plain WebSocket or SockJS client gets
// {"rid":…,"error":{"name":…,"message":…,"data":…}}, a plain HTTP request a status that
// fits the name with the same error object.
type Error struct {
	Name    string // for programs, one of the names above or the service's own; "" means Internal
	Message string // for people
	Data    any    // more for programs, anything that encoding/json takes; nil for none
	Err     error  // the cause; logged, never sent
}

// Error returns the name, the message and the cause, for logs.
func (e *Error) Error() string {
	text := "thinkws: " + e.name() + ": " + e.Message
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

func (e *Error) name() string {
	if e.Name == "" {
		return Internal
	}
	return e.Name
}

// errorOf is the failure that a client sent as an error of ours.
func errorOf(f *session.Failure) *Error {
	e := &Error{Name: f.Name, Message: f.Message}
	if f.Data != nil {
		e.Data = f.Data
	}
	return e
}

// NoAckError says which clients did not answer. It matches [ErrNoAck], and the
// cause: the context's error when the time was over, [ErrClosed] when they had left.
type NoAckError struct {
	Missing []string // ids of the sockets, in no particular order
	Err     error
}

// Error names the sockets that are missing, ten at the most.
func (e *NoAckError) Error() string {
	const most = 10
	names := e.Missing
	more := ""
	if len(names) > most {
		more = fmt.Sprintf(" and %d more", len(names)-most)
		names = names[:most]
	}
	return fmt.Sprintf("%v from %s%s: %v", ErrNoAck, strings.Join(names, ", "), more, e.Err)
}

// Unwrap returns ErrNoAck and the cause.
func (e *NoAckError) Unwrap() []error { return []error{ErrNoAck, e.Err} }

// NodesError says that other nodes have not answered, or clients of theirs. What came is
// returned beside it. It matches [ErrNoAck], and the cause: the context's error when the
// time was over, [ErrBus] when the nodes could not be asked.
type NodesError struct {
	Count   int      // nodes that are missing
	Missing []string // what they are called, as far as the bus knows; more than Count if it is not known which
	Clients int      // clients that are missing, or have left, of nodes that have answered
	Err     error
}

// Error says how much is missing.
func (e *NodesError) Error() string {
	var who []string
	if e.Count > 0 || e.Clients == 0 {
		who = append(who, fmt.Sprintf("%d other nodes", e.Count))
	}
	if len(e.Missing) > 0 {
		who = append(who, "of "+strings.Join(e.Missing, ", "))
	}
	if e.Clients > 0 {
		who = append(who, fmt.Sprintf("%d clients of other nodes", e.Clients))
	}
	return fmt.Sprintf("%v from %s: %v", ErrNoAck, strings.Join(who, ", "), e.Err)
}

// Unwrap returns ErrNoAck and the cause.
func (e *NodesError) Unwrap() []error { return []error{ErrNoAck, e.Err} }

// busError is ErrBus with its cause.
func busError(cause error) error { return fmt.Errorf("%w: %w", ErrBus, cause) }

// Reason says why a client has left, in the words of Socket.IO. It is what
// [Context.Reason] returns in the action "close".
type Reason string

// Why a client has left.
const (
	ReasonTransportClose   Reason = session.ReasonTransportClose   // the client closed the connection, or it was lost
	ReasonTransportError   Reason = session.ReasonTransportError   // a poll was broken off, or the transport misused
	ReasonPingTimeout      Reason = session.ReasonPingTimeout      // no heartbeat in time
	ReasonParseError       Reason = session.ReasonParseError       // the client sent what is not of the protocol
	ReasonServerShutdown   Reason = session.ReasonServerShutdown   // Handler.Shutdown
	ReasonServerClose      Reason = session.ReasonServerClose      // it entered no namespace in time
	ReasonClientDisconnect Reason = session.ReasonClientDisconnect // the client left the namespace
	ReasonServerDisconnect Reason = session.ReasonServerDisconnect // Disconnect or Close on our side
	ReasonSlow             Reason = session.ReasonSlow             // it took messages too slowly; see WithSendQueue
	ReasonMemory           Reason = session.ReasonMemory           // it made the server hold most when that was too much; see Limits.Memory
)

// checkEvent refuses the names that can be neither registered nor emitted.
func checkEvent(name string) error {
	if session.ReservedEvent(name) {
		return fmt.Errorf("%w %q", ErrReserved, name)
	}
	if !utf8.ValidString(name) {
		return fmt.Errorf("thinkws: event name %q is not UTF-8", name)
	}
	return nil
}
