package engineio_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws/internal/engineio"
	"github.com/seed-ce09063a/thinkws/internal/session"
)

const octets = "application/octet-stream"

func TestPost(t *testing.T) {
	h := newHarness(t)
	for name, c := range map[string]struct {
		revision    int
		extra, body string
		ctype       string
		want        []string
	}{
		"4":                  {4, "", "4hello", "text/plain;charset=UTF-8", []string{"text hello"}},
		"4, no type":         {4, "", "4hello", "", []string{"text hello"}},
		"4, several":         {4, "", "4a\x1ebAQI=\x1e4€\x1e4", "", []string{"text a", "binary \x01\x02", "text €", "text "}},
		"4, ignored":         {4, "", "0\x1e3\x1e5\x1e6\x1e4a\x1e3probe", "", []string{"text a"}},
		"4, JSONP":           {4, "&j=0", "d=4a%5Cnb%1E4c%5C%5Cn", "application/x-www-form-urlencoded", []string{"text a\nb", `text c\n`}},
		"4, JSONP without d": {4, "&j=0", "e=4a", "application/x-www-form-urlencoded", nil},
		"4, identity":        {4, "", "4hello", "", []string{"text hello"}},
		"3":                  {3, "", "6:4hello2:4€3:4😀", "text/plain;charset=UTF-8", []string{"text hello", "text €", "text 😀"}},
		"3, base64":          {3, "", "10:b4AQIDBA==", "", []string{"binary \x01\x02\x03\x04"}},
		"3, binary":          {3, "", "\x00\x04\xff4€\x01\x05\xff\x04\x01\x02\x03\x04", octets, []string{"text €", "binary \x01\x02\x03\x04"}},
		"3, binary, params":  {3, "", "\x00\x01\xff4", octets + "; x=y", []string{"text "}},
		"3, JSONP":           {3, "&j=0&b64=1", "d=2%3A4a10%3Ab4AQIDBA%3D%3D", "application/x-www-form-urlencoded", []string{"text a", "binary \x01\x02\x03\x04"}},
		"3, JSONP, binary":   {3, "&j=0", "\x00\x02\xff4a", octets, []string{"text a"}},
	} {
		p := h.polling(c.revision, c.extra)
		a := h.post(p.query, c.body, "Content-Type", c.ctype)
		assert.Equal(t, 200, a.status, name)
		assert.Equal(t, "ok", a.body, name)
		assert.Equal(t, "text/html", a.header.Get("Content-Type"), name)
		assert.Equal(t, "2", a.header.Get("Content-Length"), name)
		assert.Equal(t, "no-store", a.header.Get("Cache-Control"), name)
		for _, want := range c.want {
			assert.Equal(t, want, p.next(t), name)
		}
		assert.Empty(t, p.events, name)
	}
}

