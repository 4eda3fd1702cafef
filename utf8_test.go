package thinkws_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws"
)

// brokenJSON is JSON to encoding/json, which does not look at the bytes of strings that a json.Marshaler has written.
const brokenJSON = "\"a\xffb\""

type brokenMarshaler struct{}

func (brokenMarshaler) MarshalJSON() ([]byte, error) { return []byte(brokenJSON), nil }

type brokenText struct{}

func (brokenText) MarshalText() ([]byte, error) { return []byte("a\xffb"), nil }

var brokenValues = map[string]any{
	"RawMessage": json.RawMessage(brokenJSON), "nested": map[string]any{"k": []any{json.RawMessage(brokenJSON)}},
	"Marshaler": brokenMarshaler{}, "TextMarshaler": brokenText{}, "string": "a\xffb",
	"with binary": []any{json.RawMessage(brokenJSON), []byte("\xff")},
}

// readUTF8 returns the next text as it stands on the wire, attachments left out. A JSON parser would hide what browsers
// see.
func (c *speaker) readUTF8(t *testing.T) string {
	t.Helper()
	for {
		text := c.read(t)
		if strings.HasPrefix(text, "binary:") || strings.HasPrefix(text, "b/") || strings.HasPrefix(text, "b4/") {
			continue
		}
		require.True(t, utf8.ValidString(text), "%s: %q", c.name, text)
		return text
	}
}

const replaced = "a(\uFFFD|\\\\ufffd)b"

// Clients drop their connection over one message that is not UTF-8, and everyone who gets it does. So whatever a
// service emits, asks, acknowledges, sends to a room or fails with is UTF-8, on each wire.
func TestWhatIsNotUTF8NeverReachesAClient(t *testing.T) {
	options := []thinkws.Option{
		thinkws.WithOnError(func(*thinkws.Context, error) {}),
		thinkws.On("join", func(c *thinkws.Context) error { return errors.Join(c.Join("room"), c.Ack()) }),
		thinkws.On("ask", func(c *thinkws.Context) error {
			_, err := c.EmitAck(c.Context(), "question", json.RawMessage(brokenJSON))
			return err
		}),
	}
	for name, value := range brokenValues {
		options = append(options,
			thinkws.On("emit "+name, func(c *thinkws.Context) error { return c.Emit("got", value) }),
			thinkws.On("ack "+name, func(c *thinkws.Context) error { return c.Ack(value) }),
			thinkws.On("fail "+name, func(*thinkws.Context) error {
				return &thinkws.Error{Name: "N\xff", Message: "m\xff", Data: value}
			}))
	}
	s := newSite(t, options...)
	speakers := s.speakers()
	for _, c := range speakers {
		for name := range brokenValues {
			for i, event := range []string{"emit ", "ack ", "fail "} {
				c.say(event+name, "1", 7*i)
				assert.Regexp(t, replaced, c.readUTF8(t), "%s, %s", c.name, event+name)
			}
		}
		c.say("join", "1", 7)
		c.read(t)
	}
	for name, value := range brokenValues {
		require.NoError(t, s.handler.Hub().Of("/").To("room").Emit("all", value))
		for _, c := range speakers {
			assert.Regexp(t, replaced, c.readUTF8(t), "%s, %s", c.name, name)
		}
	}
	for _, c := range speakers {
		c.say("ask", "1", 0)
		assert.Regexp(t, replaced, c.readUTF8(t), c.name)
	}
}

func TestNamesOfEventsAreUTF8(t *testing.T) {
	const name = "a\xff"
	_, err := thinkws.New(thinkws.On(name, func(*thinkws.Context) error { return nil }))
	require.ErrorContains(t, err, "UTF-8")
	h, _ := newHandler(t, thinkws.On("try", func(c *thinkws.Context) error {
		for _, err := range []error{c.Emit(name), c.Broadcast(name), c.Others().Emit(name)} {
			assert.ErrorContains(t, err, "UTF-8")
		}
		_, err := c.EmitAck(c.Context(), name)
		assert.ErrorContains(t, err, "UTF-8")
		return c.Ack(1)
	}))
	a := enter(t, h, "/")
	a.emit("try", "1", "")
	assert.Equal(t, []string{"ack 1[1]"}, a.take(1))
}

func TestActionTakesAndGivesUTF8(t *testing.T) {
	h, _ := newHandler(t, thinkws.WithOnError(func(*thinkws.Context, error) {}))
	call := func(fn thinkws.HandlerFunc, body string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		h.Action(fn).ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/action", strings.NewReader(body)))
		return w
	}
	echo := func(c *thinkws.Context) error { return c.Ack(c.WsData()) }
	for _, body := range []string{brokenJSON, "\xff", "{\"\xc3\":1}", "\"\xed\xa0\x80\"", "\xef\xbb\xbf\"\xff\""} {
		w := call(func(*thinkws.Context) error { assert.Fail(t, "called"); return nil }, body)
		assert.Equal(t, http.StatusBadRequest, w.Code, "%q", body)
		assert.Contains(t, w.Body.String(), `"name":"BadRequest"`)
	}
	assert.Equal(t, `"é😀"`, call(echo, `"é😀"`).Body.String())
	for name, value := range brokenValues {
		for _, w := range []*httptest.ResponseRecorder{
			call(func(c *thinkws.Context) error { return c.Ack(value) }, ""),
			call(func(*thinkws.Context) error { return &thinkws.Error{Name: "N\xff", Message: "m\xff", Data: value} }, ""),
		} {
			assert.True(t, utf8.Valid(w.Body.Bytes()), "%s: %q", name, w.Body)
			assert.Regexp(t, replaced, w.Body.String())
		}
	}
}

// The reason for which a client may not enter is data of the service, too.
func TestRefusalsAreUTF8(t *testing.T) {
	s := newSite(t, thinkws.Namespace("/guarded", thinkws.Authorize(func(*thinkws.Context) error {
		return &thinkws.Error{Name: "N\xff", Message: "m\xff", Data: json.RawMessage(brokenJSON)}
	})))
	for _, target := range []string{"/ws/guarded", "/sockjs/websocket?nsp=guarded", "/sockjs/0/refused/websocket?nsp=guarded"} {
		ws := s.upgrade(target)
		for got := ws.read(); !strings.HasPrefix(got, "close "); got = ws.read() {
			assert.True(t, utf8.ValidString(got), "%q", got)
		}
	}
	for _, eio := range []int{4, 3} {
		ws := s.upgrade(fmt.Sprintf("/socket.io/?EIO=%d&transport=websocket&hasty", eio))
		ws.expect("0{")
		ws.send("40/guarded")
		for got := ws.read(); !strings.HasPrefix(got, "44/guarded"); got = ws.read() {
			assert.True(t, utf8.ValidString(got), "%q", got)
		}
		p := s.open(eio, "&hasty")
		require.Equal(t, "200 ok", p.post("40/guarded"))
		assert.True(t, utf8.ValidString(strings.Join(p.get(), "")))
	}
}
