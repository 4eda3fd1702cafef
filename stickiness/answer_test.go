package stickiness_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws/stickiness"
)

// ownedTarget is a poll whose session lives on the server of startOwner.
const ownedTarget = io4 + "&sid=n9aB" + otherSID

// sets is what middleware does, or a handler. Each party sets the headers named Both, to its own name.
func sets(h http.Header, who string) {
	h.Set("Access-Control-Allow-Origin", "https://both.example.com")
	h.Set("X-Both", who)
	h.Set("X-"+who, who)
	h.Set("Content-Type", "text/"+who)
	http.SetCookie(cookies{h}, &http.Cookie{Name: "both", Value: who})
	http.SetCookie(cookies{h}, &http.Cookie{Name: who, Value: "1"})
}

// cookies is a ResponseWriter for http.SetCookie.
type cookies struct{ header http.Header }

func (c cookies) Header() http.Header       { return c.header }
func (c cookies) Write([]byte) (int, error) { return 0, nil }
func (c cookies) WriteHeader(int)           {}

// outer is middleware in front of Forward or the Dispatcher.
func outer(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		sets(h, "front")
		h["X-BOTH-Raw"] = []string{"front"} // in letters of its own
		h.Add("Vary", "Accept-Encoding")
		h.Add("Vary", "Cookie")
		h.Set("ETag", `"of the front"`)
		h.Set("Last-Modified", "of the front")
		next.ServeHTTP(w, r)
	})
}

// owned sets the headers of the owner.
func owned(h http.Header) {
	sets(h, "owner")
	h.Set("X-Both-Raw", "owner")
	h.Add("Vary", "Origin")
	h.Add("Vary", "accept-encoding")
}

// merged checks the headers of an answer that both have set headers of.
func merged(t *testing.T, h http.Header, about string) {
	t.Helper()
	for name, want := range map[string][]string{
		"Access-Control-Allow-Origin": {"https://both.example.com"},
		"X-Both":                      {"owner"},
		"X-Both-Raw":                  {"owner"},
		"X-Front":                     {"front"},
		"X-Owner":                     {"owner"},
		"Content-Type":                {"text/owner"},
		"Vary":                        {"Accept-Encoding, Cookie, Origin"},
		"Set-Cookie":                  {"front=1", "both=owner", "owner=1"},
	} {
		assert.Equal(t, want, h[name], "%s: %s", about, name)
	}
}

// notDescribed checks that no header of the front describes the body of the owner.
func notDescribed(t *testing.T, h http.Header, about string) {
	t.Helper()
	assert.Empty(t, h["Etag"], about)
	assert.Empty(t, h["Last-Modified"], about)
}

// local checks the headers of an answer that the front has given itself.
func local(t *testing.T, h http.Header, about string) {
	t.Helper()
	for name, want := range map[string][]string{
		"Access-Control-Allow-Origin": {"https://both.example.com"},
		"X-Both":                      {"front"},
		"X-Both-Raw":                  {"front"},
		"X-Front":                     {"front"},
		"X-Owner":                     nil,
		"Set-Cookie":                  {"both=front", "front=1"},
	} {
		assert.Equal(t, want, h[name], "%s: %s", about, name)
	}
}

// fronted is a server whose sessions live elsewhere, behind middleware.
type fronted struct {
	url   string
	stats func() stickiness.Stats
}

// serve starts a server for the test.
func serve(t *testing.T, h http.Handler) string {
	t.Helper()
	server := httptest.NewUnstartedServer(h)
	server.Config.ReadHeaderTimeout = 5 * time.Second
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	server.Start()
	t.Cleanup(server.Close)
	return server.URL
}

// inFront starts Forward and the Dispatcher in front of an owner, behind middleware, and runs the test with each.
func inFront(t *testing.T, middleware func(http.Handler) http.Handler, owner http.HandlerFunc, test func(t *testing.T, front fronted)) {
	t.Helper()
	for _, name := range []string{"Forward", "Dispatcher"} {
		t.Run(name, func(t *testing.T) {
			registry := new(stickiness.Static)
			require.NoError(t, registry.Register(t.Context(), stickiness.Node{ID: "n9aB", URL: serve(t, owner)}))
			logger := slog.New(slog.DiscardHandler)
			if name == "Dispatcher" {
				d, err := stickiness.NewDispatcher(registry, stickiness.DispatcherOptions{Logger: logger})
				require.NoError(t, err)
				t.Cleanup(d.Close)
				test(t, fronted{url: serve(t, middleware(d))})
				return
			}
			forward, err := stickiness.Forward(registry, stickiness.Options{
				Node: "n0aB", Secret: secret, Logger: logger, Local: func(*http.Request) bool { return false },
			})
			require.NoError(t, err)
			t.Cleanup(func() { assert.NoError(t, forward.Close(context.WithoutCancel(t.Context()))) })
			here := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "served here", http.StatusGone) })
			test(t, fronted{url: serve(t, middleware(forward.Middleware(here))), stats: forward.Stats})
		})
	}
}