// Whatever is wrong with a POST: 400, the GET that waits is answered, and the
// session is gone.
func TestBadPosts(t *testing.T) {
	h := newHarness(t, with(func(c *engineio.Config) { c.MaxPackets = 4096 }))
	for name, c := range map[string]struct {
		revision    int
		body, ctype string
		want        []string
		reason      string
	}{
		"empty":                {4, "", "", nil, session.ReasonParseError},
		"unknown packet":       {4, "abc", "", nil, session.ReasonParseError},
		"unknown packet later": {4, "4a\x1e9\x1e4b", "", []string{"text a"}, session.ReasonParseError},
		"separators":           {4, strings.Repeat("\x1e", 10_000), "", nil, session.ReasonParseError},
		"too many packets":     {4, strings.TrimSuffix(strings.Repeat("3\x1e", 4_097), "\x1e"), "", nil, session.ReasonParseError},
		"bad base64":           {4, "b!", "", nil, session.ReasonParseError},
		"bad UTF-8":            {4, "4\xff", "", nil, session.ReasonParseError},
		"ping from a client":   {4, "2", "", nil, session.ReasonTransportError},
		"probe":                {4, "2probe", "", nil, session.ReasonTransportError},
		"binary body":          {4, "4a", octets, nil, session.ReasonTransportError},
		"binary body, params":  {4, "4a", "Application/Octet-Stream; x", nil, session.ReasonTransportError},
		"huge pong":            {4, "3" + strings.Repeat("x", 126), "", nil, session.ReasonParseError},
		"refused above":        {4, "4refuse\x1e4b", "", []string{"text refuse"}, session.ReasonParseError},
		"3: empty":             {3, "", "", nil, session.ReasonParseError},
		"3: huge length":       {3, "999999999:4x", "", nil, session.ReasonParseError},
		"3: minus":             {3, "-1:4x", "", nil, session.ReasonParseError},
		"3: no colon":          {3, "4x", "", nil, session.ReasonParseError},
		"3: digits":            {3, strings.Repeat("1", 10_000), "", nil, session.ReasonParseError},
		"3: split pair":        {3, "2:4😀", "", nil, session.ReasonParseError},
		"3: pong":              {3, "1:3", "", nil, session.ReasonTransportError},
		"3: endless length":    {3, "\x00" + strings.Repeat("\x01", 400), octets, nil, session.ReasonParseError},
		"3: text as binary":    {3, "6:4hello", octets, nil, session.ReasonParseError},
	} {
		p := h.polling(c.revision, "")
		p.reject = map[string]func(string) error{"refused above": refuse}[name]
		answer := h.pending(p)
		a := h.post(p.query, c.body, "Content-Type", c.ctype)
		assert.Equal(t, 400, a.status, name)
		assert.Equal(t, map[int]string{4: "1", 3: "1:1"}[c.revision], (<-answer).body, name)
		for _, want := range c.want {
			assert.Equal(t, want, p.next(t), name)
		}
		assert.Equal(t, "closed "+c.reason, p.next(t), name)
		assert.Contains(t, []int{400, 429}, h.get(p.query).status, name)
		assert.Zero(t, h.server.Len(), name)
	}
}

func refuse(string) error { return io.ErrUnexpectedEOF }
func forbid(string) error { return fmt.Errorf("wrapped: %w", session.ErrPolicy) }

func TestClientCloses(t *testing.T) {
	for revision, c := range map[int]struct{ body, want string }{4: {"4a\x1e1\x1e4b", "6"}, 3: {"2:4a1:12:4b", "1:6"}} {
		h := newHarness(t)
		p := h.polling(revision, "")
		answer := h.pending(p)
		assert.Equal(t, "ok", h.post(p.query, c.body).body)
		assert.Equal(t, c.want, (<-answer).body)
		assert.Equal(t, "text a", p.next(t))
		assert.Equal(t, "closed "+session.ReasonTransportClose, p.next(t))
		h.gone(p)
	}
}

// Refused, and nothing lost: the session goes on.
func TestPostsThatAreNotRead(t *testing.T) {
	h := newHarness(t)
	p := h.polling(4, "")
	for name, c := range map[string]struct {
		body    string
		headers []string
		want    int
	}{
		"too large":     {"4" + strings.Repeat("x", 10_000), nil, 413},
		"gzip":          {"4x", []string{"Content-Encoding", "gzip"}, 415},
		"several times": {"4x", []string{"Content-Encoding", "gzip, br"}, 415},
	} {
		a := h.post(p.query, c.body, c.headers...)
		assert.Equal(t, c.want, a.status, name)
		assert.Empty(t, a.body, name)
	}
	assert.Equal(t, "ok", h.post(p.query, "4"+strings.Repeat("x", 9_999)).body)
	assert.Len(t, p.next(t), len("text ")+9_999)
	assert.Equal(t, "ok", h.post(p.query, "4x", "Content-Encoding", "identity").body)
	assert.Equal(t, "text x", p.next(t))
}

