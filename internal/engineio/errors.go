package engineio

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"

	"github.com/seed-ce09063a/thinkws/internal/headers"
	"github.com/seed-ce09063a/thinkws/internal/session"
)

// Code is why a request was refused, as the clients of Engine.IO know it.
type Code int

// The codes of refused requests.
const (
	UnknownTransport Code = iota
	UnknownSID
	BadMethod
	BadRequest
	Forbidden
	UnsupportedVersion
)

// messages are those that Node's server sends with the codes.
var messages = [...]string{
	UnknownTransport:   "Transport unknown",
	UnknownSID:         "Session ID unknown",
	BadMethod:          "Bad handshake method",
	BadRequest:         "Bad request",
	Forbidden:          "Forbidden",
	UnsupportedVersion: "Unsupported protocol version",
}

// WriteError answers r with a code and its message as JSON: status 403 for
// Forbidden, 400 for all others. An empty message stands for the usual one of the code.
func WriteError(w http.ResponseWriter, r *http.Request, code Code, message string) {
	status := http.StatusBadRequest
	if code == Forbidden {
		status = http.StatusForbidden
	}
	writeError(w, r, status, code, message)
}

func writeError(w http.ResponseWriter, r *http.Request, status int, code Code, message string) {
	if message == "" {
		message = messages[code]
	}
	body, _ := json.Marshal(struct { // cannot fail: an int and a string
		Code    Code   `json:"code"`
		Message string `json:"message"`
	}{code, message})
	h := w.Header()
	if headers.IsUpgrade(r) {
		h.Set("Connection", "close") // frames sent right behind must not be read as a request
	}
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	w.Write(body) // a client that has gone does not read its error
}

// What a client may do wrong once it has a session.
var (
	errPacket    = errors.New("engineio: malformed packet")
	errPayload   = errors.New("engineio: malformed payload")
	errCount     = session.Beyond(session.LimitPackets, errors.New("engineio: too many packets in a payload"))
	errHeartbeat = errors.New("engineio: heartbeat data too long")
	errDirection = errors.New("engineio: heartbeat in the wrong direction")
	errBinary    = errors.New("engineio: binary body")
	errOverlap   = errors.New("engineio: overlapping requests")
	errBodySize  = session.BodyError(http.StatusRequestEntityTooLarge)
	errUpgrade   = errors.New("engineio: unexpected packet before the upgrade")
	errLate      = errors.New("engineio: sent by polling after the upgrade")
	errGone      = errors.New("engineio: the client of a POST that waited has gone")
	errLost      = errors.New("engineio: the response was not written")
	errEnded     = errors.New("engineio: session has ended")
)

// verdict tells how a session ends on which err happened: the close code and the reason.
func verdict(err error) (code int, reason string) {
	code, reason = session.Verdict(err)
	if errors.Is(err, errDirection) {
		reason = session.ReasonTransportError // as Node calls it
	}
	return code, reason
}
