package engineio

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/seed-ce09063a/thinkws/internal/alarm"
	"github.com/seed-ce09063a/thinkws/internal/door"
	"github.com/seed-ce09063a/thinkws/internal/serial"
	"github.com/seed-ce09063a/thinkws/internal/session"
	"github.com/seed-ce09063a/thinkws/internal/wsconn"
)

// Config says how a Server works. Zero durations and sizes stand for the defaults.
type Config struct {
	Polling   bool // clients may use long-polling, JSONP included
	WebSocket bool // clients may use WebSocket, from the start or by upgrade
	EIO3      bool // clients of revision 3 are let in
	Compress  bool // WebSocket clients may use permessage-deflate

	PingInterval   time.Duration // between heartbeats; 25 s
	PingTimeout    time.Duration // for the answer to one; 20 s
	UpgradeTimeout time.Duration // from a WebSocket for a polling session to its use; 10 s
	WriteTimeout   time.Duration // for a client to take session.Piece bytes, or as much as there is; 10 s
	ReadTimeout    time.Duration // of the body of a POST, from its first byte to its last; 10 s
	MessageTimeout time.Duration // of one WebSocket message, likewise; 30 s
	CoolAfter      time.Duration // without a WebSocket message, until its connection counts as idle; 1 s
	Farewell       time.Duration // for which a closed server waits for clients between two polls; 0 s

	MaxMessage int64 // bytes of a POST or a WebSocket message, announced as maxPayload; 1,000,000
	MaxPackets int   // in one POST; 20,000
	SendQueue  int   // bound of the send queue in bytes, as session.Waiting counts them; 4 MiB
	Slow       session.SlowPolicy

	Node   string       // that session ids name; "" for wholly random ones
	Cookie *http.Cookie // template of the cookie with the session id; nil for none

	SessionCookies []string // names of the cookies that identify a user, for sessions of revision 3

	Logger *slog.Logger // nil discards
	Group  *serial.Group
	Clock  *alarm.Clock   // for all that waits for a time
	Watch  *wsconn.Watch  // over readers that run tasks; nil if the group runs them all
	Grace  *wsconn.Grace  // shortens what is waited for when the server shuts down; nil for never
	Door   *door.Door     // lets new sessions in; nil for all of them
	Meter  *session.Meter // limits what clients send; nil for no limit
	Tally  *session.Tally // of limits that clients run into; nil for none
	Report session.Report // of what clients are refused or sent away for; nil for none

	// Detach keeps a handshake request beyond its handler. The default keeps the values
	// of its context.
	Detach func(*http.Request) session.Handshake
}

const (
	closeTimeout   = 5 * time.Second        // for the client's answer to a WebSocket close frame
	expiredTimeout = time.Second            // the same of one that has not finished its upgrade in time
	endedMemory    = 100 * time.Millisecond // for requests that were under way when their session ended
	maxEnded       = 1000                   // sessions that have ended and are remembered
	lingerTimeout  = 30 * time.Second       // for a polling client to fetch what waits in a closed session
)

func (c Config) withDefaults() Config {
	c.PingInterval = cmp.Or(c.PingInterval, 25*time.Second)
	c.PingTimeout = cmp.Or(c.PingTimeout, 20*time.Second)
	c.UpgradeTimeout = cmp.Or(c.UpgradeTimeout, 10*time.Second)
	c.WriteTimeout = cmp.Or(c.WriteTimeout, 10*time.Second)
	c.ReadTimeout = cmp.Or(c.ReadTimeout, 10*time.Second)
	c.MaxMessage = cmp.Or(c.MaxMessage, 1_000_000)
	c.MaxPackets = cmp.Or(c.MaxPackets, 20_000)
	c.SendQueue = cmp.Or(c.SendQueue, 4<<20)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Group == nil {
		c.Group = new(serial.Group)
	}
	if c.Clock == nil {
		c.Clock = new(alarm.Clock)
	}
	if c.Detach == nil {
		c.Detach = detach
	}
	return c
}

func (c *Config) wsconn() wsconn.Config {
	return wsconn.Config{
		MaxMessage:   c.MaxMessage,
		Queue:        c.SendQueue,
		Slow:         c.Slow,
		WriteTimeout: c.WriteTimeout,
		MessageTime:  c.MessageTimeout,
		CloseTimeout: closeTimeout,
		CoolAfter:    c.CoolAfter,
		Group:        c.Group,
		Clock:        c.Clock,
		Watch:        c.Watch,
		Grace:        c.Grace,
		Compress:     c.Compress,
		Tally:        c.Tally,
	}
}

func detach(r *http.Request) session.Handshake {
	r = r.Clone(context.WithoutCancel(r.Context()))
	r.Body = http.NoBody
	return session.Keep(r)
}
