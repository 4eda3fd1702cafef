package sockjs_test

import (
	"bufio"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws/internal/session"
)

// Each prelude and each frame is a chunk of its own.
func TestChunks(t *testing.T) {
	for _, tt := range []struct {
		method, path string
		prelude      *regexp.Regexp
		before       string
		after        string
		html         bool
	}{
		{"POST", "/xhr_streaming", regexp.MustCompile("^" + strings.Repeat("h", 2048) + "\n$"), "", "\n", false},
		{"GET", "/eventsource", regexp.MustCompile(`^\r\n$`), "data: ", "\r\n\r\n", false},
		{"GET", "/htmlfile?c=call.back", regexp.MustCompile(`(?s)^<!doctype html>\n<html><head>\n.*var c = parent\.call\.back;\n.*</script> *\r\n\r\n$`),
			"<script>\np(\"", "\");\n</script>\r\n", true},
	} {
		t.Run(tt.path, func(t *testing.T) {
			h := newHarness(t)
			target := h.id()
			s := h.stream(tt.method, target+tt.path)
			assert.Equal(t, "HTTP/1.1 200 OK", s.status)
			assert.Equal(t, "chunked", s.header.Get("Transfer-Encoding"))
			assert.Equal(t, "no", s.header.Get("X-Accel-Buffering"), "nginx holds streams back otherwise")
			prelude := s.chunk()
			assert.Regexp(t, tt.prelude, prelude)
			if tt.html {
				assert.Greater(t, len(prelude), 1024)
			}
			quote := func(frame string) string {
				if tt.html {
					frame = strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(frame)
				}
				return tt.before + frame + tt.after
			}
			s.expect(quote("o"))
			c := <-h.clients
			require.NoError(t, c.send("1"))
			s.expect(quote(e("1")))
			large := strings.Repeat("x", 3000) // more than net/http buffers
			require.NoError(t, c.send(large))
			s.expect(quote(e(large)))
			c.Conn.Close(session.ReasonServerDisconnect)
			s.expect(quote(`c[1000,"Normal closure"]`), "end")
		})
	}
}

// A message that would end the script it is in, or its page, does not.
// What is over with one frame may be buffered.
func TestPollsMayBeBuffered(t *testing.T) {
	h := newHarness(t)
	target, _ := h.open()
	for _, a := range []answer{h.post(h.id()+"/xhr", ""), h.get(h.id() + "/jsonp?c=x"), h.post(target+"/xhr_send", "[]"), h.get("/info")} {
		assert.Empty(t, a.header["X-Accel-Buffering"])
	}
}

func TestHTMLFileIsSafe(t *testing.T) {
	h := newHarness(t, func(h *harness) { h.cfg.RawStrings = true })
	s := h.stream("GET", h.id()+"/htmlfile?c=x")
	s.chunk()
	s.chunk()
	c := <-h.clients
	require.NoError(t, c.Conn.Send(event("message", `"</script><script>alert('1')//<!-- &\u2028"`)))
	s.expect("<script>\np(\"a[\\\"\\u003c/script\\u003e\\u003cscript\\u003ealert(\\u00271\\u0027)//\\u003c!-- \\u0026\\\\u2028\\\"]\");\n</script>\r\n")
}

// A stream ends once the limit is reached, the prelude not counted, the framing counted, and
// the next goes on where it has ended.
func TestResponseLimit(t *testing.T) {
	bubble(t, func(t *testing.T, h *harness) {
		target := h.id()
		s := h.stream("POST", target+"/xhr_streaming")
		s.chunk()
		s.expect("o\n")
		c := <-h.clients
		text := strings.Repeat("x", h.cfg.ResponseLimit-len("o\n")-len(e("")+"\n")-1)
		require.NoError(t, c.send(text)) // a byte is missing
		s.expect(e(text) + "\n")
		synctest.Wait()
		require.NoError(t, c.send("a")) // and there it is
		s.expect(e("a")+"\n", "end")
		require.NoError(t, c.send("b", "c"))
		s = h.stream("POST", target+"/xhr_streaming")
		s.chunk()
		s.expect(e("b", "c") + "\n")
		assert.Empty(t, c.events)

		text = strings.Repeat("y", h.cfg.ResponseLimit-len(e("b", "c")+"\n")-len(e("")+"\n"))
		require.NoError(t, c.send(text)) // exactly the limit
		s.expect(e(text)+"\n", "end")

		text = strings.Repeat("z", h.cfg.ResponseLimit/2)
		require.NoError(t, c.send(text, text, text)) // what is beyond it comes with the next
		s = h.stream("POST", target+"/xhr_streaming")
		s.chunk()
		s.expect(e(text)+"\n", e(text)+"\n", "end")
		assert.Equal(t, e(text), h.frame(target))
	})
}

// Polls do not care about the limit.
func TestPollsHaveNoLimit(t *testing.T) {
	h := newHarness(t, func(h *harness) { h.cfg.ResponseLimit = 1 })
	target, c := h.open()
	require.NoError(t, c.send("a", "b"))
	assert.Equal(t, e("a", "b"), h.frame(target))
}

// HTTP/1.0 knows no chunks: the answer ends with the connection.
func TestStreamOverHTTP10(t *testing.T) {
	h := newHarness(t)
	_, in := h.raw("POST " + base + h.id() + "/xhr_streaming HTTP/1.0\r\n\r\n")
	res, err := http.ReadResponse(in, nil)
	require.NoError(t, err)
	assert.Empty(t, res.TransferEncoding)
	body := bufio.NewReader(res.Body)
	line, err := body.ReadString('\n')
	require.NoError(t, err)
	assert.Len(t, line, 2049)
	line, err = body.ReadString('\n')
	require.NoError(t, err)
	assert.Equal(t, "o\n", line)
	(<-h.clients).Conn.Close(session.ReasonServerDisconnect)
	rest, err := io.ReadAll(body)
	require.NoError(t, err)
	assert.Equal(t, "c[1000,\"Normal closure\"]\n", string(rest))
}

// A writer that cannot be flushed cannot stream, which the log says once; polls work.
func TestStreamWithoutFlusher(t *testing.T) {
	h := newHarness(t, func(h *harness) {
		inner := h.http.Handler
		h.http.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			inner.ServeHTTP(struct{ http.ResponseWriter }{w}, r)
		})
	})
	for range 2 {
		h.get(h.id() + "/eventsource")
		assert.Equal(t, "closed "+session.ReasonTransportClose, (<-h.clients).next(t))
	}
	assert.Equal(t, 1, h.log.count("streaming cannot be served"))
	target, c := h.open()
	require.NoError(t, c.send("x"))
	assert.Equal(t, e("x"), h.frame(target))
}

// Behind middleware that wraps writers as http.ResponseController wants it.
func TestStreamBehindMiddleware(t *testing.T) {
	h := newHarness(t, func(h *harness) {
		inner := h.http.Handler
		h.http.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { inner.ServeHTTP(wrapped{w}, r) })
	})
	s := h.stream("GET", h.id()+"/eventsource")
	s.expect("\r\n", "data: o\r\n\r\n")
}

type wrapped struct{ http.ResponseWriter }

func (w wrapped) Unwrap() http.ResponseWriter { return w.ResponseWriter }
