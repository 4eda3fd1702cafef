package stickiness

import (
	"cmp"
	"net/http"
	"net/netip"
	"slices"
)

// Load is a node and what it has to do at the moment, as a [Dispatcher] sees it.
type Load struct {
	Node
	Active int  // requests and WebSockets that the dispatcher has sent there
	Failed bool // it did not answer last time
}

// Policy chooses the node for a request, by its id; "" leaves that to the next policy. The
// nodes are in the order of their ids, there is one at least, and they must not be
// changed. It is called by many goroutines and must not block.
type Policy func(r *http.Request, nodes []Load) string

// BySession goes by the session of a request: the node in the id of Socket.IO, and for SockJS
// over HTTP the one that [Rendezvous] says, as [Forward] does. Handshakes have none. The
// paths are those of [Options]; "" for their defaults.
func BySession(socketio, sockjs string) Policy {
	routes := routes{socketio: cmp.Or(socketio, "/socket.io"), sockjs: cmp.Or(sockjs, "/sockjs")}
	return func(r *http.Request, nodes []Load) string {
		switch to := routes.read(r); to.kind {
		case kindSocketIO:
			return Owner(to.session)
		case kindSockJS:
			home, _ := Rendezvous(to.session, takers(nodes))
			return home.ID
		default:
			return ""
		}
	}
}

// ByCookie goes by the cookie that [NodeCookie] or a dispatcher has set. A client may choose
// its node by it, but no more than that. name is "" for its default.
func ByCookie(name string) Policy {
	name = cmp.Or(name, defaultCookie)
	return func(r *http.Request, _ []Load) string {
		if cookie, err := r.Cookie(name); err == nil {
			return cookie.Value
		}
		return ""
	}
}

// LeastConnections takes the node with the least to do for its weight; of those that do not
// drain, and that have not failed, if there are any.
func LeastConnections() Policy {
	return func(_ *http.Request, nodes []Load) string {
		best := slices.MinFunc(nodes, func(a, b Load) int {
			if a.Draining != b.Draining || a.Failed != b.Failed {
				return cmp.Or(compare(a.Draining, b.Draining), compare(a.Failed, b.Failed))
			}
			return cmp.Compare(float64(a.Active+1)/a.weight(), float64(b.Active+1)/b.weight())
		})
		return best.ID
	}
}

// BySource goes by a hash of the client's address, as ThinkJS's stickyCluster does: the
// same addresses come to the same of as many nodes, in the order of their ids. Unlike there
// the address is that behind trusted proxies ([ClientIP]), and who would come to a node that
// drains or has failed goes to another one, while all others stay.
//
// Clients behind one address share a node, and if one comes or goes nearly all move: it is
// for fleets that come from there, [LeastConnections] is better.
func BySource(trusted ...netip.Prefix) Policy {
	return func(r *http.Request, nodes []Load) string {
		source := r.RemoteAddr
		if ip := ClientIP(r, trusted); ip.IsValid() {
			source = ip.String()
		}
		chosen := nodes[SourceIndex(source, len(nodes))]
		if chosen.Draining || chosen.Failed {
			home, _ := Rendezvous(source, takers(nodes))
			return home.ID
		}
		return chosen.ID
	}
}

// SourceIndex returns which of n workers serves an address in ThinkJS. It panics if n is 0.
func SourceIndex(address string, n int) int { return int(SourceHash(address) % uint32(n)) }

// SourceHash is the hash of ThinkJS (npm's string-hash): from the last character to the
// first, 32 bits.
func SourceHash(text string) uint32 {
	h := uint32(5381)
	for i := len(text) - 1; i >= 0; i-- {
		h = h*33 ^ uint32(text[i])
	}
	return h
}

// takers are the nodes that new sessions may go to; all of them if there is none.
func takers(nodes []Load) []Node {
	var good, all []Node
	for _, n := range nodes {
		all = append(all, n.Node)
		if !n.Draining && !n.Failed {
			good = append(good, n.Node)
		}
	}
	if len(good) == 0 {
		return all
	}
	return good
}

func compare(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	default:
		return 1
	}
}