// ask sends a request and returns the answer with its body, and the headers of 1xx responses.
func ask(t *testing.T, method, url string, header http.Header) (res *http.Response, body string, early []http.Header) {
	t.Helper()
	trace := &httptrace.ClientTrace{Got1xxResponse: func(code int, header textproto.MIMEHeader) error {
		assert.Equal(t, http.StatusEarlyHints, code)
		early = append(early, http.Header(header))
		return nil
	}}
	req, err := http.NewRequestWithContext(httptrace.WithClientTrace(t.Context(), trace), method, url, http.NoBody)
	require.NoError(t, err)
	req.Header = header.Clone()
	res, err = freshClient(t, "").Do(req)
	require.NoError(t, err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return res, string(text), early
}

var plainly = http.Header{"Accept-Encoding": {"identity"}}

func TestHeadersOfMiddlewareAppearOnceInFinalResponses(t *testing.T) {
	for _, status := range []int{http.StatusOK, http.StatusNoContent, http.StatusBadRequest, http.StatusServiceUnavailable} {
		for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost} {
			t.Run(fmt.Sprint(method, status), func(t *testing.T) {
				inFront(t, outer, func(w http.ResponseWriter, _ *http.Request) {
					owned(w.Header())
					if status != http.StatusNoContent {
						w.Header().Set("Content-Length", "5")
					}
					w.WriteHeader(status)
					io.WriteString(w, "hello")
				}, func(t *testing.T, front fronted) {
					res, body, _ := ask(t, method, front.url+ownedTarget, plainly)
					assert.Equal(t, status, res.StatusCode)
					merged(t, res.Header, "final")
					notDescribed(t, res.Header, "final")
					if status != http.StatusNoContent {
						assert.Equal(t, []string{"5"}, res.Header["Content-Length"])
					}
					if status != http.StatusNoContent && method != http.MethodHead {
						assert.Equal(t, "hello", body)
					}
				})
			})
		}
	}
}

// An owner that names an origin decides whether its pages may read answers with credentials. If the headers of the
// middleware counted for another origin, such a page could.
func TestCORSOfTheOwnerIsOneFact(t *testing.T) {
	front := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Access-Control-Allow-Origin", "https://app.example.com")
			w.Header()["access-control-allow-credentials"] = []string{"true"} // in letters of its own
			w.Header()["set-cookie"] = []string{"front=1"}
			next.ServeHTTP(w, r)
		})
	}
	for name, tt := range map[string]struct {
		owner http.Header
		want  []string // Allow-Credentials
	}{
		"without credentials": {http.Header{"Access-Control-Allow-Origin": {"https://other.example.com"}, "Set-Cookie": {"owner=1"}}, nil},
		"with them": {http.Header{"Access-Control-Allow-Origin": {"https://other.example.com"}, "Access-Control-Allow-Credentials": {"true"},
			"Set-Cookie": {"owner=1"}}, []string{"true"}},
	} {
		t.Run(name, func(t *testing.T) {
			inFront(t, front, func(w http.ResponseWriter, _ *http.Request) { maps.Copy(w.Header(), tt.owner) }, func(t *testing.T, f fronted) {
				res, _, _ := ask(t, http.MethodGet, f.url+ownedTarget, plainly)
				assert.Equal(t, []string{"https://other.example.com"}, res.Header["Access-Control-Allow-Origin"])
				assert.Equal(t, tt.want, res.Header["Access-Control-Allow-Credentials"])
				assert.Equal(t, []string{"front=1", "owner=1"}, res.Header["Set-Cookie"])
			})
		})
	}
}

// TestLengthOfMiddlewareIsNotTheOwners: middleware has set a length, of whatever it thought would come.
func TestLengthOfMiddlewareIsNotTheOwners(t *testing.T) {
	long := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "1000")
			next.ServeHTTP(w, r)
		})
	}
	inFront(t, long, func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, "hel")
		http.NewResponseController(w).Flush()
		io.WriteString(w, "lo")
	}, func(t *testing.T, front fronted) {
		res, body, _ := ask(t, http.MethodGet, front.url+ownedTarget, plainly)
		assert.Equal(t, "hello", body)
		assert.Empty(t, res.Header["Content-Length"])
	})
}

