package thinkws_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws"
)

// sid is that of the poller.
func (p *poller) sid() string {
	_, sid, _ := strings.Cut(p.target, "&sid=")
	return sid
}

func TestWithNode(t *testing.T) {
	s := newSite(t, thinkws.WithNode("n1_B"))
	for _, eio := range []int{3, 4} {
		p := s.open(eio, "")
		assert.Regexp(t, `^n1_B[A-Za-z0-9_-]{16}$`, p.sid())
		p.alive()
	}
	s.verify()
}

func TestHolds(t *testing.T) {
	s := newSite(t, thinkws.WithNode("n1aB"))
	holds := func(target string) bool {
		return s.handler.Holds(httptest.NewRequestWithContext(t.Context(), http.MethodGet, target, http.NoBody))
	}
	p := s.open(4, "")
	s.sockjs("/sockjs/000/abc", "")
	for target, want := range map[string]bool{
		p.target:                         true,
		p.upgradeTarget():                true,
		"/socket.io/?sid=" + p.sid():     true,
		p.target + "x":                   false,
		p.target + "&sid=" + p.sid():     false, // of two, none
		"/socket.io/?EIO=4":              false,
		"/sockjs/000/abc/xhr":            true,
		"/sockjs/111/abc/xhr_send":       true, // the server part is the client's choice
		"/sockjs/000/abc/websocket":      false,
		"/sockjs/000/abd/xhr":            false,
		"/sockjs/000/abc":                false,
		"/other/000/abc/xhr":             false,
		"/sockjs/info":                   false,
		"/socket.io/000/abc/xhr?sid=abc": false,
	} {
		assert.Equal(t, want, holds(target), target)
	}
}

// TestForeignSIDs asks for sessions of other nodes, as all clients of a lost one do, behind
// one proxy: that is no guessing.
func TestForeignSIDs(t *testing.T) {
	s := newSite(t, thinkws.WithNode("n1aB"))
	for range 50 {
		got, _ := s.exchange(get(io4 + "polling&sid=n2aBAAAAAAAAAAAAAAAA"))
		require.Equal(t, sidUnknown, got)
	}
	var last string
	for range 50 {
		last, _ = s.exchange(get(io4 + "polling&sid=n1aBAAAAAAAAAAAAAAAA"))
	}
	assert.Regexp(t, "^429 ", last, "of our own there is none to guess")
}
