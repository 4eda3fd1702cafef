package sockjs_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws/internal/session"
	"github.com/seed-ce09063a/thinkws/internal/sockjs"
)

func replace(format, target string) string { return strings.ReplaceAll(format, "%s", target) }

const (
	expected = "Payload expected."
	broken   = "Broken JSON encoding."
)

// What a body may be, and that this is judged before it is known whose it is.
func TestBodies(t *testing.T) {
	h := newHarness(t)
	deep := strings.Repeat("[", 600) + strings.Repeat("]", 600)
	for body, wrong := range map[string]string{
		"":                    expected,
		" \t\r\n":             expected,
		"{}":                  expected,
		`"x"`:                 expected,
		"123":                 expected,
		"null":                expected,
		`[1]`:                 expected,
		`["x",null]`:          expected,
		`["x",["y"]]`:         expected,
		`[{"event":"x"}]`:     expected,
		`["x`:                 broken,
		`["x"`:                broken,
		`x`:                   broken,
		`["x"]]`:              broken,
		`["x",]`:              broken,
		`[,]`:                 broken,
		"[\"\x00\"]":          broken,
		"[\"\n\"]":            broken,
		"[\"\xff\"]":          broken,
		"\xef\xbb\xbf[\"x\"]": broken,
		deep:                  broken,
		"[]":                  "",
		" [ ] ":               "",
		`["x"]`:               "",
		` [ "x" , "y" ] `:     "",
		`["\u0000\ud83d"]`:    "",
	} {
		for _, path := range []string{"/xhr_send", "/jsonp_send"} {
			a := h.post("/s/nobody"+path, body)
			if wrong == "" {
				assert.Equal(t, 404, a.status, "%s %q", path, body)
				continue
			}
			assert.Equal(t, 500, a.status, "%s %q", path, body)
			assert.Equal(t, wrong, a.body, "%s %q", path, body)
			assert.Equal(t, noCache, a.header.Get("Cache-Control"))
		}
		if !strings.Contains(body, "\xff") {
			a := h.post("/s/nobody/jsonp_send", "d="+url.QueryEscape(body), "Content-Type", "application/x-www-form-urlencoded")
			want := fmt.Sprint(map[bool]int{true: 404, false: 500}[wrong == ""])
			assert.Equal(t, want, fmt.Sprint(a.status), body)
		}
	}
	sessions, _ := h.server.Len()
	assert.Zero(t, sessions, "to send does not make a session")
}

func TestContentTypesOfBodies(t *testing.T) {
	h := newHarness(t)
	target, c := h.open()
	for _, kind := range []string{"text/plain", "T", "application/json", "application/xml", "text/xml", "", "text/plain; charset=UTF-8",
		"application/json;charset=utf-8", "application/x-www-form-urlencoded"} {
		a := h.post(target+"/xhr_send", `["{\"event\":\"a\"}"]`, "Content-Type", kind)
		assert.Equal(t, 204, a.status, kind)
		assert.Equal(t, "a ", c.next(t))
	}
	for _, tt := range []struct {
		kind, body string
		status     int
	}{
		{"application/x-www-form-urlencoded", "d=%5B%22%7B%5C%22event%5C%22%3A%5C%22a%2Bb+c%5C%22%7D%22%5D", 200},
		{"Application/X-WWW-Form-Urlencoded; charset=UTF-8", "x=1&d=%5B%22%7B%5C%22event%5C%22%3A%5C%22a%2Bb+c%5C%22%7D%22%5D&d=x", 200},
		{"text/plain", `["{\"event\":\"a+b c\"}"]`, 200},
		{"", `["{\"event\":\"a+b c\"}"]`, 200},
		{"text/plain", "d=%5B%5D", 500},
		{"application/json", `[]`, 500},
		{"application/x-www-form-urlencoded", "d=%zz", 500},
		{"application/x-www-form-urlencoded", "x=%5B%5D", 500},
		{"application/x-www-form-urlencoded", "dd=%5B%5D", 500},
		{"application/x-www-form-urlencoded", "d", 500},
		{"application/x-www-form-urlencoded", "d=", 500},
		{"application/x-www-form-urlencoded", "d&d=%5B%5D", 500},
	} {
		a := h.post(target+"/jsonp_send", tt.body, "Content-Type", tt.kind)
		assert.Equal(t, tt.status, a.status, "%s: %s", tt.kind, tt.body)
		if tt.status == 200 {
			assert.Equal(t, "ok", a.body)
			assert.Equal(t, "a+b c ", c.next(t))
		}
	}
	// a raw body is not decoded as URLs are
	assert.Equal(t, 200, h.post(target+"/jsonp_send", `["{\"event\":\"%61\"}"]`, "Content-Type", "text/plain").status)
	assert.Equal(t, "%61 ", c.next(t))
	assert.Empty(t, c.events)
}

