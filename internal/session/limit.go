package session

import (
	"errors"
	"net/http"
	"sync/atomic"
)

// Limit is one of the bounds that clients may run into.
type Limit uint8

// The limits. Those of what clients do once they are in are noted by who finds out.
const (
	LimitSessions Limit = iota
	LimitSessionsPerAddress
	LimitHandshakes
	LimitHandshakesPerAddress
	LimitSharedAddress // counts clients to which those per address do not apply
	LimitGuesses
	LimitHeader
	LimitReceiveRate
	LimitReceiveQueue
	LimitMessage
	LimitMessageTime
	LimitBodyTime
	LimitPackets
	LimitAttachments
	LimitAttachmentTime
	LimitDepth
	LimitNumber
	LimitName
	LimitAuth
	LimitNamespaces
	LimitDynamicNamespaces
	LimitDynamicNamespacesPerAddress
	LimitIgnored
	LimitPings
	LimitRooms
	LimitAnswers
	LimitConnectTime
	LimitUpgradeTime
	LimitPingTime
	LimitMemory
	limits // how many there are
)

var limitNames = [limits]string{
	LimitSessions:                    "sessions",
	LimitSessionsPerAddress:          "sessions_per_address",
	LimitHandshakes:                  "handshakes",
	LimitHandshakesPerAddress:        "handshakes_per_address",
	LimitSharedAddress:               "shared_address",
	LimitGuesses:                     "guesses",
	LimitHeader:                      "header",
	LimitReceiveRate:                 "receive_rate",
	LimitReceiveQueue:                "receive_queue",
	LimitMessage:                     "message",
	LimitMessageTime:                 "message_time",
	LimitBodyTime:                    "body_time",
	LimitPackets:                     "packets",
	LimitAttachments:                 "attachments",
	LimitAttachmentTime:              "attachment_time",
	LimitDepth:                       "depth",
	LimitNumber:                      "number",
	LimitName:                        "name",
	LimitAuth:                        "auth",
	LimitNamespaces:                  "namespaces",
	LimitDynamicNamespaces:           "dynamic_namespaces",
	LimitDynamicNamespacesPerAddress: "dynamic_namespaces_per_address",
	LimitIgnored:                     "ignored",
	LimitPings:                       "pings",
	LimitRooms:                       "rooms",
	LimitAnswers:                     "answers",
	LimitConnectTime:                 "connect_time",
	LimitUpgradeTime:                 "upgrade_time",
	LimitPingTime:                    "ping_time",
	LimitMemory:                      "memory",
}

// String returns the name, of lower case letters and underscores.
func (l Limit) String() string { return limitNames[l] }

// limitError is the error of who has run into a limit.
type limitError struct {
	limit Limit
	excess
}

// Beyond is cause, as the error of who has run into l; see [Tally.Note].
func Beyond(l Limit, cause error) error { return &limitError{l, excess{cause}} }

// The limits of bodies of requests, by the status of who exceeds them.
var (
	errBodyTime = Beyond(LimitBodyTime, errors.New("body came too slowly"))
	errBodySize = Beyond(LimitMessage, errors.New("body too large"))
)

// BodyError is why a body was refused with a status, as far as that is for a limit; nil if not.
func BodyError(status int) error {
	switch status {
	case http.StatusRequestTimeout:
		return errBodyTime
	case http.StatusRequestEntityTooLarge:
		return errBodySize
	default:
		return nil
	}
}

// Tally counts how often each limit was run into. It is safe for concurrent use; a nil Tally
// counts nothing.
type Tally [limits]atomic.Uint64

// Count counts one more.
func (t *Tally) Count(l Limit) {
	if t != nil {
		t[l].Add(1)
	}
}

// Note counts err, if it says which limit it is about.
func (t *Tally) Note(err error) {
	if beyond, ok := errors.AsType[*limitError](err); ok {
		t.Count(beyond.limit)
	}
}

// Counts returns the numbers of all limits by their names.
func (t *Tally) Counts() map[string]uint64 {
	counts := make(map[string]uint64, limits)
	for l := range limits {
		counts[l.String()] = t[l].Load()
	}
	return counts
}
