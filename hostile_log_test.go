package thinkws_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/seed-ce09063a/thinkws"
)

// records is a slog.Handler that keeps the length of each attribute.
type records struct {
	mu      sync.Mutex     // protects what follows
	longest map[string]int // by message and key
	stacks  int
}

func (*records) Enabled(context.Context, slog.Level) bool { return true }
func (l *records) WithGroup(string) slog.Handler          { return l }

func (l *records) WithAttrs(attrs []slog.Attr) slog.Handler {
	l.note("WithAttrs", attrs...)
	return l
}

func (l *records) Handle(_ context.Context, r slog.Record) error {
	l.note(r.Message)
	r.Attrs(func(a slog.Attr) bool {
		l.note(r.Message, a)
		return true
	})
	return nil
}

func (l *records) note(message string, attrs ...slog.Attr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.longest[message] = max(l.longest[message], len(message))
	for _, a := range attrs {
		if a.Key == "stack" {
			l.stacks++
			continue
		}
		key := message + ": " + a.Key
		l.longest[key] = max(l.longest[key], len(fmt.Sprint(a.Value.Any())))
	}
}

// Row B8: whatever clients write, no attribute of a log line is longer than 256 bytes, and no error that the
// hook gets quotes more of it.
func TestHostileB8LongLines(t *testing.T) {
	for _, hook := range []bool{false, true} {
		t.Run(fmt.Sprintf("with a hook %v", hook), func(t *testing.T) {
			log := &records{longest: map[string]int{}}
			rs := &reports{}
			options := []thinkws.Option{
				thinkws.WithAllowOrigin("https://app.example"), thinkws.WithAllowedHosts("localhost"),
				thinkws.WithLogger(slog.New(log)), thinkws.WithReceiveRate(20, 1<<20),
				thinkws.WithLimits(thinkws.Limits{Name: 5000, SessionsPerAddress: 50}),
				thinkws.On("fail", func(c *thinkws.Context) error { return errors.New("unexpected " + string(c.WsData())) }),
				thinkws.On("panic", func(c *thinkws.Context) error { panic("unexpected " + string(c.WsData())) }),
				thinkws.On("time", thinkws.Bind(func(*thinkws.Context, struct{ At []byte }) error { return nil })),
				thinkws.Namespace("/closed", thinkws.Authorize(func(c *thinkws.Context) error {
					return &thinkws.Error{Name: thinkws.Forbidden, Message: string(c.Websocket().Auth())}
				})),
			}
			if hook {
				options = append(options, thinkws.WithOnError(rs.hear))
			}
			s := newSite(t, options...)
			s.provokeLongLines(strings.Repeat("%01", 2000), strings.Repeat("x", 5000))
			log.mu.Lock()
			defer log.mu.Unlock()
			rs.mu.Lock()
			defer rs.mu.Unlock()
			for what, n := range log.longest {
				assert.LessOrEqual(t, n, 256, what)
			}
			for _, r := range rs.all {
				if strings.Contains(r.err.Error(), "unexpected") {
					continue // the service has put that much into its error
				}
				assert.LessOrEqual(t, len(r.err.Error()), 1024, "%.300s", r.err)
			}
			for _, message := range []string{"origin refused", "host refused", "client refused", "action failed", "event without an action",
				"client slowed down", "malformed frame", "Socket.IO packet ignored", "Engine.IO request refused"} {
				if message != "action failed" || !hook {
					assert.Positive(t, log.longest[message], message)
				}
			}
		})
	}
}

// provokeLongLines does what is logged, with as long a text as there can be.
func (s *site) provokeLongLines(path, text string) {
	fail := s.handler.Action(func(c *thinkws.Context) error { return errors.New("unexpected " + string(c.WsData())) })
	for _, body := range []string{`"` + text + `"`, text} {
		r := httptest.NewRequest(http.MethodPost, "http://localhost/fail/"+path, strings.NewReader(body))
		fail.ServeHTTP(httptest.NewRecorder(), r)
	}
	for _, request := range []string{
		get("/socket.io/" + path + "/?EIO=4&transport=polling&hasty"),
		get("/socket.io/?EIO=4&transport=" + text), get("/socket.io/?EIO=" + text + "&transport=polling"), get(io4 + "polling&sid=" + text),
		raw(strings.ToUpper(text), io4+"polling", ""),
		get("/socket.io/"+path+"/", "Origin: https://evil.example/"+text, "Cookie: a=b"),
		get("/socket.io/"+path+"/", "Origin: https://"+text, "Cookie: a=b", "User-Agent: "+text),
		get("/socket.io/"+path+"/", "Referer: https://"+text+".example/"),
		strings.Replace(get("/socket.io/"+path+"/"), "localhost", text, 1),
		get("/ws/" + path), upgradeRequest("/ws/"+path, ""), upgradeRequest("/ws/", "Sec-WebSocket-Version: "+text+"\r\n"),
		get("/sockjs/" + path), post("/sockjs/0/"+path+"/xhr", ""), post("/sockjs/0/"+text[:4000]+"/xhr_send", text), get("/sockjs/0/x/jsonp?c=" + text),
	} {
		_, _ = s.exchange(request)
	}
	events := []string{"fail", "panic", "time", text}
	for _, kind := range []string{"v4", "v3", "plain"} {
		for _, event := range events {
			s.finish(kind, event, text)
		}
	}
}

// finish sends more events than the rate allows, and has the client sent away.
func (s *site) finish(kind, event, text string) {
	ws, _ := s.enter(kind)
	say := map[string]string{"v4": `42["%s","%s"]`, "v3": `42["%s","%s"]`, "plain": `{"event":"%s","data":"%s"}`}[kind]
	for _, frame := range []string{"42/" + text[:200] + `,["x"]`, "40/" + text[:4000] + ",", `40/closed,{"a":"` + text + `"}`, "{" + text} {
		if kind == "plain" != (frame[0] == '4') {
			ws.send(frame)
		}
	}
	for range 45 {
		ws.send(fmt.Sprintf(say, event, text))
	}
	ws.send(fmt.Sprintf(say, "kick", ""))
	for frame := ws.read(); frame != "gone" && !strings.HasPrefix(frame, "close"); {
		frame = ws.read()
	}
	_ = ws.conn.Close()
}