func TestHeadersOfMiddlewareAppearOnceInEarlyHints(t *testing.T) {
	inFront(t, outer, func(w http.ResponseWriter, _ *http.Request) {
		for i := range 2 {
			owned(w.Header())
			w.Header().Set("Link", fmt.Sprint("</", i, ">"))
			w.WriteHeader(http.StatusEarlyHints)
			clear(w.Header())
		}
		owned(w.Header())
		io.WriteString(w, "hello")
	}, func(t *testing.T, front fronted) {
		res, body, early := ask(t, http.MethodGet, front.url+ownedTarget, plainly)
		assert.Equal(t, "hello", body)
		require.Len(t, early, 2)
		for i, header := range early {
			merged(t, header, "early")
			assert.Equal(t, []string{fmt.Sprint("</", i, ">")}, header["Link"])
		}
		merged(t, res.Header, "final")
		notDescribed(t, res.Header, "final")
		assert.Empty(t, res.Header["Link"])
	})
}

// TestEarlyHintsLeaveTheHeadersOfMiddleware: the final response of the owner sets none of the headers of its 103.
func TestEarlyHintsLeaveTheHeadersOfMiddleware(t *testing.T) {
	inFront(t, outer, func(w http.ResponseWriter, _ *http.Request) {
		owned(w.Header())
		w.WriteHeader(http.StatusEarlyHints)
		clear(w.Header())
		io.WriteString(w, "hello")
	}, func(t *testing.T, front fronted) {
		res, _, early := ask(t, http.MethodGet, front.url+ownedTarget, plainly)
		require.Len(t, early, 1)
		merged(t, early[0], "early")
		local(t, res.Header, "final")
		assert.Equal(t, "Accept-Encoding, Cookie", strings.Join(res.Header["Vary"], ", "))
	})
}

// TestHeadersOfMiddlewareAppearOnceAfterContinue: a client that waits for 100 before it sends its body, as curl does.
func TestHeadersOfMiddlewareAppearOnceAfterContinue(t *testing.T) {
	inFront(t, outer, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		owned(w.Header())
		w.Write(body)
	}, func(t *testing.T, front fronted) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, front.url+ownedTarget, strings.NewReader("hello"))
		require.NoError(t, err)
		req.Header.Set("Expect", "100-continue")
		client := freshClient(t, "")
		client.Transport.(*http.Transport).ExpectContinueTimeout = time.Minute
		res, err := client.Do(req)
		require.NoError(t, err)
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		assert.Equal(t, "hello", string(body))
		merged(t, res.Header, "final")
	})
}

func TestHeadersOfMiddlewareAppearOnceWithTrailers(t *testing.T) {
	for name, announced := range map[string]bool{"announced": true, "not announced": false} {
		t.Run(name, func(t *testing.T) {
			withTrailer := func(next http.Handler) http.Handler {
				return outer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set("Trailer", "X-Front-Trailer")
					next.ServeHTTP(w, r)
					w.Header().Set("X-Front-Trailer", "front")
				}))
			}
			inFront(t, withTrailer, func(w http.ResponseWriter, _ *http.Request) {
				owned(w.Header())
				prefix := http.TrailerPrefix
				if announced {
					w.Header().Set("Trailer", "X-Both, X-Owner-Trailer")
					prefix = ""
				}
				io.WriteString(w, "hello")
				http.NewResponseController(w).Flush()
				w.Header().Set(prefix+"X-Both", "owner's trailer")
				w.Header().Set(prefix+"X-Owner-Trailer", "owner")
			}, func(t *testing.T, front fronted) {
				res, body, _ := ask(t, http.MethodGet, front.url+ownedTarget, plainly)
				assert.Equal(t, "hello", body)
				merged(t, res.Header, "final")
				assert.Equal(t, http.Header{"X-Both": {"owner's trailer"}, "X-Owner-Trailer": {"owner"}, "X-Front-Trailer": {"front"}}, res.Trailer)
			})
		})
	}
}

// hijacks answers as a server that changes to another protocol and says what it hears.
func hijacks(w http.ResponseWriter, r *http.Request) {
	owned(w.Header())
	conn, brw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	header := w.Header().Clone()
	header.Set("Connection", "Upgrade")
	header.Set("Upgrade", r.Header.Get("Upgrade"))
	fmt.Fprint(brw, "HTTP/1.1 101 Switching Protocols\r\n")
	header.Write(brw)
	fmt.Fprint(brw, "\r\n")
	brw.Flush()
	line, _ := brw.ReadString('\n')
	brw.WriteString(line)
	brw.Flush()
}

// switches asks for another protocol and returns the answer, and whether the connection carries it.
func switches(t *testing.T, url string) (*http.Response, *bufio.ReadWriter) {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	require.NoError(t, conn.SetDeadline(time.Now().Add(time.Minute)))
	fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n", strings.Replace(ownedTarget, "polling", "websocket", 1))
	brw := bufio.NewReadWriter(bufio.NewReader(conn), bufio.NewWriter(conn))
	res, err := http.ReadResponse(brw.Reader, nil)
	require.NoError(t, err)
	t.Cleanup(func() { res.Body.Close() })
	return res, brw
}

