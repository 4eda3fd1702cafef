package stickiness_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws/stickiness"
)

func TestNodeCheck(t *testing.T) {
	for _, tt := range []struct {
		name, id, url string
		weight        int
		want          string // in the error; "" for none
	}{
		{"http", "n1aB", "http://10.0.0.1:8360", 0, ""},
		{"https", "n1aB", "https://node.internal/", 7, ""},
		{"IPv6", "n1aB", "http://[::1]:80", 0, ""},
		{"unix", "n1aB", "unix:///run/app/n1aB.sock", 0, ""},
		{"id", "n1", "http://10.0.0.1", 0, `ID "n1"`},
		{"id with a dot", "n1.a", "http://10.0.0.1", 0, `ID "n1.a"`},
		{"weight", "n1aB", "http://10.0.0.1", -1, "Weight -1"},
		{"great weight", "n1aB", "http://10.0.0.1", 1001, "Weight 1001"},
		{"no URL", "n1aB", "", 0, `URL ""`},
		{"scheme", "n1aB", "ftp://10.0.0.1", 0, "ftp://"},
		{"file", "n1aB", "file:///etc/passwd", 0, "file://"},
		{"no host", "n1aB", "http://:80", 0, "http://:80"},
		{"path", "n1aB", "http://10.0.0.1/admin", 0, "/admin"},
		{"user", "n1aB", "http://a@10.0.0.1", 0, "a@"},
		{"query", "n1aB", "http://10.0.0.1?x=1", 0, "x=1"},
		{"unix with host", "n1aB", "unix://run/app", 0, "unix://run"},
		{"unix without path", "n1aB", "unix:///", 0, "unix:///"},
		{"no colon", "n1aB", "10.0.0.1:80", 0, "10.0.0.1:80"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := stickiness.NewStatic(stickiness.Node{ID: tt.id, URL: tt.url, Weight: tt.weight})
			if tt.want == "" {
				assert.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, stickiness.ErrNode)
			assert.ErrorContains(t, err, tt.want)
		})
	}
}

func TestStatic(t *testing.T) {
	nodes := cluster(3)
	s, err := stickiness.NewStatic(nodes[2], nodes[0], nodes[1])
	require.NoError(t, err)
	assert.Equal(t, nodes, s.Nodes())
	before := s.Nodes()
	nodes[1].Draining = true
	require.NoError(t, s.Register(t.Context(), nodes[1]))
	require.NoError(t, s.Unregister(t.Context(), "n002"))
	require.NoError(t, s.Unregister(t.Context(), "none"))
	assert.Equal(t, nodes[:2], s.Nodes())
	assert.Len(t, before, 3, "what was handed out does not change")
	assert.False(t, before[1].Draining)
	got, ok := s.Lookup("n001")
	assert.True(t, ok)
	assert.True(t, got.Draining)
	_, ok = s.Lookup("n002")
	assert.False(t, ok)

	_, err = stickiness.NewStatic(nodes[0], nodes[0])
	assert.ErrorIs(t, err, stickiness.ErrNode)
}
