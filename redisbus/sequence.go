package redisbus

import (
	"encoding/binary"
	"math"
	"math/bits"
	"strings"
	"sync"

	"github.com/tinylib/msgp/msgp"
)

// Broadcasts of this library are numbered for each namespace of each node, in a fourth element of
// the list that other adapters do not look at. So a node learns what it has missed. Redis does not
// know: it forgets the output of a connection that ends.
//
// The number is a uint64 in its longest form, so that it can be read and written without
// the rest.
const (
	numberHead = 0xcf
	numberLen  = 9
	unnumbered = math.MaxUint64 // for none; Socket.IO 2 would send on what has 0 there
)

// appendNumberRoom appends room for a number, the first 1: 0 would not be one.
func appendNumberRoom(b []byte) []byte { return append(b, numberHead, 0, 0, 0, 0, 0, 0, 0, 1) }

func setNumber(b []byte, n uint64) { binary.BigEndian.PutUint64(b[len(b)-8:], n) }

// numberOf returns the sender of a broadcast and its number; 0 if it has none.
func numberOf(data []byte) (uid string, n uint64) {
	if len(data) < numberLen || data[0] != 0x94 || data[len(data)-numberLen] != numberHead {
		return "", 0
	}
	name, _, err := readText(data[1:])
	if err != nil || !isOurs(string(name)) {
		return "", 0
	}
	if n = binary.BigEndian.Uint64(data[len(data)-8:]); n == unnumbered {
		n = 0
	}
	return string(name), n
}

// maxSenders bounds how many nodes, each namespace counted, sequences are kept of, and for
// how many namespaces a node numbers what it sends.
const maxSenders = 10_000

// sender is a node in a namespace.
type sender struct{ uid, namespace string }

// sequences are the numbers up to which the broadcasts of others are known.
type sequences struct {
	mu   sync.Mutex                   // protects what follows
	last map[string]map[string]uint64 // by namespace and uid
	size int                          // of all namespaces together
}

// reached takes the number of a broadcast that has arrived, or that the sender says to be its last.
// It returns how many are missing before it. A broadcast is late if a later one was before it: it
// has been counted as missing, and would be out of order. That happens if Redis, or one server of a
// cluster, stops for a while and then executes what it had received before.
func (s *sequences) reached(from sender, n uint64, arrived bool) (missing uint64, late bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	last, known := s.last[from.namespace][from.uid]
	switch {
	case !known:
		last = n // what was before we cannot know
		if arrived {
			last--
		}
		s.makeRoomLocked(from.namespace)
	case n <= last:
		return 0, true
	}
	s.last[from.namespace][from.uid] = n
	if missing = n - last; arrived {
		missing--
	}
	return missing, false
}

// makeRoomLocked makes room for another sender in a namespace. s.mu must be held.
func (s *sequences) makeRoomLocked(namespace string) {
	if s.last == nil || s.size >= maxSenders {
		s.last, s.size = map[string]map[string]uint64{}, 0
	}
	if s.last[namespace] == nil {
		s.last[namespace] = map[string]uint64{}
	}
	s.size++
}

// forget drops what is known of a node that has left.
func (s *sequences) forget(uid string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, senders := range s.last {
		if _, known := senders[uid]; known {
			delete(senders, uid)
			s.size--
		}
	}
}

// leave drops what is known of a namespace that is not subscribed to any more: what is sent there
// from now on is not missed.
func (s *sequences) leave(namespace string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.size -= len(s.last[namespace])
	delete(s.last, namespace)
}

// numbers are those of our own broadcasts. The publisher's mu protects them.
type numbers struct {
	last   map[string]uint64 // by namespace
	silent map[string]uint   // how many probes ago the last one was sent, if it has to be told

	exhausted bool // a namespace had no room in last
}

func (n *numbers) next(namespace string) uint64 {
	if n.last == nil {
		n.last, n.silent = map[string]uint64{}, map[string]uint{}
	}
	switch {
	case !numbered(namespace):
		return unnumbered
	case n.last[namespace] == 0 && len(n.last) >= maxSenders:
		n.exhausted = true
		return unnumbered
	}
	n.last[namespace]++
	n.silent[namespace] = 0
	return n.last[namespace]
}

// numbered reports whether broadcasts in a namespace have numbers. The channel of a namespace with
// a # is also that of a room in another one, where they would be counted.
func numbered(namespace string) bool { return !strings.Contains(namespace, "#") }

// toldFor is how many probes long the last number is told. Others need some seconds to notice that
// they hear nothing.
const toldFor = 16

// due returns the namespaces whose last number is told now: 1, 2, 4, 8 and 16 probes after it.
func (n *numbers) due() (namespaces []string) {
	for namespace, ago := range n.silent {
		ago++
		if n.silent[namespace] = ago; bits.OnesCount(ago) == 1 {
			namespaces = append(namespaces, namespace)
		}
		if ago >= toldFor {
			delete(n.silent, namespace)
		}
	}
	return namespaces
}

// again lets the last number of a namespace be told once more from the beginning.
func (n *numbers) again(namespaces []string) {
	for _, namespace := range namespaces {
		n.silent[namespace] = 0
	}
}

// A mark tells others what the last number was, once nothing more has come for a while. It goes
// over the channel of goodbyes, and a goodbye is one without a namespace.

func encodeMark(uid, namespace string, n uint64) []byte {
	b := msgp.AppendArrayHeader(nil, 3)
	b = msgp.AppendString(b, uid)
	b = msgp.AppendString(b, namespace)
	return msgp.AppendUint64(b, n)
}

func encodeGoodbye(uid string) []byte { return encodeMark(uid, "", 0) }

func decodeMark(data []byte) (from sender, n uint64, err error) {
	r := reader{rest: data}
	length, err := r.list()
	if err != nil || length < 3 {
		return from, 0, errNoRequest
	}
	if from.uid, err = r.text(); err != nil {
		return from, 0, err
	}
	if from.namespace, err = r.text(); err != nil {
		return from, 0, err
	}
	n, _, err = msgp.ReadUint64Bytes(r.rest)
	if err == nil && (!isOurs(from.uid) || from.namespace != "" && !strings.HasPrefix(from.namespace, "/")) {
		err = errNoRequest
	}
	return from, n, err
}
