package redisbus

import (
	"strconv"
	"strings"
)

// channels names the channels of one namespace, as Node's adapters do.
type channels struct {
	namespace string
	broadcast string // and, followed by a room and #, those of rooms
	request   string
	response  string // and, followed by the uid of a node and #, that of the node
}

func (c *config) channels(namespace string) channels {
	return channels{
		namespace: namespace,
		broadcast: c.prefix + "#" + namespace + "#",
		request:   c.prefix + "-request#" + namespace + "#",
		response:  c.prefix + "-response#" + namespace + "#",
	}
}

// longestRoom has a channel of its own, in bytes. Longer ones share that of the namespace.
const longestRoom = 256

// forRooms is the channel for clients in any of rooms.
func (c channels) forRooms(rooms []string) string {
	if len(rooms) == 1 && rooms[0] != "" && len(rooms[0]) <= longestRoom {
		return c.broadcast + rooms[0] + "#"
	}
	return c.broadcast
}

// room is the room that a channel of the namespace is for, "" for all; false if it is none
// of the namespace's channels, which a pattern may let through.
func (c channels) room(channel string) (string, bool) {
	room, ok := strings.CutPrefix(channel, c.broadcast)
	if !ok || room == "" {
		return "", ok
	}
	return strings.CutSuffix(room, "#")
}

// ofNode is the channel for answers to one node.
func (c channels) ofNode(uid string) string { return c.response + uid + "#" }

// node returns the uid in a channel of ofNode, and false if it is none: a uid is not empty and
// has no # in it.
func (c channels) node(channel string) (uid string, ok bool) {
	uid, ok = strings.CutPrefix(channel, c.response)
	if !ok {
		return "", false
	}
	uid, ok = strings.CutSuffix(uid, "#")
	return uid, ok && uid != "" && !strings.Contains(uid, "#")
}

// requestsBelow is the channel for requests of the namespace whose channel for answers is
// that of the server with this uid.
func (c channels) requestsBelow(uid string) string { return c.request + uid + "#" }

// pattern matches the namespace's channel for broadcasts and those of all rooms.
func (c channels) pattern() string { return escape(c.broadcast) + "*" }

// nodes matches the channels of all nodes.
func (c channels) nodes() string { return escape(c.response) + "*#" }

// topics are what a node subscribes to for the namespace. The last one is that by which
// nodes are counted: who is there is heard by all the others.
func (c channels) topics(uid string) []topic {
	return []topic{
		{c.pattern(), true},
		{c.ofNode(uid), false},
		{c.response, false},
		{c.request, false},
	}
}

// escape takes their meaning from the characters that Redis's patterns give one.
func escape(s string) string { return globs.Replace(s) }

var globs = strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`, `]`, `\]`)

// isNumber reports whether a room's name is a whole number as JavaScript writes it. Rooms of
// Node.js may be numbers, which are not the same as their names there.
func isNumber(room string) bool {
	const most = 1 << 53
	n, err := strconv.ParseInt(room, 10, 64)
	return err == nil && n <= most && n >= -most && strconv.FormatInt(n, 10) == room
}
