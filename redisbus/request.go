package redisbus

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tinylib/msgp/msgp"

	"github.com/seed-ce09063a/thinkws"
	"github.com/seed-ce09063a/thinkws/internal/session"
)

// Types of requests and answers.
const (
	typeSockets     = 0 // of nodes before version 8: ids only
	typeRooms       = 1
	typeJoin        = 2
	typeLeave       = 3
	typeDisconnect  = 4
	typeFetch       = 5
	typeServerEmit  = 6
	typeEmit        = 7 // an event that clients have to answer
	typeClientCount = 8
	typeClientAck   = 9
	typeClientsGone = 10 // between nodes of this library: clients that have left without an answer
)

// request is what one node wants of the others: a JSON object or, if there may be binary
// in it, a map of MessagePack.
type request struct {
	UID  string `json:"uid,omitempty"`
	ID   string `json:"requestId,omitempty"`
	Type int    `json:"type"`

	Opts  *opts  `json:"opts,omitempty"`
	Rooms []room `json:"rooms,omitempty"` // to join or leave; of typeSockets: to look in
	Close bool   `json:"close,omitempty"`
	Data  []byte `json:"-"`              // of typeServerEmit: a list of the event's name and its arguments
	SID   string `json:"sid,omitempty"`  // the old form of typeJoin, typeLeave and
	Room  room   `json:"room,omitempty"` // typeDisconnect: one client, one room, and an answer
	OldID string `json:"requestid,omitempty"`

	event *thinkws.Envelope // of typeEmit
}

// opts is whom a request is about.
type opts struct {
	Rooms  []room `json:"rooms"`
	Except []room `json:"except"`
}

// room is a name, which others may write as a number.
type room string

// UnmarshalJSON implements json.Unmarshaler.
func (r *room) UnmarshalJSON(text []byte) error {
	if len(text) > 0 && text[0] == '"' {
		return json.Unmarshal(text, (*string)(r))
	}
	*r = room(text)
	return nil
}

func names(rooms []room) []string {
	if len(rooms) == 0 {
		return nil
	}
	list := make([]string, 0, len(rooms))
	for _, r := range rooms {
		if n := len(list); n == 0 || list[n-1] != string(r) { // as of reader.rooms
			list = append(list, string(r))
		}
	}
	return list
}

// encodeRequest is the wire form of what e asks of the other nodes. id is "" if no answer
// is wanted.
func (c *config) encodeRequest(uid, id string, e *thinkws.Envelope) ([]byte, error) {
	b := append([]byte(nil), '{')
	if uid != "" {
		b = append(appendQuoted(append(b, `"uid":`...), uid), ',')
	}
	if id != "" {
		b = append(appendQuoted(append(b, `"requestId":`...), id), ',')
	}
	switch e.Kind {
	case thinkws.BusJoin:
		b = append(appendTarget(append(b, `"type":2,`...), e), `,"rooms":`...)
		b = appendNames(b, e.Names, false)
	case thinkws.BusLeave:
		b = append(appendTarget(append(b, `"type":3,`...), e), `,"rooms":`...)
		b = appendNames(b, e.Names, true)
	case thinkws.BusDisconnect:
		b = append(appendTarget(append(b, `"type":4,`...), e), `,"close":`...)
		b = fmt.Append(b, e.Whole)
	case thinkws.BusSockets:
		b = appendTarget(append(b, `"type":5,`...), e)
	case thinkws.BusRooms:
		b = append(b, `"type":1`...)
	case thinkws.BusServerEmit:
		b = append(b, `"type":6,"data":`...)
		b = appendEvent(b, e)
	case thinkws.BusEmit:
		if !c.old {
			return encodeEmit(uid, id, e), nil
		}
		if len(e.Args.Parts) > 0 {
			return nil, errOldBinary
		}
		b = append(appendTarget(append(b, `"type":7,`...), e), `,"packet":{"type":2,"nsp":`...)
		b = append(appendQuoted(b, e.Namespace), `,"data":`...)
		b = append(appendEvent(b, e), '}')
	default:
		return nil, fmt.Errorf("redisbus: envelope of kind %d", e.Kind)
	}
	return append(b, '}'), nil
}