func (h *harness) chunked(p *peer, body io.Reader) answer {
	h.t.Helper()
	r, err := http.NewRequest(http.MethodPost, path+p.query, io.MultiReader(body)) // of a length nobody knows
	require.NoError(h.t, err)
	return h.do(r)
}

func TestChunkedPosts(t *testing.T) {
	h := newHarness(t)
	p := h.polling(4, "")
	assert.Equal(t, "ok", h.chunked(p, strings.NewReader("4hello")).body)
	assert.Equal(t, "text hello", p.next(t))

	other := h.polling(4, "")
	a := h.chunked(p, strings.NewReader("4"+strings.Repeat("x", 10_000)))
	assert.Equal(t, 413, a.status)
	assert.Empty(t, a.body)
	assert.Equal(t, "closed "+session.ReasonTransportError, p.next(t))
	h.gone(p)
	assert.Equal(t, "ok", h.post(other.query, "4x").body)
}

func TestBrokenPosts(t *testing.T) {
	for name, rest := range map[string]string{
		"bad chunk":            "Transfer-Encoding: chunked\r\n\r\nzz\r\n",
		"chunk without an end": "Transfer-Encoding: chunked\r\n\r\n2\r\n4xyz\r\n",
	} {
		h := newHarness(t)
		p := h.polling(4, "")
		_, in := h.raw("POST /socket.io/?" + p.query + " HTTP/1.1\r\nHost: a\r\n" + rest)
		resp, err := http.ReadResponse(in, nil)
		require.NoError(t, err, name)
		assert.Equal(t, 400, resp.StatusCode, name)
		assert.True(t, resp.Close, name)
		assert.Equal(t, "closed "+session.ReasonTransportError, p.next(t), name)
	}
}

func TestLengthAndChunks(t *testing.T) {
	h := newHarness(t)
	p := h.polling(4, "")
	_, in := h.raw("POST /socket.io/?" + p.query + " HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\nContent-Length: 2\r\n\r\n4x")
	resp, err := http.ReadResponse(in, nil)
	require.NoError(t, err)
	assert.Equal(t, 501, resp.StatusCode) // net/http's own answer
	assert.Equal(t, "ok", h.post(p.query, "4x").body)
}

func TestAbortedPost(t *testing.T) {
	h := newHarness(t)
	p := h.polling(4, "")
	c, _ := h.raw("POST /socket.io/?" + p.query + " HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n4")
	h.posting(p)
	c.Close()
	assert.Equal(t, "closed "+session.ReasonTransportError, p.next(t))
	h.gone(p)
}

// posting returns when a POST is being served.
func (h *harness) posting(p *peer) {
	h.t.Helper()
	require.Eventually(h.t, p.Posting, time.Minute, time.Millisecond)
}

func TestStalledPost(t *testing.T) {
	for name, body := range map[string]string{
		"length": "Content-Length: 10\r\n\r\n4",
		"chunks": "Transfer-Encoding: chunked\r\n\r\n2\r\n4x\r\n",
	} {
		synctest.Test(t, func(t *testing.T) {
			h := newHarness(t)
			p, other := h.polling(4, ""), h.polling(4, "")
			_, in := h.raw("POST /socket.io/?" + p.query + " HTTP/1.1\r\nHost: a\r\n" + body)
			advance(10*time.Second - time.Millisecond)
			assert.Empty(t, p.events, name)
			advance(time.Millisecond)
			resp, err := http.ReadResponse(in, nil)
			require.NoError(t, err, name)
			assert.Equal(t, 408, resp.StatusCode, name)
			assert.True(t, resp.Close, name)
			assert.Equal(t, "closed "+session.ReasonTransportError, p.next(t), name)
			assert.Equal(t, "ok", h.post(other.query, "4x").body, name)
		})
	}
}

