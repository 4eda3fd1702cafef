package servers

import (
	"bytes"
	"net/http"
	"slices"
	"sync"
)

// lobby is the rooms of a server that has none by itself.
type lobby[C comparable] struct {
	mu    sync.RWMutex // protects rooms
	rooms map[string][]C
}

func (l *lobby[C]) enter(room string, c C) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.rooms == nil {
		l.rooms = map[string][]C{}
	}
	l.rooms[room] = append(l.rooms[room], c)
}

func (l *lobby[C]) leave(room string, c C) {
	l.mu.Lock()
	defer l.mu.Unlock()
	members := l.rooms[room]
	if i := slices.Index(members, c); i >= 0 {
		members[i] = members[len(members)-1]
		l.rooms[room] = members[:len(members)-1]
	}
}

// each calls send for every client in room. It holds a lock for reading meanwhile,
// which a real server should not: it is the cheapest way.
func (l *lobby[C]) each(room string, send func(C)) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	for _, c := range l.rooms[room] {
		send(c)
	}
}

// everyone is the room of clients that name none.
const everyone = "everyone"

func roomOf(r *http.Request) string {
	if room := r.URL.Query().Get("room"); room != "" {
		return room
	}
	return everyone
}

var broadcastPrefix = []byte(`42["b"`)

// isBroadcast reports whether a raw text message is for everybody in the room.
func isBroadcast(message []byte) bool { return bytes.HasPrefix(message, broadcastPrefix) }
