package sockjs_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws/internal/sockjs"
)

func TestRoutes(t *testing.T) {
	long := strings.Repeat("x", 256)
	for path, want := range map[string]string{
		"":  "greeting",
		"/": "greeting",

		"/a": "404", "/a.html": "404", "//": "404", "///": "404", "/a/a": "404", "/a/a/": "404", "/a/": "404",

		"/info": "info", "/info/": "info", "/info//": "404", "/INFO": "404", "/info.json": "404", "//info": "404",

		"/iframe.html": "iframe", "/iframe-a.html": "iframe", "/iframe-.html": "iframe", "/iframe-0.1.2.html": "iframe",
		"/iframe-0.1.2abc-dirty.2144.html": "iframe", "/iframe_1.html": "iframe", "/iframe.html/": "iframe",
		"/iframe.htm": "404", "/iframe": "404", "/IFRAME.HTML": "404", "/IFRAME": "404", "/iframe.HTML": "404",
		"/iframe.xml": "404", "/iframe-/.html": "404", "/iframe-A.html": "404", "/iframe%2e.html": "404", "/ifram.html": "404",

		"/websocket": "raw websocket", "/websocket/": "raw websocket", "/websocket//": "404",

		"/s/i/websocket":      `websocket of "i" at "/app"`,
		"/s/i/xhr":            `xhr of "i" at "/app"`,
		"/s/i/xhr/":           `xhr of "i" at "/app"`,
		"/s/i/xhr_streaming":  `xhr_streaming of "i" at "/app"`,
		"/s/i/xhr_send":       `xhr_send of "i" at "/app"`,
		"/s/i/eventsource":    `eventsource of "i" at "/app"`,
		"/s/i/htmlfile":       `htmlfile of "i" at "/app"`,
		"/s/i/jsonp":          `jsonp of "i" at "/app"`,
		"/s/i/jsonp_send":     `jsonp_send of "i" at "/app"`,
		"/_/%20/xhr":          `xhr of " " at "/app"`,
		"/%20/i/xhr":          `xhr of "i" at "/app"`,
		"/a%2Fb/c%2Fd/xhr":    `xhr of "c/d" at "/app"`,
		"/s/%C3%BC/xhr":       `xhr of "ü" at "/app"`,
		"/s/__proto__/xhr":    `xhr of "__proto__" at "/app"`,
		"/s/" + long + "/xhr": `xhr of "` + long + `" at "/app"`,

		"/s/i": "404", "/s/i/": "404", "/s/i/nothing": "404", "/s/i/XHR": "404", "/s/i/xhr//": "404", "/s/i/chunking_test": "404",
		"//i/xhr": "404", "/s//xhr": "404", "///xhr": "404", "/s.s/i/xhr": "404", "/s/i.i/xhr": "404", "/./i/xhr": "404",
		"/../i/xhr": "404", "/s/../xhr": "404", "/s/i/info": "404", "/x/s/i/xhr": "404", "/xhr": "404", "/i/xhr": "404",
		"/s/%zz/xhr": "404", "/s/i/x.html": "404",

		"info": "404", "x/s/i/xhr": "404",
	} {
		assert.Equal(t, want, fmt.Sprint(sockjs.NewRoute("/app"+path, len("/app"))), path)
	}
	assert.Equal(t, `xhr of "i" at ""`, fmt.Sprint(sockjs.NewRoute("/s/i/xhr", 0)))
}

// Without a mount point the end of the path has to tell.
func TestGuessedRoutes(t *testing.T) {
	for path, want := range map[string]string{
		"": "greeting", "/": "greeting",
		"/info": "info", "/a/b/c/info/": "info", "/a/iframe-1.html": "iframe",
		"/websocket": "raw websocket", "/a/websocket": "raw websocket", "/a/b/websocket": `websocket of "b" at "/"`,
		"/s/i/xhr": `xhr of "i" at "/"`, "/a/b/s/i/xhr/": `xhr of "i" at "/a/b"`, "/a//i/xhr": "404", "/a/./xhr": "404",
		"//": "404", "///": "404", "/a": "404", "/a/a/": "404", "a": "404", "xhr": "404", "/xhr": "404", "/i/xhr": "404",
	} {
		assert.Equal(t, want, fmt.Sprint(sockjs.GuessRoute(path)), path)
	}
}

func TestEmbeddedRoutes(t *testing.T) {
	for path, want := range map[string]bool{
		"/iframe.html": true, "/s/i/htmlfile": true, "/s/i/jsonp": true, "/s/i/jsonp_send": true,
		"": false, "/a": false, "/info": false, "/websocket": false, "/s/i/websocket": false, "/s/i/xhr": false,
		"/s/i/xhr_streaming": false, "/s/i/xhr_send": false, "/s/i/eventsource": false,
	} {
		assert.Equal(t, want, sockjs.NewRoute(path, 0).Embedded(), path)
	}
}

func FuzzRoute(f *testing.F) {
	for _, seed := range []string{"", "/", "//", "/info", "/iframe-1.6.1.html", "/websocket", "/s/i/xhr", "/%20/%2F/jsonp/", "/a/b/s/i/xhr_send", "/s/%zz/xhr", "x"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, path string) {
		exact, guess := sockjs.NewRoute("/app"+path, len("/app")), sockjs.GuessRoute(path)
		if !strings.HasPrefix(path, "/") && path != "" {
			require.Equal(t, "404", fmt.Sprint(exact))
		}
		if text := fmt.Sprint(exact); text != "404" && !strings.Contains(path[:max(0, len(path)-1)], "//") {
			kind, _, _ := strings.Cut(text, " at ")
			require.Contains(t, fmt.Sprint(guess), kind, "whoever knows more does not know better")
		}
		if u, err := url.Parse(path); err == nil && strings.Contains(u.Path, "..") {
			require.Equal(t, "404", strings.ReplaceAll(fmt.Sprint(exact), "iframe", "404"), "only names of iframe pages hold dots")
		}
	})
}