// The deadline is for the whole body: a byte now and then does not move it.
func TestDrippingPost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		p := h.polling(4, "")
		c, in := h.raw("POST /socket.io/?" + p.query + " HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n4")
		start := time.Now()
		go func() {
			for {
				<-time.After(time.Second)
				if _, err := c.Write([]byte("x")); err != nil {
					return
				}
			}
		}()
		resp, err := http.ReadResponse(in, nil)
		require.NoError(t, err)
		assert.Equal(t, 408, resp.StatusCode)
		assert.Equal(t, 10*time.Second, time.Since(start).Round(time.Second))
		assert.Equal(t, "closed "+session.ReasonTransportError, p.next(t))
		c.Close()
		advance(time.Second)
	})
}

func TestSecondPostEndsTheSession(t *testing.T) {
	h := newHarness(t)
	p := h.polling(4, "")
	poll := h.pending(p)
	_, in := h.raw("POST /socket.io/?" + p.query + " HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n4")
	h.posting(p)
	second := h.post(p.query, "4x")
	assert.Equal(t, 400, second.status)
	assert.Empty(t, second.body)
	assert.Equal(t, "1", (<-poll).body)
	resp, err := http.ReadResponse(in, nil) // cut, long before its time
	require.NoError(t, err)
	assert.Equal(t, 400, resp.StatusCode)
	assert.True(t, resp.Close)
	assert.Equal(t, "closed "+session.ReasonTransportError, p.next(t))
	h.gone(p)
}

// A session that is closed in due form lets the POST that is on its way end well.
func TestCloseDuringPost(t *testing.T) {
	h := newHarness(t)
	p := h.polling(4, "")
	poll := h.pending(p)
	c, in := h.raw("POST /socket.io/?" + p.query + " HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n4")
	h.posting(p)
	p.Close(session.ReasonServerDisconnect)
	assert.Equal(t, "1", (<-poll).body)
	_, err := c.Write([]byte("x"))
	require.NoError(t, err)
	resp, err := http.ReadResponse(in, nil)
	require.NoError(t, err)
	assert.Equal(t, 200, resp.StatusCode)
	assert.Equal(t, "closed "+session.ReasonServerDisconnect, p.next(t))
	assert.Empty(t, p.events, "received after the close")
}

// The layer above may close, or overfill, the session from within Receive.
func TestCloseInReceive(t *testing.T) {
	h := newHarness(t)
	p := h.polling(4, "")
	p.reject = func(string) error {
		p.send("bye")
		p.Close(session.ReasonServerDisconnect)
		return nil
	}
	assert.Equal(t, "ok", h.post(p.query, "4a\x1e4b").body)
	assert.Equal(t, "text a", p.next(t))
	assert.Equal(t, "closed "+session.ReasonServerDisconnect, p.next(t))
	assert.Equal(t, "4bye", h.get(p.query).body)
	assert.Equal(t, "6\x1e1", h.get(p.query).body)
	h.gone(p)
}

// A refused request whose body does not come holds its connection no longer than any
// other: net/http reads the body before it answers.
func TestStalledBodyOfARefusedRequest(t *testing.T) {
	for name, c := range map[string]struct {
		method, query string
		want          int
	}{
		"unknown sid":   {"POST", "EIO=4&transport=polling&sid=x", 400},
		"no transport":  {"POST", "EIO=4", 400},
		"bad handshake": {"POST", "EIO=4&transport=polling", 400},
		"bad method":    {"PUT", "", 405},
		"GET":           {"GET", "", 408},
	} {
		synctest.Test(t, func(t *testing.T) {
			h := newHarness(t)
			p := h.polling(4, "")
			if c.query == "" {
				c.query = p.query
			}
			start := time.Now()
			_, in := h.raw(c.method + " /socket.io/?" + c.query + " HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n4")
			resp, err := http.ReadResponse(in, nil)
			require.NoError(t, err, name)
			_, err = io.ReadAll(in)
			require.NoError(t, err, name)
			assert.Equal(t, c.want, resp.StatusCode, name)
			assert.LessOrEqual(t, time.Since(start), 11*time.Second, name)
			assert.Equal(t, "ok", h.post(p.query, "4x").body, name)
		})
	}
}
