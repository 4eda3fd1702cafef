package redisbus

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"

	"github.com/tinylib/msgp/msgp"

	"github.com/seed-ce09063a/thinkws"
)

// response is an answer to a request: a JSON object, or of typeClientAck a map of
// MessagePack. UID and None are this library's own; others do not look at them.
type response struct {
	UID     string          `json:"uid,omitempty"`
	ID      string          `json:"requestId"`
	Type    int             `json:"type,omitempty"`
	Sockets []wireSocket    `json:"sockets,omitempty"`
	Rooms   []room          `json:"rooms,omitempty"`
	Clients int             `json:"clientCount"`
	Data    json.RawMessage `json:"data,omitempty"`
	None    bool            `json:"none,omitempty"` // nobody there will answer

	args thinkws.Payload // of typeClientAck
}

// wireSocket is a client as nodes tell each other of it.
type wireSocket struct {
	ID        string          `json:"id"`
	Handshake wireHandshake   `json:"handshake"`
	Rooms     []room          `json:"rooms"`
	Data      json.RawMessage `json:"data"`
	Transport string          `json:"transport,omitempty"` // this library's own
}

// wireHandshake is the handshake object of Node's sockets.
type wireHandshake struct {
	Headers map[string]headerValue `json:"headers"`
	Address string                 `json:"address"`
	XDomain bool                   `json:"xdomain"`
	Secure  bool                   `json:"secure"`
	URL     string                 `json:"url"`
	Query   map[string]headerValue `json:"query"`
	Auth    json.RawMessage        `json:"auth,omitempty"`
}

// headerValue is a string, or a list of them.
type headerValue []string

// MarshalJSON implements json.Marshaler.
func (v headerValue) MarshalJSON() ([]byte, error) { return json.Marshal(strings.Join(v, ", ")) }

// UnmarshalJSON implements json.Unmarshaler.
func (v *headerValue) UnmarshalJSON(text []byte) error {
	var one string
	if json.Unmarshal(text, &one) == nil {
		*v = headerValue{one}
		return nil
	}
	var list []string
	if json.Unmarshal(text, &list) == nil {
		*v = list
	}
	return nil // what is neither is of no use, and no reason to drop the rest
}

func wireSockets(members []thinkws.Member) []wireSocket {
	sockets := make([]wireSocket, len(members))
	for i, m := range members {
		sockets[i] = wireSocket{ID: m.ID, Handshake: handshakeOf(m), Rooms: rooms(m.Rooms), Data: m.Data, Transport: m.Transport}
		if m.Data == nil {
			sockets[i].Data = json.RawMessage("{}")
		}
	}
	return sockets
}

func rooms(names []string) []room {
	list := make([]room, len(names))
	for i, name := range names {
		list[i] = room(name)
	}
	return list
}

func handshakeOf(m thinkws.Member) wireHandshake {
	w := wireHandshake{Address: m.RemoteAddr, Auth: m.Auth, Headers: map[string]headerValue{}, Query: map[string]headerValue{}}
	if m.Request == nil {
		return w
	}
	r := m.Request()
	for key, values := range r.Header {
		w.Headers[strings.ToLower(key)] = values
	}
	w.Headers["host"] = headerValue{r.Host}
	for key, values := range r.URL.Query() {
		w.Query[key] = values[len(values)-1:]
	}
	w.URL, w.Secure, w.XDomain = r.URL.RequestURI(), r.TLS != nil, r.Header.Get("Origin") != ""
	return w
}

func membersOf(namespace string, sockets []wireSocket) []thinkws.Member {
	members := make([]thinkws.Member, len(sockets))
	for i, s := range sockets {
		members[i] = thinkws.Member{ID: s.ID, Namespace: namespace, Rooms: names(s.Rooms), Transport: s.Transport,
			RemoteAddr: s.Handshake.Address, Data: s.Data, Auth: s.Handshake.Auth, Request: s.Handshake.request}
	}
	return members
}

// request is the handshake as net/http would have it, as far as it is known.
func (w wireHandshake) request() *http.Request {
	r := &http.Request{Method: http.MethodGet, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{}, RemoteAddr: w.Address, RequestURI: w.URL, Body: http.NoBody}
	if r.URL, _ = url.ParseRequestURI(w.URL); r.URL == nil {
		r.URL = &url.URL{Path: "/"}
	}
	for key, values := range w.Headers {
		r.Header[http.CanonicalHeaderKey(key)] = values
	}
	r.Host = r.Header.Get("Host")
	r.Header.Del("Host")
	return r
}

