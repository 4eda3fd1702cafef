package redisbus

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/tinylib/msgp/msgp"

	"github.com/seed-ce09063a/thinkws"
	"github.com/seed-ce09063a/thinkws/internal/session"
)

// response is an answer to a request: a JSON object, or of typeClientAck a map of
// MessagePack. UID, None and TooLarge are this library's own; others do not look at them.
type response struct {
	UID      string `json:"uid,omitempty"`
	ID       string `json:"requestId"`
	Type     int    `json:"type,omitempty"`
	Rooms    []room `json:"rooms,omitempty"`
	Clients  int    `json:"clientCount"`
	None     bool   `json:"none,omitempty"`     // nobody there will answer
	TooLarge int    `json:"tooLarge,omitempty"` // the answer is longer than this bound of its server, in bytes

	sockets []wireSocket
	data    []byte          // of typeServerEmit: a JSON value
	args    thinkws.Payload // of typeClientAck
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

func wireSocketOf(m thinkws.Member) wireSocket {
	s := wireSocket{ID: m.ID, Handshake: handshakeOf(m), Rooms: rooms(m.Rooms), Data: m.Data, Transport: m.Transport}
	if m.Data == nil {
		s.Data = json.RawMessage("{}")
	}
	return s
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
// understand it. Of an answer that is longer than most it may be a part.
func encodeResponse(uid string, q *request, a *thinkws.Envelope, most int) []byte {
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
	return encodeAnswer(uid, q, a, most)
}

// encodeTooLarge tells a server of this library that the answer to q is longer than most.
func encodeTooLarge(uid string, q *request, most int) []byte {
	answer := response{UID: uid, ID: q.ID, Type: q.Type, None: true, TooLarge: most}
	if q.Type == typeEmit { // it is that of one client
		answer.Type, answer.Clients, answer.None = typeClientsGone, -1, false
	}
	return marshal(answer)
}

func encodeAnswer(uid string, q *request, a *thinkws.Envelope, most int) []byte {
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
		return encodeSockets(uid, q.ID, a.Members, most)
	}
}

// encodeSockets is the wire form of the answer to typeFetch. It ends early when it is longer than
// most: that of many clients could take more memory than there is.
func encodeSockets(uid, id string, members []thinkws.Member, most int) []byte {
	b := appendQuoted([]byte(`{"uid":`), uid)
	b = appendQuoted(append(b, `,"requestId":`...), id)
	b = append(b, `,"sockets":[`...)
	for i, m := range members {
		if len(b) > most {
			break
		}
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, marshal(wireSocketOf(m))...)
	}
	return append(b, "]}"...)
}

// encodeAck is the wire form of a client's answer: the first argument, for that is all
// others know, and if that is not all, all.
func encodeAck(uid, id string, args thinkws.Payload) []byte {
	n := uint32(4)
	if args.Count != 1 {
		n++
	}
	b := msgp.AppendMapHeader(nil, n)
	b = msgp.AppendString(msgp.AppendString(b, "uid"), uid)
	b = msgp.AppendInt(msgp.AppendString(b, "type"), typeClientAck)
	b = msgp.AppendString(msgp.AppendString(b, "requestId"), id)
	b = msgp.AppendString(b, "packet")
	if first, ok := args.At(0); ok {
		b = appendPayload(b, first)
	} else {
		b = msgp.AppendNil(b)
	}
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
		data, err := checkJSON(data)
		if err != nil {
			return "", err
		}
		rest, _ := without(data, "data", "sockets")
		err = json.Unmarshal(rest, &head)
		return head.ID, err
	}
	r := reader{rest: data}
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
	if !isJSON(data) {
		err := a.unpack(data)
		return a, err
	}
	data, err := checkJSON(data)
	if err != nil {
		return nil, err
	}
	rest, deep := without(data, "data", "sockets")
	if err := json.Unmarshal(rest, a); err != nil {
		return nil, err
	}
	a.data = deep["data"]
	a.sockets, err = decodeSockets(deep["sockets"])
	return a, err
}

var errNoSocket = errors.New("a client is not an object")

// decodeSockets reads the clients in an answer, nil if it is about something else.
func decodeSockets(list []byte) ([]wireSocket, error) {
	if len(list) == 0 || list[0] != '[' {
		return nil, nil
	}
	values, err := session.Elements(list)
	if err != nil {
		return nil, err
	}
	sockets := make([]wireSocket, values.Count)
	for i, text := range values.Values() {
		if err := sockets[i].decode(text); err != nil {
			return nil, err
		}
	}
	return sockets, nil
}

func (s *wireSocket) decode(text []byte) error {
	text = bytes.TrimSpace(text)
	if !isJSON(text) {
		return errNoSocket
	}
	rest, deep := without(text, "data", "handshake")
	if err := json.Unmarshal(rest, s); err != nil {
		return err
	}
	s.Data = bytes.Clone(deep["data"]) // it may be kept, and the answer is long
	rest, deep = without(deep["handshake"], "auth")
	err := json.Unmarshal(rest, &s.Handshake)
	s.Handshake.Auth = bytes.Clone(deep["auth"])
	return err
}

// unpack reads an answer of typeClientAck.
func (a *response) unpack(data []byte) error {
	r := reader{rest: data}
	whole := false
	return r.fields(func(key string) (err error) {
		switch key {
		case "type":
			a.Type, err = r.kind()
		case "requestId":
			a.ID, err = r.text()
		case "uid":
			a.UID, err = r.sender()
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

// marshal is for structures that cannot fail.
func marshal(v any) []byte {
	text, _ := json.Marshal(v)
	return text
}
