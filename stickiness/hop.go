package stickiness

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// hopHeader marks what one node sends to another. Nobody else can make one, and none that
// comes from outside gets any further.
const hopHeader = "X-Sio-Hop"

const (
	maxHopAge = time.Minute // that clocks of nodes may differ, with the time of the way
	maxHop    = 512         // bytes of a header
)

// purpose is what a hop is for.
type purpose byte

const (
	hopServe purpose = 'f' // serve the request, whatever comes of it
	hopAsk   purpose = 'a' // say whether its session is here
	hopLeft  purpose = 'l' // the client has broken it off
)

// hop is a request on its way from one node to another.
type hop struct {
	purpose  purpose
	from, to string // ids of nodes
	remote   string // the address of the client, as from has seen it
}

var (
	errHopForm   = errors.New("not of the form of a hop")
	errHopMAC    = errors.New("not authentic")
	errHopAge    = errors.New("too old, or clocks differ")
	errHopTarget = errors.New("meant for another node")
)

// sealer makes and reads hop headers. It is immutable.
type sealer struct {
	secrets [][]byte // the first signs; all are accepted
}

// seal returns the header of a hop: purpose, nodes, time, the client's address and, over
// these, the method and the target of the request, a MAC.
func (s *sealer) seal(h hop, method, target string, now time.Time) string {
	text := string(h.purpose) + "." + h.from + "." + h.to + "." + strconv.FormatInt(now.Unix(), 10) + "." +
		base64.RawURLEncoding.EncodeToString([]byte(h.remote))
	return text + "." + base64.RawURLEncoding.EncodeToString(macOf(s.secrets[0], text, method, target))
}

// open reads the header of a hop to the node self.
func (s *sealer) open(header, self, method, target string, now time.Time) (hop, error) {
	end := strings.LastIndexByte(header, '.')
	if len(header) > maxHop || end < 0 {
		return hop{}, errHopForm
	}
	mac, err := base64.RawURLEncoding.DecodeString(header[end+1:])
	if err != nil {
		return hop{}, errHopForm
	}
	// Nothing is made of the text before it is known to be ours.
	if !s.made(mac, header[:end], method, target) {
		return hop{}, errHopMAC
	}
	h, sent, err := parseHop(header[:end])
	switch {
	case err != nil:
		return hop{}, err
	case now.Sub(sent).Abs() > maxHopAge:
		return hop{}, errHopAge
	case h.to != self:
		return h, errHopTarget
	}
	return h, nil
}

func parseHop(text string) (h hop, sent time.Time, err error) {
	parts := strings.Split(text, ".")
	if len(parts) != 5 || len(parts[0]) != 1 {
		return hop{}, sent, errHopForm
	}
	h = hop{purpose: purpose(parts[0][0]), from: parts[1], to: parts[2]}
	seconds, err := strconv.ParseInt(parts[3], 10, 64)
	if err != nil || h.purpose != hopServe && h.purpose != hopAsk && h.purpose != hopLeft {
		return hop{}, sent, errHopForm
	}
	remote, err := base64.RawURLEncoding.DecodeString(parts[4])
	if err != nil {
		return hop{}, sent, errHopForm
	}
	h.remote = string(remote)
	return h, time.Unix(seconds, 0), nil
}

// made reports whether one of the secrets has made a MAC.
//
// Security: each comparison takes constant time. The running time reveals at most which secret has matched, and only to
// a sender that knows that secret.
func (s *sealer) made(mac []byte, text, method, target string) bool {
	return slices.ContainsFunc(s.secrets, func(secret []byte) bool { return hmac.Equal(mac, macOf(secret, text, method, target)) })
}

func macOf(secret []byte, text, method, target string) []byte {
	m := hmac.New(sha256.New, secret)
	for _, part := range []string{text, method, target} {
		m.Write([]byte(part))
		m.Write([]byte{'\n'}) // which is in none of them
	}
	return m.Sum(nil)
}

// hopTarget is what of a request's URL a hop is bound to. It is what came in, whatever
// middleware has cut off the path since.
func hopTarget(r *http.Request) string { return r.RequestURI }
