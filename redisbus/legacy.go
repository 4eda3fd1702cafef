package redisbus

import (
	"slices"

	"github.com/seed-ce09063a/thinkws"
)

// Types of requests of socket.io-redis 5, the adapter of Socket.IO 2. It writes "requestid"
// where its successors write "requestId", by which they are told from those.
const (
	oldClients = iota
	oldClientRooms
	oldAllRooms
	oldJoin
	oldLeave
	oldCustom
	oldDisconnect
)

// oldAnswer is an answer to one of them.
type oldAnswer struct {
	ID string `json:"requestid"`
}

// oldRequest does what a node of Socket.IO 2 asks for. Its requests are about one client
// where those of others are about a target.
func (l *link) oldRequest(c channels, q *request) {
	answer := func(v any) { _ = l.answer(c.response, marshal(v)) } // an error has been logged
	switch q.Type {
	case oldClients:
		ids := []string{}
		for _, m := range l.members(c, names(q.Rooms)) {
			ids = append(ids, m.ID)
		}
		answer(struct {
			oldAnswer
			Clients []string `json:"clients"`
		}{oldAnswer{q.OldID}, ids})
	case oldAllRooms:
		l.node.Deliver(&thinkws.Envelope{Kind: thinkws.BusRooms, Namespace: c.namespace}, func(a *thinkws.Envelope) {
			answer(struct {
				oldAnswer
				Rooms []string `json:"rooms"`
			}{oldAnswer{q.OldID}, append([]string{}, a.Names...)})
		})
	case oldCustom: // a hook that nobody has set answers this
		answer(struct {
			oldAnswer
			Data any `json:"data"`
		}{oldAnswer{q.OldID}, nil})
	default:
		l.oldClientRequest(c, q, answer)
	}
}

// oldClientRequest is for the node that has the client: others do not answer.
func (l *link) oldClientRequest(c channels, q *request, answer func(any)) {
	members := l.members(c, []string{q.SID})
	i := slices.IndexFunc(members, func(m thinkws.Member) bool { return m.ID == q.SID })
	if i < 0 {
		return
	}
	e := &thinkws.Envelope{Namespace: c.namespace, Rooms: []string{q.SID}, Names: []string{string(q.Room)}}
	switch q.Type {
	case oldClientRooms:
		answer(struct {
			oldAnswer
			Rooms []string `json:"rooms"`
		}{oldAnswer{q.OldID}, members[i].Rooms})
		return
	case oldJoin:
		e.Kind = thinkws.BusJoin
	case oldLeave:
		e.Kind = thinkws.BusLeave
	case oldDisconnect:
		e.Kind, e.Names, e.Whole = thinkws.BusDisconnect, nil, q.Close
	default:
		return
	}
	l.node.Deliver(e, nil)
	answer(oldAnswer{q.OldID})
}

// oneClient does what a node of socket.io-redis 6 wants of one client. The node that has it
// answers.
func (l *link) oneClient(c channels, q *request, e *thinkws.Envelope) {
	if !slices.ContainsFunc(l.members(c, e.Rooms), func(m thinkws.Member) bool { return m.ID == q.SID }) {
		return
	}
	l.node.Deliver(e, nil)
	if q.ID != "" {
		_ = l.answer(c.response, marshal(struct { // an error has been logged
			ID string `json:"requestId"`
		}{q.ID}))
	}
}

// members asks the hub of this node who is in rooms.
func (l *link) members(c channels, rooms []string) (members []thinkws.Member) {
	l.node.Deliver(&thinkws.Envelope{Kind: thinkws.BusSockets, Namespace: c.namespace, Rooms: rooms},
		func(a *thinkws.Envelope) { members = a.Members })
	return members
}
