package thinkws_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A context of the service is used on the service's goroutine, which has the mistake then. The
// handler can be shut down afterwards.
func TestShutdownWithAContextThatPanics(t *testing.T) {
	for _, method := range []string{"Deadline", "Done", "Err", "Value"} {
		for _, m := range lapses[:2] {
			t.Run(method+", "+m.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := newMemorySite(t)
					s.over.Store(true)
					ended := make(chan struct{})
					go func() {
						defer close(ended)
						defer func() { _ = recover() }()
						_ = s.handler.Shutdown(&badContext{method, m})
					}()
					<-ended
				})
			})
		}
	}
}

// clumsy is a ResponseWriter of HTTP middleware, and a body, one method of which makes a mistake.
type clumsy struct {
	http.ResponseWriter
	body   io.ReadCloser
	method string
	m      mistake
}

func (c *clumsy) does(method string) {
	if c.method == method {
		c.m.make()
	}
}

func (c *clumsy) WriteHeader(status int) {
	c.does("WriteHeader")
	c.ResponseWriter.WriteHeader(status)
}

func (c *clumsy) Header() http.Header         { c.does("Header"); return c.ResponseWriter.Header() }
func (c *clumsy) Write(p []byte) (int, error) { c.does("Write"); return c.ResponseWriter.Write(p) }
func (c *clumsy) Unwrap() http.ResponseWriter { c.does("Unwrap"); return c.ResponseWriter }
func (c *clumsy) Flush()                      { c.does("Flush"); c.ResponseWriter.(http.Flusher).Flush() }
func (c *clumsy) Read(p []byte) (int, error)  { c.does("Read"); return c.body.Read(p) }
func (c *clumsy) Close() error                { return c.body.Close() }

// brokenContext is that of a request, but for Done or Value.
type brokenContext struct {
	context.Context
	c *clumsy
}

func (b brokenContext) Value(key any) any     { b.c.does("Value"); return b.Context.Value(key) }
func (b brokenContext) Done() <-chan struct{} { b.c.does("Done"); return b.Context.Done() }

// A mistake in HTTP middleware is for net/http to stop, as everywhere. Nothing of the request
// stays in the handler: neither a session nor a place among those of its address.
func TestMistakesOfHTTPMiddleware(t *testing.T) {
	for _, method := range []string{"Header", "WriteHeader", "Write", "Unwrap", "Flush", "Read", "Value", "Done"} {
		for _, m := range []mistake{{"panic", func() { panic(http.ErrAbortHandler) }}, {"runtime.Goexit", runtime.Goexit}} {
			t.Run(method+", "+m.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := newMemorySite(t)
					s.around = func(w http.ResponseWriter, r *http.Request) (http.ResponseWriter, *http.Request) {
						c := &clumsy{w, r.Body, method, m}
						r = r.WithContext(brokenContext{r.Context(), c})
						r.Body = c
						return c, r
					}
					s.stumble()
					time.Sleep(61 * time.Second) // in which every session ends that nobody holds
					assert.Equal(t, len(s.honest), s.handler.Hub().Stats().Sessions)
					for len(s.reasons) > 0 {
						<-s.reasons
					}
					s.verify()
				})
			})
		}
	}
}

// stumble sends the requests of every protocol that may go wrong.
func (s *site) stumble() {
	const sockjs = "/sockjs/000/"
	polling := io4 + "polling&guest"
	s.try(get(polling + "&clumsy"))
	sid := s.sid(polling)
	s.try(get(polling + "&clumsy&sid=" + sid))
	s.try(post(polling+"&clumsy&sid="+s.sid(polling), "40"))
	s.try(post(sockjs+"a/xhr?guest&clumsy", "x"))
	s.try(post(sockjs+"b/xhr_streaming?guest&clumsy", "x"))
	s.try(get(sockjs + "c/eventsource?guest&clumsy"))
	for _, session := range []string{"d", "e"} {
		answer, _ := s.exchange(post(sockjs+session+"/xhr?guest", ""))
		require.Equal(s.t, "200 o\n", answer)
	}
	s.try(post(sockjs+"d/xhr?guest&clumsy", "x"))
	s.try(post(sockjs+"e/xhr_send?guest&clumsy", array(`{"event":"echo","data":1}`)))
	for _, target := range []string{io4 + "websocket&guest&clumsy", sockjs + "f/websocket?guest&clumsy", "/ws?guest&clumsy"} {
		s.try(upgradeRequest(target, ""))
	}
	s.try(upgradeRequest(io4+"websocket&guest&clumsy&sid="+s.sid(polling), ""))
	s.try(post("/action?guest&clumsy", `{"x":1}`))
}

// sid begins a session over polling, and returns its id.
func (s *site) sid(target string) string {
	answer, _ := s.exchange(get(target))
	var open struct{ SID string }
	require.NoError(s.t, json.Unmarshal([]byte(answer[len("200 0"):]), &open), answer)
	return open.SID
}

// try sends a request and reads the answer for a second.
func (s *site) try(request string) {
	conn := s.dial()
	go func() { _, _ = io.WriteString(conn, request) }()
	_ = conn.SetReadDeadline(time.Now().Add(time.Second))
	_, _ = io.Copy(io.Discard, conn)
	_ = conn.Close()
}