// appendTarget appends whom the request is about.
func appendTarget(b []byte, e *thinkws.Envelope) []byte {
	b = appendNames(append(b, `"opts":{"rooms":`...), e.Rooms, true)
	b = appendNames(append(b, `,"except":`...), e.Except, true)
	if e.Timeout > 0 {
		b = fmt.Appendf(b, `,"flags":{"timeout":%d}`, max(1, e.Timeout.Milliseconds()))
	}
	return append(b, '}')
}

// appendNames appends names of rooms, numbers both ways if asked to: see appendRooms.
func appendNames(b []byte, rooms []string, numbers bool) []byte {
	b = append(b, '[')
	for i, name := range rooms {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendQuoted(b, name)
		if numbers && isNumber(name) {
			b = append(append(b, ','), name...)
		}
	}
	return append(b, ']')
}

// appendEvent appends a list of an event's name and arguments, binary as base64.
func appendEvent(b []byte, e *thinkws.Envelope) []byte {
	b = appendQuoted(append(b, '['), e.Event)
	if e.Args.Count > 0 {
		b = append(append(b, ','), e.Args.JSON()...)
	}
	return append(b, ']')
}

// errOldBinary is the error for what would be text at clients of other servers.
var errOldBinary = errors.New("redisbus: WithSocketIO2: EmitAck takes no binary")

// encodeEmit is the wire form of an event that clients have to answer.
func encodeEmit(uid, id string, e *thinkws.Envelope) []byte {
	b := msgp.AppendMapHeader(nil, 5)
	b = msgp.AppendString(msgp.AppendString(b, "uid"), uid)
	b = msgp.AppendString(msgp.AppendString(b, "requestId"), id)
	b = msgp.AppendInt(msgp.AppendString(b, "type"), typeEmit)
	b = appendPacket(msgp.AppendString(b, "packet"), e, false)
	return appendOpts(msgp.AppendString(b, "opts"), e)
}

var errNoRequest = errors.New("no request")

// decodeRequest reads a request in either form.
func decodeRequest(namespace string, data []byte) (*request, error) {
	q := &request{Type: -1}
	if len(data) == 0 {
		return nil, errNoRequest
	}
	if !isJSON(data) {
		err := q.unpack(namespace, data)
		return q, err
	}
	data, err := checkJSON(data)
	if err != nil {
		return nil, err
	}
	rest, deep := without(data, "data", "packet")
	if err := json.Unmarshal(rest, q); err != nil {
		return nil, err
	}
	if q.Data = deep["data"]; q.Type == typeEmit {
		err = q.readPacket(namespace, rest, deep["packet"])
	}
	return q, err
}

// unpack reads a request as MessagePack. Only those of typeEmit come that way.
func (q *request) unpack(namespace string, data []byte) error {
	r := reader{rest: data}
	q.event = &thinkws.Envelope{Kind: thinkws.BusEmit, Namespace: namespace}
	err := r.fields(func(key string) (err error) {
		switch key {
		case "uid":
			q.UID, err = r.sender()
		case "requestId":
			q.ID, err = r.text()
		case "type":
			q.Type, err = r.kind()
		case "packet":
			err = r.packet(q.event)
		case "opts":
			_, err = r.opts(q.event)
		default:
			err = r.skip()
		}
		return err
	})
	if err == nil && (q.Type != typeEmit || q.event.Event == "") {
		err = errNoRequest
	}
	return err
}

