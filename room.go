package thinkws

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/seed-ce09063a/thinkws/internal/serial"
	"github.com/seed-ce09063a/thinkws/internal/session"
)

// space is a namespace and who is in it.
type space struct {
	hub     *Hub
	name    string
	table   *table
	lastAck atomic.Uint64        // the next id for a question to clients
	heard   chan struct{}        // closed when what other nodes send is heard; nil without others
	events  serial.Queue[func()] // of other nodes, for this one
	dynamic bool                 // goes with its last client
	from    netip.Prefix         // of a dynamic one: the network of the client that was the first in it
	users   int                  // clients in it or about to enter; protected by hub.mu

	mu      sync.RWMutex // protects what follows, and slot and rooms of each Socket
	sockets map[string]*Socket
	all     []*Socket
	rooms   map[string]*room
	most    int // rooms since they were moved; see deleteRoom
}

// room is a set of sockets. Its space's mu protects it.
type room struct {
	name    string
	members []*Socket // dense, so that a broadcast runs through memory in order
}

// serverEvents is how many bytes of events of other servers may wait, whatever clients may send: several of
// the largest that a bus takes, which nobody is told of if they do not fit.
const serverEvents = 64 << 20

func newSpace(h *Hub, name string, t *table) *space {
	sp := &space{hub: h, name: name, table: t, sockets: map[string]*Socket{}, rooms: map[string]*room{}}
	limit := h.cfg.receiveQueue
	limit.Bytes = max(limit.Bytes, serverEvents)
	sp.events = serial.NewQueue(h.tasks, nil, limit, func(run func()) { run() })
	return sp
}

// add lets s in: from now on what is broadcast reaches it. It is false if the client
// has left meanwhile.
func (sp *space) add(s *Socket) bool {
	sp.mu.Lock()
	defer sp.mu.Unlock()
	if !s.admitted() {
		return false
	}
	s.slot = len(sp.all)
	sp.all = append(sp.all, s)
	sp.sockets[s.id] = s
	return true
}

// remove takes s out of the namespace and its rooms, for good: a Join that comes
// later fails. It is false if that was done before.
func (sp *space) remove(s *Socket, reason string) bool {
	sp.mu.Lock()
	defer sp.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone {
		return false
	}
	s.gone, s.reason = true, reason
	for r := range s.rooms.rooms() {
		e := s.extraLocked()
		e.left = append(e.left, r.name)
		sp.drop(s, r)
	}
	if s.inside {
		sp.dropFromAll(s)
	}
	if sp.sockets[s.id] == s { // clients of revision 3 come back under the same id
		delete(sp.sockets, s.id)
	}
	return true
}

func (sp *space) dropFromAll(s *Socket) {
	last := len(sp.all) - 1
	moved := sp.all[last]
	sp.all[s.slot] = moved
	moved.slot = s.slot
	sp.all[last] = nil
	sp.all = sp.all[:last]
}

// join puts s into rooms, all or none. It may be called before s has been added.
func (sp *space) join(s *Socket, names []string) error {
	sp.mu.Lock()
	defer sp.mu.Unlock()
	if s.isGone() {
		return ErrClosed
	}
	if s.rooms.len()+len(names) > sp.hub.cfg.maxRooms {
		fresh := 0
		for _, name := range unique(names) {
			if !sp.in(s, name) {
				fresh++
			}
		}
		if s.rooms.len()+fresh > sp.hub.cfg.maxRooms {
			return sp.hub.tooManyRooms()
		}
	}
	for _, name := range names {
		if !sp.in(s, name) {
			sp.enter(s, name)
		}
	}
	return nil
}

// checkRooms refuses more rooms than any client may be in, also on behalf of other servers.
func (h *Hub) checkRooms(names []string) error {
	if len(names) <= h.cfg.maxRooms || len(unique(names)) <= h.cfg.maxRooms {
		return nil
	}
	return h.tooManyRooms()
}

func unique(names []string) []string { return slices.Compact(slices.Sorted(slices.Values(names))) }

func (h *Hub) tooManyRooms() error {
	h.tally.Count(session.LimitRooms)
	return fmt.Errorf("%w rooms: the limit is %d", ErrTooMany, h.cfg.maxRooms)
}

