package stickiness

import (
	"net/http"
	"net/url"
	"strings"
)

// kind says what a request is for, as far as stickiness goes.
type kind uint8

const (
	kindOther     kind = iota // any node will do, or it is not for us
	kindHandshake             // a session of Socket.IO begins
	kindSocketIO              // it belongs to one
	kindSockJS                // it belongs to a session of SockJS over HTTP
)

// maxSession bounds the ids of SockJS sessions, as package sockjs does.
const maxSession = 256

// route is what a request is for.
type route struct {
	kind    kind
	session string // the id that Socket.IO's server or SockJS's client has chosen
	upgrade bool   // it asks for a WebSocket
	waits   bool   // its answer may take its time, so the client may break it off
	stream  bool   // the answer may last
}

// routes reads requests. It is immutable.
type routes struct{ socketio, sockjs string }

func (p routes) read(r *http.Request) route {
	if strings.Contains(r.URL.Path+"/", p.socketio+"/") {
		if found := readSocketIO(r); found.kind != kindOther {
			return found
		}
	}
	if _, rest, ok := strings.Cut(r.URL.EscapedPath(), p.sockjs+"/"); ok {
		return readSockJS(rest)
	}
	return route{}
}

// readSocketIO reads a query as package engineio does: what is there twice is nothing.
func readSocketIO(r *http.Request) route {
	query, _ := url.ParseQuery(strings.ReplaceAll(r.URL.RawQuery, ";", "%3B")) // what is malformed is absent
	if len(query["transport"]) != 1 {
		return route{}
	}
	found := route{upgrade: isUpgrade(r)}
	switch sids := query["sid"]; {
	case len(sids) == 1 && sids[0] != "":
		found.kind, found.session = kindSocketIO, sids[0]
		found.waits = r.Method == http.MethodGet && !found.upgrade
	case len(sids) == 0 && r.Method == http.MethodGet:
		found.kind = kindHandshake
	}
	return found
}

// readSockJS reads /server/session/transport. A WebSocket is its own session, wherever it
// ends, so it is none of ours.
func readSockJS(path string) route {
	segments := strings.Split(strings.TrimSuffix(path, "/"), "/")
	if len(segments) != 3 || segments[0] == "" || segments[1] == "" || len(segments[1]) > maxSession {
		return route{}
	}
	id, err := url.PathUnescape(segments[1])
	if err != nil {
		return route{}
	}
	switch segments[2] {
	case "xhr_send", "jsonp_send":
		return route{kind: kindSockJS, session: id}
	case "xhr", "jsonp":
		return route{kind: kindSockJS, session: id, waits: true}
	case "xhr_streaming", "eventsource", "htmlfile":
		return route{kind: kindSockJS, session: id, stream: true}
	default:
		return route{}
	}
}

func isUpgrade(r *http.Request) bool {
	for _, value := range r.Header["Connection"] {
		for token := range strings.SplitSeq(value, ",") {
			if strings.EqualFold(strings.TrimSpace(token), "upgrade") {
				return r.Header.Get("Upgrade") != ""
			}
		}
	}
	return false
}
