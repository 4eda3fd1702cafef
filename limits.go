package thinkws

import (
	"cmp"
	"fmt"
	"net/netip"

	"github.com/seed-ce09063a/thinkws/internal/door"
	"github.com/seed-ce09063a/thinkws/internal/session"
)

// Limits bound what clients may have and do. The zero value of each field stands for its
// default. [Stats] counts how often each was reached. More limits have options of their own:
// [WithMaxMessage], [WithMaxRooms], [WithSendQueue], [WithReceiveQueue], [WithReceiveRate] and those of time.
//
// One limit has no option: a JSON number may be at most 1,024 bytes long. Programs write about 25.
type Limits struct {
	// Sessions is the maximum number of clients that are connected at a time, over all protocols.
	// SessionsPerAddress limits those from one IPv4 address or one IPv6 /64 network. A client counts
	// until its connection has ended and none of its handlers runs any more. Clients beyond the
	// limits get 503 (all clients) or 429 (one address) with a Retry-After header. Defaults: 100,000
	// and 10,000.
	Sessions           int
	SessionsPerAddress int

	// Handshakes is the maximum number of new clients per second. HandshakesPerAddress limits them
	// per address. Both allow bursts of twice the rate. Clients beyond that get the same answers.
	// Defaults: 5,000 and 500.
	Handshakes           int
	HandshakesPerAddress int

	// Header is the maximum size of a request line with its headers in bytes, for every request of
	// every protocol. It counts 32 bytes for each header beside its name and value, as HTTP/2
	// does. A larger request gets 431 and its connection is closed. Default: 16 KiB.
	Header int

	// Namespaces is the maximum number of namespaces that a Socket.IO client is in over one
	// connection. Entering one more is refused with a connect_error; the connection and its other
	// namespaces stay. It also limits the sockets of one connection for which something still runs:
	// Authorize, a handler, or the action "close" of a namespace that the client has left. If all of
	// them are busy, a client that enters a namespace again waits until one is done. Default: 64.
	Namespaces int

	// DynamicNamespaces is the maximum number of dynamic namespaces that exist at a time, over all
	// protocols: those of [NamespaceFunc], and of [Namespace] with a pattern. DynamicNamespacesPerAddress
	// limits those whose first client came from one IPv4 address or one IPv6 /64 network. A client that
	// asks for one more is refused; namespaces that exist already can be entered. With redisbus each
	// namespace is a pattern in Redis and adds some 44 ns to every PUBLISH: 10,000 add 0.4 ms.
	// Defaults: 10,000 and 1,000.
	DynamicNamespaces           int
	DynamicNamespacesPerAddress int

	// Attachments is the maximum number of binary parts in one message. Exceeding it closes the
	// connection. Default: 10, as in Node.js.
	Attachments int

	// Auth is the maximum size in bytes of what a client sends along to enter a namespace. A client
	// that sends more is refused. Default: 64 KiB.
	Auth int

	// Depth is the maximum nesting depth of JSON from clients. Deeper input is rejected as malformed.
	// It is at most 10,000, the limit of encoding/json. Default: 512.
	Depth int

	// Packets is the maximum number of Engine.IO packets in one POST. Exceeding it ends the session.
	// Default: 20,000. A POST with more packets than [WithReceiveQueue] has room for is answered when they have
	// been handled.
	Packets int

	// Name is how many bytes a name may have that a client chooses and the server keeps: that
	// of a namespace, and of a server or a session in a path of SockJS, as it is written there.
	// A namespace with a longer one does not exist; over Socket.IO, asking for it ends the
	// connection. The path is answered by 404. Names of events count as a part of
	// their message, and those of rooms are the service's own choice. Default: 256.
	Name int

	// Answers is the maximum number of answers that are awaited from one client at a time. Beyond it,
	// EmitAck returns ErrTooMany. Default: 10,000.
	Answers int

	// Memory is the maximum number of bytes that all clients together make the server hold: in the queues to and
	// from clients, in messages and bodies that have not come in whole, in events that handlers work on, and in
	// answers to EmitAck that are kept until other clients have answered.
	//
	// From 3/4 of the limit on, reading stops for the clients that hold most, until less than 5/8 are held. At the
	// limit the largest holders are disconnected, until 7/8 are held: with [ReasonMemory], a WebSocket with close
	// code 1013. Events of theirs that still wait are dropped. Requests without a session are answered 503. A
	// client that holds less than 1 KiB is never affected.
	//
	// The process needs more than that: each connection costs some kilobytes, and handlers have memory of their
	// own. A message to many clients counts for each that it waits for. But nobody is disconnected for bytes that
	// are in memory once, if the message has 1 KiB or more. [Stats] has what is held now, and counts the
	// disconnects. -1 means no limit. Default: a quarter of the process's memory limit (GOMEMLIMIT, read by [New]),
	// or 1 GiB if it has none.
	Memory int64

	// Departures is how many clients per second [Handler.Shutdown] disconnects, so that they do not
	// all reconnect to other servers at once. Default: 5,000.
	Departures int
}

