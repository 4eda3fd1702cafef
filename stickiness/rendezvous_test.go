package stickiness_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws/stickiness"
)

// cluster returns n nodes that nobody serves.
func cluster(n int) []stickiness.Node {
	nodes := make([]stickiness.Node, n)
	for i := range nodes {
		nodes[i] = stickiness.Node{ID: fmt.Sprintf("n%03d", i), URL: "http://127.0.0.1:1"}
	}
	return nodes
}

func owner(t *testing.T, key string, nodes []stickiness.Node) string {
	t.Helper()
	node, ok := stickiness.Rendezvous(key, nodes)
	require.True(t, ok)
	return node.ID
}

func TestOwner(t *testing.T) {
	assert.Equal(t, "n1aB", stickiness.Owner("n1aBAAAAAAAAAAAAAAAA"))
	assert.Empty(t, stickiness.Owner("n1aB"))
	assert.Empty(t, stickiness.Owner("n1aBAAAAAAAAAAAAAAA%"))
}

// TestRendezvousMoves adds and removes a node: keys move to it and from it, no others, and
// not more than its share.
func TestRendezvousMoves(t *testing.T) {
	const keys = 20_000
	for _, n := range []int{2, 3, 10, 50} {
		nodes := cluster(n)
		fewer := slices.Delete(slices.Clone(nodes), n/2, n/2+1)
		moved := 0
		for i := range keys {
			key := fmt.Sprintf("session-%d", i)
			with, without := owner(t, key, nodes), owner(t, key, fewer)
			if with != without {
				require.Equal(t, nodes[n/2].ID, with, "a key moves between two that stay")
				moved++
			}
		}
		share := float64(moved) / keys
		t.Logf("of %d nodes one comes or goes: %.2f %% of the keys move, 1/N is %.2f %%", n, 100*share, 100/float64(n))
		assert.InEpsilon(t, 1/float64(n), share, 0.15)
	}
}

func TestRendezvousWeights(t *testing.T) {
	nodes := cluster(3)
	nodes[0].Weight, nodes[2].Weight = 2, 5 // and 1 by default
	count := map[string]int{}
	const keys = 40_000
	for i := range keys {
		count[owner(t, fmt.Sprint("k", i), nodes)]++
	}
	for id, share := range map[string]float64{"n000": 2. / 8, "n001": 1. / 8, "n002": 5. / 8} {
		assert.InEpsilon(t, share*keys, count[id], 0.05, id)
	}
}

func TestRendezvousOrder(t *testing.T) {
	nodes := cluster(7)
	for i := range 100 {
		key := fmt.Sprint(i)
		want := owner(t, key, nodes)
		slices.Reverse(nodes)
		assert.Equal(t, want, owner(t, key, nodes))
	}
	_, ok := stickiness.Rendezvous("key", nil)
	assert.False(t, ok)
}

func BenchmarkRendezvous(b *testing.B) {
	nodes := cluster(10)
	b.ReportAllocs()
	for b.Loop() {
		stickiness.Rendezvous("abcdefgh", nodes)
	}
}
