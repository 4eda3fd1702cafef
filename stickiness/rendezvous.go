package stickiness

import (
	"math"
	"slices"

	"github.com/seed-ce09063a/thinkws/internal/session"
)

// Owner returns the node that a session id of Socket.IO names, as thinkws.WithNode has put
// it there: the first 4 of 20 characters. It is "" if sid has not that form. Whether there is
// such a node only a [Registry] knows.
func Owner(sid string) string { return session.NodeOf(sid) }

// Rendezvous returns the node that a key belongs to: the same on every node, whatever
// the order of nodes, which share the keys by their weights. If one comes or goes only its
// own keys move. It is false if there are no nodes.
func Rendezvous(key string, nodes []Node) (Node, bool) {
	best, top := -1, math.Inf(-1)
	for i := range nodes {
		if s := score(key, &nodes[i]); s > top || s == top && nodes[i].ID < nodes[best].ID {
			best, top = i, s
		}
	}
	if best < 0 {
		return Node{}, false
	}
	return nodes[best], true
}

// rank returns the nodes that a key prefers, at most n of them, the best one first. Who
// joins takes keys from those that are second best from then on, so a session that was there
// before is found by going down the list.
func rank(key string, nodes []Node, n int) []Node {
	ranked := slices.Clone(nodes)
	slices.SortFunc(ranked, func(a, b Node) int {
		switch x, y := score(key, &a), score(key, &b); {
		case x > y, x == y && a.ID < b.ID:
			return -1
		default:
			return 1
		}
	})
	return ranked[:min(n, len(ranked))]
}

// score is how much a key prefers a node: a uniform number of (0,1), whose logarithm
// makes the shares proportional to the weights.
func score(key string, n *Node) float64 {
	u := (float64(hash(n.ID, key)>>11) + 0.5) / (1 << 53)
	return n.weight() / -math.Log(u)
}

// hash is FNV-1a with the finaliser of splitmix64, without which keys that end alike
// prefer the same nodes.
func hash(parts ...string) uint64 {
	h := uint64(14695981039346656037)
	for _, part := range parts {
		for i := range len(part) {
			h = (h ^ uint64(part[i])) * 1099511628211
		}
		h = (h ^ 0xff) * 1099511628211 // parts end
	}
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	return h ^ h>>31
}