// encodeResponse is the wire form of what the hub answers to q; nil if others would not
// understand it.
func encodeResponse(uid string, q *request, a *thinkws.Envelope) []byte {
	known := isOurs(q.UID)
	switch {
	case a == nil && known:
		return marshal(struct {
			UID  string `json:"uid"`
			ID   string `json:"requestId"`
			Type int    `json:"type"`
			None bool   `json:"none"`
		}{uid, q.ID, q.Type, true})
	case a == nil:
		return nil
	case a.Kind == thinkws.BusClients && a.Clients < 0 && !known:
		return nil
	case a.Kind == thinkws.BusClients:
		kind := typeClientCount
		if a.Clients < 0 {
			kind = typeClientsGone
		}
		return marshal(struct {
			UID     string `json:"uid"`
			Type    int    `json:"type"`
			ID      string `json:"requestId"`
			Clients int    `json:"clientCount"`
		}{uid, kind, q.ID, a.Clients})
	}
	return encodeAnswer(uid, q, a)
}

func encodeAnswer(uid string, q *request, a *thinkws.Envelope) []byte {
	switch q.Type {
	case typeEmit:
		return encodeAck(uid, q.ID, a.Args)
	case typeServerEmit:
		first, ok := a.Args.At(0)
		answer := struct {
			UID  string          `json:"uid"`
			Type int             `json:"type"`
			ID   string          `json:"requestId"`
			Data json.RawMessage `json:"data,omitempty"`
		}{uid, q.Type, q.ID, nil}
		if ok {
			answer.Data = first.JSON()
		}
		return marshal(answer)
	case typeRooms:
		return marshal(struct {
			UID   string   `json:"uid"`
			ID    string   `json:"requestId"`
			Rooms []string `json:"rooms"` // present also if there are none
		}{uid, q.ID, append([]string{}, a.Names...)})
	case typeSockets:
		ids := make([]string, len(a.Members))
		for i, m := range a.Members {
			ids[i] = m.ID
		}
		return marshal(struct {
			UID     string   `json:"uid"`
			ID      string   `json:"requestId"`
			Sockets []string `json:"sockets"`
		}{uid, q.ID, ids})
	default:
		return marshal(struct {
			UID     string       `json:"uid"`
			ID      string       `json:"requestId"`
			Sockets []wireSocket `json:"sockets"`
		}{uid, q.ID, wireSockets(a.Members)})
	}
}

// encodeAck is the wire form of a client's answer: the first argument, for that is all
// others know, and if that is not all, all.
func encodeAck(uid, id string, args thinkws.Payload) []byte {
	n := uint32(4)
	if args.Count != 1 {
		n++
	}
	b := msgp.AppendMapHeader(nil, n)
	b = msgp.AppendInt(msgp.AppendString(b, "type"), typeClientAck)
	b = msgp.AppendString(msgp.AppendString(b, "requestId"), id)
	b = msgp.AppendString(b, "packet")
	if first, ok := args.At(0); ok {
		b = appendPayload(b, first)
	} else {
		b = msgp.AppendNil(b)
	}
	b = msgp.AppendString(msgp.AppendString(b, "uid"), uid)
	if args.Count != 1 {
		b = msgp.AppendArrayHeader(msgp.AppendString(b, "args"), uint32(args.Count))
		b = appendPayload(b, args)
	}
	return b
}

// responseID reads which question an answer is to.
func responseID(data []byte) (string, error) {
	var head struct {
		ID string `json:"requestId"`
	}
	if isJSON(data) {
		if err := checkJSON(data); err != nil {
			return "", err
		}
		err := json.Unmarshal(data, &head)
		return head.ID, err
	}
	r := reader{data}
	err := r.fields(func(key string) (err error) {
		if key != "requestId" {
			return r.skip()
		}
		head.ID, err = r.text()
		return err
	})
	return head.ID, err
}

// decodeResponse reads an answer in either form.
func decodeResponse(data []byte) (*response, error) {
	a := &response{Type: -1}
	if isJSON(data) {
		if err := checkJSON(data); err != nil {
			return nil, err
		}
		err := json.Unmarshal(data, a)
		return a, err
	}
	err := a.unpack(data)
	return a, err
}

// unpack reads an answer of typeClientAck.
func (a *response) unpack(data []byte) error {
	r := reader{data}
	whole := false
	return r.fields(func(key string) (err error) {
		switch key {
		case "type":
			var n int64
			n, err = r.integer()
			a.Type = int(n)
		case "requestId":
			a.ID, err = r.text()
		case "uid":
			a.UID, err = r.text()
		case "args":
			n, failed := r.list()
			if failed != nil {
				return failed
			}
			whole = true
			a.args, err = r.values(n)
		case "packet":
			if whole {
				return r.skip()
			}
			a.args, err = r.values(1)
		default:
			err = r.skip()
		}
		return err
	})
}

func (r *reader) values(n int) (thinkws.Payload, error) {
	u := unpacker{rest: r.rest}
	err := u.values(n)
	r.rest = u.rest
	return u.payload(n), err
}

// marshal is for structures that cannot fail.
func marshal(v any) []byte {
	text, _ := json.Marshal(v)
	return text
}
