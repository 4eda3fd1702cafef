package stickiness_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws/stickiness"
)

func TestHop(t *testing.T) {
	now := time.Now()
	header := stickiness.Hop(secret, 'f', "n0aB", "n1aB", "[::1]:80", "GET", "/a?b", now)
	for _, tt := range []struct {
		name, secret, header, self, method, target string
		age                                        time.Duration
		want                                       string // of the error; "" for none
	}{
		{"as it was made", string(secret), header, "n1aB", "GET", "/a?b", 0, ""},
		{"in time", string(secret), header, "n1aB", "GET", "/a?b", 50 * time.Second, ""},
		{"clock behind", string(secret), header, "n1aB", "GET", "/a?b", -50 * time.Second, ""},
		{"late", string(secret), header, "n1aB", "GET", "/a?b", 70 * time.Second, "too old"},
		{"secret", "another secret!!", header, "n1aB", "GET", "/a?b", 0, "not authentic"},
		{"node", string(secret), header, "n2aB", "GET", "/a?b", 0, "another node"},
		{"method", string(secret), header, "n1aB", "POST", "/a?b", 0, "not authentic"},
		{"target", string(secret), header, "n1aB", "GET", "/a?c", 0, "not authentic"},
		{"sender changed", string(secret), strings.Replace(header, "n0aB", "n3aB", 1), "n1aB", "GET", "/a?b", 0, "not authentic"},
		{"cut", string(secret), header[:len(header)-2], "n1aB", "GET", "/a?b", 0, "not"},
		{"no MAC", string(secret), header[:strings.LastIndexByte(header, '.')], "n1aB", "GET", "/a?b", 0, "not"},
		{"empty", string(secret), "", "n1aB", "GET", "/a?b", 0, "form"},
		{"another purpose", string(secret), stickiness.Hop(secret, 'x', "n0aB", "n1aB", "", "GET", "/a?b", now), "n1aB", "GET", "/a?b", 0, "form"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			remote, err := stickiness.OpenHop([]byte(tt.secret), tt.header, tt.self, tt.method, tt.target, now.Add(tt.age))
			if tt.want != "" {
				assert.ErrorContains(t, err, tt.want)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, "[::1]:80", remote)
		})
	}
}

func FuzzHop(f *testing.F) {
	now := time.Unix(1_700_000_000, 0)
	f.Add(stickiness.Hop(secret, 'a', "n0aB", "n1aB", "1.2.3.4:5", "GET", "/", now))
	f.Add("f.n0aB.n1aB.1700000000.MS4yLjMuNDo1")
	f.Add("....")
	f.Fuzz(func(t *testing.T, header string) {
		again, err := stickiness.ParseHop(header)
		if err == nil {
			sealed := again(secret)
			require.LessOrEqual(t, len(sealed), len(header)+60)
		}
		if remote, err := stickiness.OpenHop(secret, header, "n1aB", "GET", "/other", now); err == nil {
			t.Fatalf("%q was never made for this target: %s", header, remote)
		}
	})
}

func TestReadRoute(t *testing.T) {
	const other, handshake, socketio, sockjs = 0, 1, 2, 3
	for _, tt := range []struct {
		target  string
		kind    int
		session string
	}{
		{"/socket.io/?EIO=4&transport=polling", handshake, ""},
		{"/socket.io/?EIO=4&transport=polling&sid=a", socketio, "a"},
		{"/socket.io?EIO=4&transport=polling&sid=a", socketio, "a"},
		{"/app/socket.io/?EIO=3&transport=polling&sid=a&j=0", socketio, "a"},
		{"/socket.io/?transport=polling&sid=a%62", socketio, "ab"},
		{"/socket.io/?transport=polling&sid=a&x=;", socketio, "a"},
		{"/socket.io/?transport=polling&sid=a&sid=b", other, ""},
		{"/socket.io/?transport=polling&sid=", other, ""},
		{"/socket.io/?transport=polling&transport=polling&sid=a", other, ""},
		{"/socket.io/?sid=a", other, ""},
		{"/socket.io/socket.io.js", other, ""},
		{"/socket.ios/?EIO=4&transport=polling&sid=a", other, ""},
		{"/other?EIO=4&transport=polling&sid=a", other, ""},
		{"/sockjs/000/abc/xhr", sockjs, "abc"},
		{"/sockjs/000/abc/xhr/", sockjs, "abc"},
		{"/app/sockjs/000/abc/jsonp?c=f", sockjs, "abc"},
		{"/sockjs/000/a%2Fc/xhr_send", sockjs, "a/c"},
		{"/sockjs/000/abc/eventsource", sockjs, "abc"},
		{"/sockjs/000/abc/websocket", other, ""},
		{"/sockjs/000/abc/other", other, ""},
		{"/sockjs/info", other, ""},
		{"/sockjs//abc/xhr", other, ""},
		{"/sockjs/000//xhr", other, ""},
		{"/sockjs/1/000/abc/xhr", other, ""},
		{"/sockjs/000/" + strings.Repeat("a", 257) + "/xhr", other, ""},
		{"/000/abc/xhr", other, ""},
	} {
		kind, session := stickiness.ReadRoute(httptest.NewRequestWithContext(t.Context(), http.MethodGet, tt.target, http.NoBody))
		assert.Equal(t, tt.kind, kind, tt.target)
		assert.Equal(t, tt.session, session, tt.target)
	}
}

func FuzzRoute(f *testing.F) {
	f.Add("/socket.io/", "EIO=4&transport=polling&sid=n1aBAAAAAAAAAAAAAAAA")
	f.Add("/sockjs/000/abc/xhr", "")
	f.Add("/sockjs/000/%zz/xhr", "sid=%zz;&")
	f.Fuzz(func(t *testing.T, path, query string) {
		r := &http.Request{Method: http.MethodGet, Header: http.Header{}, URL: &url.URL{Path: path, RawPath: path, RawQuery: query}}
		kind, session := stickiness.ReadRoute(r)
		require.Equal(t, kind >= 2, session != "", "a session has a name")
		if node := stickiness.Owner(session); node != "" {
			require.Equal(t, session[:4], node)
		}
	})
}