func (sp *space) enter(s *Socket, name string) {
	r := sp.rooms[name]
	if r == nil {
		r = &room{name: name}
		sp.rooms[name] = r
		sp.most = max(sp.most, len(sp.rooms))
	}
	s.rooms.take(r, len(r.members))
	r.members = append(r.members, s)
}

func (sp *space) leave(s *Socket, names []string) {
	sp.mu.Lock()
	defer sp.mu.Unlock()
	for _, name := range names {
		if r := sp.rooms[name]; r != nil {
			sp.drop(s, r)
		}
	}
}

// drop takes s out of r by moving the last member into its place.
func (sp *space) drop(s *Socket, r *room) {
	at, ok := s.rooms.at(r)
	if !ok {
		return
	}
	last := len(r.members) - 1
	moved := r.members[last]
	r.members[at] = moved
	moved.rooms.take(r, at)
	r.members[last] = nil
	r.members = r.members[:last]
	s.rooms.leave(r)
	if last == 0 {
		sp.deleteRoom(r.name)
	}
}

// deleteRoom forgets a room. A map keeps the memory that it once needed, and clients decide how many rooms there are. So
// if few of many are left, they move to another map.
func (sp *space) deleteRoom(name string) {
	const few, part = 128, 8
	delete(sp.rooms, name)
	if sp.most < few || len(sp.rooms) > sp.most/part {
		return
	}
	rest := make(map[string]*room, len(sp.rooms))
	maps.Copy(rest, sp.rooms)
	sp.rooms, sp.most = rest, len(rest)
}

// in reports whether s is in the room, or the room is its own id.
func (sp *space) in(s *Socket, name string) bool {
	if name == s.id {
		return true
	}
	r := sp.rooms[name]
	if r == nil {
		return false
	}
	_, ok := s.rooms.at(r)
	return ok
}

func (sp *space) roomsOf(s *Socket) []string {
	sp.mu.RLock()
	defer sp.mu.RUnlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone {
		return slices.Clone(s.hasLocked().left)
	}
	names := make([]string, 0, s.rooms.len())
	for r := range s.rooms.rooms() {
		names = append(names, r.name)
	}
	return names
}

// collect appends to found the sockets that are in any of rooms, or all if rooms is
// empty, and in none of except.
func (sp *space) collect(found []*Socket, rooms, except []string) []*Socket {
	sp.mu.RLock()
	defer sp.mu.RUnlock()
	switch len(rooms) {
	case 0:
		found = append(found, sp.all...)
	case 1:
		found = sp.appendRoom(found, rooms[0])
	default:
		for _, name := range rooms {
			found = sp.appendRoom(found, name)
		}
		found = distinct(found)
	}
	if len(except) == 0 {
		return found
	}
	return slices.DeleteFunc(found, func(s *Socket) bool {
		return slices.ContainsFunc(except, func(name string) bool { return sp.in(s, name) })
	})
}

func (sp *space) appendRoom(found []*Socket, name string) []*Socket {
	if s := sp.sockets[name]; s != nil {
		found = append(found, s)
	}
	if r := sp.rooms[name]; r != nil {
		found = append(found, r.members...)
	}
	return found
}

func distinct(sockets []*Socket) []*Socket {
	seen := make(map[*Socket]struct{}, len(sockets))
	return slices.DeleteFunc(sockets, func(s *Socket) bool {
		_, twice := seen[s]
		seen[s] = struct{}{}
		return twice
	})
}

// broadcast sends m to sockets. What a single client did not get is reported where it
// happens: a slow client is disconnected, one that has left has its action "close". What
// cannot be said in the protocol of some clients is logged once.
func (sp *space) broadcast(m *session.Message, sockets []*Socket) {
	if len(sockets) > fewClients {
		m.Round = new(session.Round)
		defer sp.hub.sweeper.sweep(m.Round)
	}
	var failed error
	for _, s := range sockets {
		if err := s.send(m); !ordinary(err) {
			failed = err
		}
	}
	if failed != nil {
		sp.hub.log().Error("event not sent to some clients", "event", m.Name, "namespace", sp.name, "error", failed)
	}
}