func TestHeadersOfMiddlewareAppearOnceInUpgrades(t *testing.T) {
	keeps := func(next http.Handler) http.Handler {
		return outer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Connection", "keep-alive") // of another answer than one that upgrades
			w.Header().Set("Content-Length", "0")
			next.ServeHTTP(w, r)
		}))
	}
	inFront(t, keeps, hijacks, func(t *testing.T, front fronted) {
		res, brw := switches(t, front.url)
		require.Equal(t, http.StatusSwitchingProtocols, res.StatusCode)
		merged(t, res.Header, "101")
		notDescribed(t, res.Header, "101")
		assert.Equal(t, []string{"Upgrade"}, res.Header["Connection"])
		assert.Equal(t, []string{"echo"}, res.Header["Upgrade"])
		assert.Empty(t, res.Header["Content-Length"])
		brw.WriteString("hello\n")
		brw.Flush()
		line, err := brw.ReadString('\n')
		require.NoError(t, err)
		assert.Equal(t, "hello\n", line)
	})
}

// TestUpgradesThatFailEndAtTheOwner: the owner has changed its protocol already. Its connection ends, or its handler
// would wait for good, and the answer has the headers of the middleware.
func TestUpgradesThatFailEndAtTheOwner(t *testing.T) {
	hides := func(next http.Handler) http.Handler {
		return outer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			next.ServeHTTP(struct{ http.ResponseWriter }{w}, r)
		}))
	}
	for name, tt := range map[string]struct {
		middleware func(http.Handler) http.Handler
		protocol   string
	}{
		"to another protocol than the client's": {outer, "other"},
		"behind a writer without Hijack":        {hides, "echo"},
	} {
		t.Run(name, func(t *testing.T) {
			ended := make(chan bool, 2)
			inFront(t, tt.middleware, func(w http.ResponseWriter, r *http.Request) {
				r.Header.Set("Upgrade", tt.protocol)
				hijacks(w, r)
				ended <- true
			}, func(t *testing.T, front fronted) {
				res, _ := switches(t, front.url)
				assert.GreaterOrEqual(t, res.StatusCode, 400)
				local(t, res.Header, res.Status)
				assert.True(t, <-ended)
			})
		})
	}
}

func TestStreamsBehindMiddlewareAreNotHeldUp(t *testing.T) {
	heard := make(chan bool)
	inFront(t, outer, func(w http.ResponseWriter, r *http.Request) {
		owned(w.Header())
		for range 3 {
			io.WriteString(w, "piece\n")
			http.NewResponseController(w).Flush()
			select {
			case <-heard:
			case <-r.Context().Done():
			}
		}
	}, func(t *testing.T, front fronted) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, front.url+ownedTarget, http.NoBody)
		require.NoError(t, err)
		res, err := freshClient(t, "").Do(req)
		require.NoError(t, err)
		defer res.Body.Close()
		merged(t, res.Header, "stream")
		body := bufio.NewReader(res.Body)
		for range 3 {
			line, err := body.ReadString('\n')
			require.NoError(t, err)
			assert.Equal(t, "piece\n", line)
			select {
			case heard <- true:
			case <-t.Context().Done():
			}
		}
	})
}

// TestHeadersOfMiddlewareStayIfTheOwnerFails: it ends without an answer, at once or after a 103.
func TestHeadersOfMiddlewareStayIfTheOwnerFails(t *testing.T) {
	for name, hints := range map[string]bool{"at once": false, "after a 103": true} {
		t.Run(name, func(t *testing.T) {
			inFront(t, outer, func(w http.ResponseWriter, _ *http.Request) {
				if hints {
					owned(w.Header())
					w.WriteHeader(http.StatusEarlyHints)
				}
				if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
					conn.Close()
				}
			}, func(t *testing.T, front fronted) {
				want := http.StatusBadGateway // of the dispatcher
				if front.stats != nil {
					want = http.StatusGone
				}
				for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodHead} {
					res, _, _ := ask(t, method, front.url+ownedTarget, plainly)
					assert.Equal(t, want, res.StatusCode)
					local(t, res.Header, "final")
					assert.Equal(t, "Accept-Encoding, Cookie", strings.Join(res.Header["Vary"], ", "))
				}
				sock := "/sockjs/000/abc/xhr"
				if front.stats != nil {
					want = http.StatusServiceUnavailable
				}
				res, _, _ := ask(t, http.MethodPost, front.url+sock, plainly)
				assert.Equal(t, want, res.StatusCode)
				local(t, res.Header, "SockJS")
			})
		})
	}
}