// What characters may be in a message, all of them come through.
func TestTextComesThrough(t *testing.T) {
	h := newHarness(t, func(h *harness) { h.cfg.RawStrings = true })
	target, c := h.open()
	text := "\x00\x1f\u200c\u2028\ufff0\uffff😀</script>\"\\/%ü"
	body, err := json.Marshal([]string{text})
	require.NoError(t, err)
	assert.Equal(t, 204, h.post(target+"/xhr_send", string(body)).status)
	name, arg, _ := strings.Cut(c.next(t), " ")
	assert.Equal(t, "message", name)
	var got string
	require.NoError(t, json.Unmarshal([]byte(arg), &got))
	assert.Equal(t, text, got)
	require.NoError(t, c.Conn.Send(event("message", arg)))
	assert.Equal(t, "a["+sockjs.Quote(text, false)+"]", h.frame(target))
}

// With raw strings nothing is malformed, and the order of an array holds.
func TestRawStrings(t *testing.T) {
	h := newHarness(t, func(h *harness) { h.cfg.RawStrings = true })
	target, c := h.open()
	assert.Equal(t, 204, h.post(target+"/xhr_send", ` [ "" , "x", "{\"event\":\"open\"}" ]`).status)
	assert.Equal(t, `message ""`, c.next(t))
	assert.Equal(t, `message "x"`, c.next(t))
	assert.Equal(t, `message "{\"event\":\"open\"}"`, c.next(t))
	c.Conn.Refuse(&session.Failure{Name: "Forbidden", Message: "no"})
	assert.Equal(t, `c[1008,"no"]`, h.frame(target), "there is no form for more")
}

func TestBodiesThatAreTooLarge(t *testing.T) {
	h := newHarness(t)
	target, c := h.open()
	for _, path := range []string{"/xhr_send", "/jsonp_send", "/xhr", "/xhr_streaming"} {
		for _, te := range []bool{false, true} {
			head, body := "Content-Length: 10001", strings.Repeat("x", 10001)
			if te {
				head, body = "Transfer-Encoding: chunked", "2711\r\n"+body+"\r\n0\r\n\r\n"
			}
			_, in := h.raw("POST " + base + target + path + " HTTP/1.1\r\nHost: x\r\n" + head + "\r\n\r\n" + body)
			line, err := in.ReadString('\n')
			require.NoError(t, err)
			assert.Equal(t, "HTTP/1.1 413 Request Entity Too Large\r\n", line, path)
		}
	}
	_, in := h.raw("POST " + base + target + "/xhr_send HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n")
	line, err := in.ReadString('\n')
	require.NoError(t, err)
	assert.Equal(t, "HTTP/1.1 413 Request Entity Too Large\r\n", line, "without waiting for any of it")
	a := h.post(target+"/xhr_send", "[]", "Content-Encoding", "gzip")
	assert.Equal(t, 415, a.status)
	assert.Equal(t, 204, h.post(target+"/xhr_send", "[]", "Content-Encoding", "identity").status)
	require.NoError(t, c.send("still there"))
	assert.Equal(t, e("still there"), h.frame(target))
}

// A body that does not come is waited for in vain, but not for ever.
func TestBodiesThatAreTooSlow(t *testing.T) {
	for _, path := range []string{"/xhr_send", "/jsonp_send", "/xhr", "/xhr_streaming"} {
		t.Run(path, func(t *testing.T) {
			bubble(t, func(t *testing.T, h *harness) {
				start := time.Now()
				_, in := h.raw("POST " + base + h.id() + path + " HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nx")
				line, err := in.ReadString('\n')
				require.NoError(t, err)
				assert.Equal(t, "HTTP/1.1 408 Request Timeout\r\n", line)
				assert.Equal(t, h.cfg.ReadTimeout, time.Since(start))
				h.empty()
			})
		})
	}
}