// WithLimits sets limits; see [Limits]. What was set before is replaced.
//
// Limits per address need the addresses of clients: see [WithTrustedProxies].
func WithLimits(l Limits) Option {
	return serverOption("WithLimits", func(c *config) error {
		if err := l.check(); err != nil {
			return fmt.Errorf("thinkws: WithLimits: %w", err)
		}
		c.limits = l.withDefaults()
		return nil
	})
}

// WithTrustedProxies names the networks from which only proxies of the service can connect.
// Limits per address, the guard against guessed session ids and the log then go by the client
// that they name in X-Forwarded-For, read from the right; X-Forwarded-Host and
// X-Forwarded-Proto count for the service's own origin (see [WithAllowOrigin]). The default is
// none, and these headers mean nothing.
//
// Security: a named proxy must set all three headers or remove those of the client. Otherwise
// clients choose their own address, and pages choose whose origin they have.
//
// Without this option all clients behind a proxy have its address. [Limits].SessionsPerAddress
// and HandshakesPerAddress therefore do not apply to peers on loopback and on unix sockets, nor
// to private and link-local ones whose requests carry the mark of a proxy (Forwarded,
// X-Forwarded-*, X-Real-IP, Via or HTTP/1.0). The log says so once. [Stats] counts them.
func WithTrustedProxies(networks ...netip.Prefix) Option {
	return serverOption("WithTrustedProxies", func(c *config) error {
		for _, network := range networks {
			if !network.IsValid() {
				return fmt.Errorf("thinkws: WithTrustedProxies: %v is no network", network)
			}
		}
		c.proxies.Networks = networks
		return nil
	})
}

// WithTrustedUnixProxies is [WithTrustedProxies] for peers on unix sockets, which have no
// address: every peer that can connect to a unix socket of the service is then a proxy of
// the service. The default is that nobody is.
//
// Security: the permissions of the socket's file decide who can connect.
func WithTrustedUnixProxies() Option {
	return serverOption("WithTrustedUnixProxies", func(c *config) error { c.proxies.Unix = true; return nil })
}

func (l Limits) check() error {
	for name, n := range map[string]int{
		"Sessions": l.Sessions, "SessionsPerAddress": l.SessionsPerAddress,
		"Handshakes": l.Handshakes, "HandshakesPerAddress": l.HandshakesPerAddress,
		"Departures": l.Departures, "Header": l.Header, "Namespaces": l.Namespaces,
		"DynamicNamespaces": l.DynamicNamespaces, "DynamicNamespacesPerAddress": l.DynamicNamespacesPerAddress,
		"Attachments": l.Attachments, "Auth": l.Auth, "Answers": l.Answers,
		"Depth": l.Depth, "Packets": l.Packets, "Name": l.Name,
	} {
		if n < 0 {
			return fmt.Errorf("%s: %d is negative", name, n)
		}
	}
	if l.Memory < -1 {
		return fmt.Errorf("%s: %d is negative", "Memory", l.Memory)
	}
	if l.Depth > session.MaxDepth {
		return fmt.Errorf("%s: %d is more than %d", "Depth", l.Depth, session.MaxDepth)
	}
	return nil
}

func (l Limits) withDefaults() Limits {
	l.Sessions = cmp.Or(l.Sessions, 100_000)
	l.SessionsPerAddress = cmp.Or(l.SessionsPerAddress, 10_000)
	l.Handshakes = cmp.Or(l.Handshakes, 5_000)
	l.HandshakesPerAddress = cmp.Or(l.HandshakesPerAddress, 500)
	l.Header = cmp.Or(l.Header, 16<<10)
	l.Namespaces = cmp.Or(l.Namespaces, 64)
	l.DynamicNamespaces = cmp.Or(l.DynamicNamespaces, 10_000)
	l.DynamicNamespacesPerAddress = cmp.Or(l.DynamicNamespacesPerAddress, 1_000)
	l.Attachments = cmp.Or(l.Attachments, 10)
	l.Auth = cmp.Or(l.Auth, 64<<10)
	l.Depth = cmp.Or(l.Depth, session.Depth)
	l.Packets = cmp.Or(l.Packets, 20_000)
	l.Name = cmp.Or(l.Name, 256)
	l.Answers = cmp.Or(l.Answers, 10_000)
	l.Departures = cmp.Or(l.Departures, 5_000)
	return l
}

func newDoor(c *config, tally *session.Tally, report session.Report) *door.Door {
	return door.New(door.Config{
		Sessions: c.limits.Sessions, SessionsPerAddress: c.limits.SessionsPerAddress,
		Handshakes: c.limits.Handshakes, HandshakesPerAddress: c.limits.HandshakesPerAddress,
		Trusted: c.proxies.Networks, TrustUnix: c.proxies.Unix, Tally: tally, Report: report, Logger: c.logger,
	})
}
