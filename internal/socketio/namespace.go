package socketio

import (
	"encoding/json"
	"maps"
	"net/url"
	"sync/atomic"

	"github.com/seed-ce09063a/thinkws/internal/session"
)

// States of a namespace. It starts as the first and never goes back.
const (
	statePending uint32 = iota // the hub has not answered yet
	stateJoined
	stateRefused // by the hub, which is told nothing more
	stateGone    // left or closed
)

// namespace is the stay of a client in one namespace, from its CONNECT on: the way
// back from the hub. It is safe for concurrent use.
type namespace struct {
	client *client
	name   string
	id     string        // of the socket
	state  atomic.Uint32 // written under client.mu

	// protected by client.mu
	receiver session.Receiver // nil until Admit has returned
	waiting  *session.Peer    // to be admitted when there is a slot; nil if it has one
	reason   string           // why it is gone
}

var _ session.Conn = (*namespace)(nil)

func newNamespace(c *client, name []byte) *namespace {
	n := &namespace{client: c, name: mainSpace}
	if string(name) != mainSpace {
		n.name = string(name)
	}
	switch {
	case c.engine.Revision() != 3:
		n.id = session.NewID()
	case n.name == mainSpace: // clients of revision 3 work their ids out themselves
		n.id = c.engine.ID()
	default:
		n.id = n.name + "#" + c.engine.ID()
	}
	return n
}

// admit asks the hub. The answer may come before the hub's method returns, and so
// may the end of the connection.
func (n *namespace) admit(p session.Peer) {
	r := n.client.server.hub.Admit(p)
	n.client.mu.Lock()
	n.receiver = r
	gone := n.state.Load() == stateGone
	n.client.mu.Unlock()
	if gone {
		n.report()
	}
}

// peer describes the client as the hub needs it.
func (n *namespace) peer(p *packet) session.Peer {
	e := n.client.engine
	peer := session.Peer{ID: n.id, Namespace: n.name, Auth: p.auth, Handshake: e.Handshake(), Conn: n, Flow: e.Flow()}
	if e.Revision() != 3 {
		return peer
	}
	peer.Auth = nil // such clients have a query in its place
	if len(p.query) == 0 {
		return peer
	}
	query, _ := url.ParseQuery(string(p.query)) // what cannot be read is left out
	peer.Auth = firstValues(query)
	r := peer.Handshake.Request()
	merged := r.URL.Query()
	maps.Copy(merged, query)
	u := *r.URL
	u.RawQuery = merged.Encode()
	r = r.WithContext(r.Context())
	r.URL, r.Form = &u, nil
	peer.Handshake = session.Keep(r)
	return peer
}

// firstValues returns the first value of each key as a JSON object.
func firstValues(query url.Values) json.RawMessage {
	object := make(map[string]string, len(query))
	for key := range query {
		object[key] = query.Get(key)
	}
	text, _ := json.Marshal(object) // strings always have a JSON form
	return text
}

// Accept implements session.Conn.
func (n *namespace) Accept() {
	n.client.out.Lock()
	defer n.client.out.Unlock()
	if !n.join() {
		return
	}
	var payload []byte
	if n.client.engine.Revision() != 3 {
		payload = append(appendQuoted([]byte(`{"sid":`), n.id), '}')
	}
	n.send(typeConnect, payload)
}

// join reports whether n was pending.
func (n *namespace) join() bool {
	c := n.client
	c.mu.Lock()
	defer c.mu.Unlock()
	if n.state.Load() != statePending {
		return false
	}
	n.state.Store(stateJoined)
	c.stopUnadmittedLocked()
	return true
}

// Refuse implements session.Conn.
func (n *namespace) Refuse(f *session.Failure) {
	c := n.client
	c.out.Lock()
	defer c.out.Unlock()
	if n.state.Load() != statePending || !c.remove(n, stateRefused, "") {
		return
	}
	c.forgive()
	n.send(typeConnectError, refusal(f, c.engine.Revision()))
}

// refusal returns the payload of CONNECT_ERROR: an object, or in revision 3 just
// the data or, for want of data, the text.
func refusal(f *session.Failure, revision int) []byte {
	data := f.Data
	if !json.Valid(data) {
		data = nil // a mistake of the application, which must not keep the client waiting
	}
	if revision != 3 {
		payload, _ := marshal(failureJSON{Message: f.Message, Data: data}) // valid, so it has a JSON form
		return payload
	}
	if data == nil {
		return appendQuoted(nil, f.Message)
	}
	return data
}

// Send implements session.Conn. An event that nobody has registered gets no answer, as from Node.js: clients take
// whatever comes as an ack for success, and those that retry would stop.
//
// A broadcast takes two locks for each client here: client.out, and that of the connection's queue.
func (n *namespace) Send(m *session.Message) error {
	if m.Failure != nil && m.Failure.Unheard {
		return nil
	}
	c := n.client
	frames, err := m.Frames(codecOf(c.engine.Variant()))
	if err != nil {
		return err
	}
	c.out.Lock()
	defer c.out.Unlock()
	if n.state.Load() != stateJoined {
		return session.ErrClosed
	}
	return c.engine.Send(frames, m.Volatile)
}

// Leave implements session.Conn. The client may come back.
func (n *namespace) Leave(reason string) {
	c := n.client
	group := c.server.cfg.Group
	group.Begin() // who waits for the group sees no gap before reportAll
	defer group.End()
	c.out.Lock()
	left := c.remove(n, stateGone, reason)
	if left {
		c.forgive()
		n.send(typeDisconnect, nil)
	}
	c.out.Unlock()
	if left {
		c.reportAll([]*namespace{n})
	}
}

// Close implements session.Conn.
func (n *namespace) Close(reason string) { n.client.close(reason) }

// Transport implements session.Conn.
func (n *namespace) Transport() string { return n.client.engine.Transport() }

// Released implements session.Conn.
func (n *namespace) Released() { n.client.vacate() }

// report tells the hub once that n is gone. If Admit has not returned yet there is
// nobody to tell: admit will. No lock is held, for the hub takes its own.
func (n *namespace) report() {
	n.client.mu.Lock()
	r, reason := n.receiver, n.reason
	n.receiver = nil
	n.client.mu.Unlock()
	if r != nil {
		r.Closed(reason)
	}
}

// send queues a packet of the protocol itself. If that fails the session is closing,
// and Closed will say so. client.out is held.
func (n *namespace) send(kind packetType, payload []byte) {
	_ = n.client.engine.Send([]session.Frame{n.frame(kind, payload)}, false)
}

func (n *namespace) frame(kind packetType, payload []byte) session.Frame {
	v := n.client.engine.Variant()
	text := v.Text(session.Room(v.TextSize(maxHead + len(n.name) + len(payload))))
	return session.TextOf(append(appendHeader(text, kind, 0, n.name, ""), payload...))
}