// readPacket reads the event of a request as JSON.
func (q *request) readPacket(namespace string, rest, packet []byte) error {
	var whole struct {
		Opts struct {
			Flags struct {
				Timeout int64 `json:"timeout"`
			} `json:"flags"`
		} `json:"opts"`
	}
	if err := json.Unmarshal(rest, &whole); err != nil {
		return err
	}
	_, deep := without(packet, "data")
	name, args, err := splitEvent(deep["data"])
	if err != nil {
		return err
	}
	q.event = &thinkws.Envelope{Kind: thinkws.BusEmit, Namespace: namespace, Event: name, Args: args,
		Timeout: time.Duration(min(max(whole.Opts.Flags.Timeout, 0), maxTimeout.Milliseconds())) * time.Millisecond}
	q.address(q.event)
	return nil
}

// splitEvent parts the name of an event from its arguments in a list of JSON values.
func splitEvent(list []byte) (name string, args thinkws.Payload, err error) {
	if len(list) == 0 {
		return "", args, errNoEvent
	}
	values, err := session.Elements(list)
	if err != nil || values.Count == 0 {
		return "", args, errors.Join(err, errNoEvent)
	}
	first, args := values.First()
	err = json.Unmarshal(first.Text, &name)
	return name, args, err
}

func (q *request) address(e *thinkws.Envelope) {
	if q.Opts != nil {
		e.Rooms, e.Except = names(q.Opts.Rooms), names(q.Opts.Except)
	}
}

// envelope is what the request asks of the hub; nil if it is nothing that is known.
func (q *request) envelope(namespace string) *thinkws.Envelope {
	e := &thinkws.Envelope{Namespace: namespace}
	q.address(e)
	switch q.Type {
	case typeSockets:
		e.Kind, e.Rooms = thinkws.BusSockets, names(q.Rooms)
	case typeRooms:
		e.Kind = thinkws.BusRooms
	case typeJoin:
		e.Kind = thinkws.BusJoin
	case typeLeave:
		e.Kind = thinkws.BusLeave
	case typeDisconnect:
		e.Kind, e.Whole = thinkws.BusDisconnect, q.Close
	case typeFetch:
		e.Kind = thinkws.BusSockets
	case typeServerEmit:
		var err error
		e.Kind = thinkws.BusServerEmit
		if e.Event, e.Args, err = splitEvent(q.Data); err != nil {
			return nil
		}
	case typeEmit:
		return q.event
	default:
		return nil
	}
	if q.Type == typeJoin || q.Type == typeLeave {
		e.Names = names(q.Rooms)
	}
	if q.aboutOne() {
		if q.SID == "" {
			return nil // without a target it would be everybody
		}
		e.Rooms, e.Names = []string{q.SID}, []string{string(q.Room)}
	}
	return e
}

// aboutOne reports whether the request has the form of before version 6.1: about one client, and
// answered.
func (q *request) aboutOne() bool {
	return q.Type >= typeJoin && q.Type <= typeDisconnect && q.Opts == nil
}

// aroundValues is how many levels messages add around values at most.
const aroundValues = 8

// checkJSON returns a message that is JSON as other functions may read it: in UTF-8, and no deeper
// than what servers send.
func checkJSON(data []byte) ([]byte, error) {
	return session.Clean(data, session.MaxDepth+aroundValues)
}

// without returns the JSON object that text is without the members that keys name, and those members.
// Their values may be nested deeper than encoding/json follows. Of text that is no object nothing is
// left.
func without(text []byte, keys ...string) (rest []byte, taken map[string][]byte) {
	rest = append(make([]byte, 0, 256), '{')
	taken = map[string][]byte{}
	if isJSON(text) {
		session.EachMember(text, func(key, value []byte) {
			if slices.Contains(keys, string(key)) {
				taken[string(key)] = value
				return
			}
			if len(rest) > 1 {
				rest = append(rest, ',')
			}
			rest = append(append(appendQuoted(rest, key), ':'), value...)
		})
	}
	return append(rest, '}'), taken
}

// isJSON reports whether a message is JSON: Node's adapters go by the first byte.
func isJSON(data []byte) bool { return bytes.HasPrefix(data, []byte{'{'}) }
