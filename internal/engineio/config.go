package engineio

import (
	"log/slog"
	"net/http"
	"time"

	"github.com/seed-ce09063a/thinkws/internal/alarm"
	"github.com/seed-ce09063a/thinkws/internal/door"
	"github.com/seed-ce09063a/thinkws/internal/session"
	"github.com/seed-ce09063a/thinkws/internal/wsconn"
)

// Config says how a Server works. All fields have to be set, but for those that say otherwise.
type Config struct {
	wsconn.Config // of the WebSockets; MaxMessage, the send queue and WriteTimeout are for polling clients, too

	Polling   bool // clients may use long-polling, JSONP included
	WebSocket bool // clients may use WebSocket, from the start or by upgrade
	EIO3      bool // clients of revision 3 are let in

	PingInterval   time.Duration // between heartbeats
	PingTimeout    time.Duration // for the answer to one
	UpgradeTimeout time.Duration // from a WebSocket for a polling session to its use
	Farewell       time.Duration // for which a closed server waits for clients between two polls; 0 for not at all

	MaxPackets int // in one POST

	Node   string       // that session ids name; "" for wholly random ones
	Cookie *http.Cookie // template of the cookie with the session id; nil for none

	SessionCookies []string // names of the cookies that identify a user, for sessions of revision 3

	Clock  *alarm.Clock // for all that waits for a time
	Logger *slog.Logger
	Door   *door.Door                            // lets new sessions in; nil for all of them
	Meter  *session.Meter                        // limits what clients send; nil for no limit
	Report session.Report                        // of what clients are refused or sent away for; nil for none
	Detach func(*http.Request) session.Handshake // keeps a handshake request beyond its handler
}

const (
	expiredTimeout = time.Second            // for the answer to the close frame, of a WebSocket that is not taken into use
	endedMemory    = 100 * time.Millisecond // for requests that were under way when their session ended
	maxEnded       = 1000                   // sessions that have ended and are remembered
	lingerTimeout  = 30 * time.Second       // for a polling client to fetch what waits in a closed session
)