// A hub that is slow to receive holds up nobody else: neither other clients nor what is
// sent to this one.
func TestSlowReceiver(t *testing.T) {
	bubble(t, func(t *testing.T, h *harness) {
		slow, c := h.open()
		stuck := make(chan struct{})
		c.receive = func(*session.Message) { <-stuck }
		done := make(chan answer, 1)
		go func() { done <- h.post(slow+"/xhr_send", `["{\"event\":\"a\"}"]`) }()
		synctest.Wait()
		require.NoError(t, c.send("x"))
		assert.Equal(t, e("x"), h.frame(slow))
		other, c2 := h.open()
		assert.Equal(t, 204, h.post(other+"/xhr_send", `["{\"event\":\"b\"}"]`).status)
		assert.Equal(t, "b ", c2.next(t))
		assert.Empty(t, done)
		close(stuck)
		assert.Equal(t, 204, (<-done).status)
	})
}

func FuzzArray(f *testing.F) {
	for _, seed := range []string{`[]`, `["a","b"]`, ` [ "\u0041" , "\"]" ] `, `["a",1]`, `{}`, `[[]]`, `["`, `[,]`, "[\"\xff\"]", `["\ud83d\ude00","\ud83d"]`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, wrong := sockjs.Array(text)
		var want []string
		err := json.Unmarshal([]byte(text), &want)
		if wrong != "" {
			require.Contains(t, []string{expected, broken}, wrong)
			if err == nil && utf8.ValidString(text) && want != nil {
				var raw []*string // null is a string to encoding/json
				require.NoError(t, json.Unmarshal([]byte(text), &raw))
				require.Contains(t, raw, (*string)(nil))
			}
			return
		}
		require.NoError(t, err)
		require.Equal(t, want, got)
	})
}

func FuzzForm(f *testing.F) {
	for _, seed := range []string{"", "d=", "d=%5B%5D", "a=b&d=x+y%2B", "d=%zz", "d=1&d=2", "&&d", "d&d=0", "%64=1&d=2", strings.Repeat("a=1&", 100) + "d=1"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, form string) {
		got, wrong := sockjs.FormField(form)
		if wrong != "" {
			require.Empty(t, got)
			return
		}
		if want, err := url.ParseQuery(form); err == nil {
			require.Equal(t, want.Get("d"), got)
		}
	})
}

func FuzzCallback(f *testing.F) {
	for _, seed := range []string{"", "c=x", "c=%63", "callback=a.b-c_0", "c=%28", "c=" + strings.Repeat("x", 40), "c;=1"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, query string) {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.URL.RawQuery = query
		name, wrong := sockjs.CallbackOf(r)
		if wrong != "" {
			require.Empty(t, name)
			return
		}
		require.Regexp(t, `^[a-zA-Z0-9\-_.]{1,32}$`, name)
	})
}

// task is what a message has given rise to.
type task struct{ run func() }

func (k task) Run() { k.run() }

// What a message gives rise to is done, and neither a request nor a WebSocket waits for that.
func TestTasks(t *testing.T) {
	bubble(t, func(t *testing.T, h *harness) {
		begin, ran := make(chan struct{}), make(chan struct{}, 10)
		do := func(c *client) {
			c.receive = func(*session.Message) { c.Flow.Start(task{func() { <-begin; ran <- struct{}{} }}) }
		}
		target, c := h.open()
		do(c)
		assert.Equal(t, 204, h.post(target+"/xhr_send", `["{\"event\":\"a\"}","{\"event\":\"b\"}"]`).status)
		w, c2 := h.framed()
		do(c2)
		w.write(`["{\"event\":\"a\"}","{\"event\":\"b\"}"]`, `["{\"event\":\"c\"}"]`)
		b, c3 := h.bare()
		do(c3)
		b.write(`{"event":"a"}`, `{"event":"b"}`)
		for _, one := range []*client{c, c2, c3} {
			assert.Equal(t, "a ", one.next(t))
			assert.Equal(t, "b ", one.next(t))
			one.Flow.Listen()
		}
		assert.Equal(t, "c ", c2.next(t))
		close(begin)
		for range 7 {
			<-ran
		}
	})
}

// A message whose memory is used again does not change what waits.
func TestLentMessages(t *testing.T) {
	h := newHarness(t)
	target, c := h.open()
	var m session.Message
	for _, text := range []string{"one", "two", "three"} {
		m.Reset()
		m.Name, m.Lent, m.Args = "e", true, session.Args{Text: []byte(`"` + text + `"`), Count: 1}
		require.NoError(t, c.Conn.Send(&m))
	}
	assert.Equal(t, e("one", "two", "three"), h.frame(target))
}
