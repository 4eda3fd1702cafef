package stickiness_test

import (
	"bufio"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/go-chi/chi/v5/middleware"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var gzipped = http.Header{"Accept-Encoding": {"gzip"}}

// page is a text that a compressing middleware compresses.
var page = strings.Repeat("a line of text\n", 200)

func servesPage(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html")
	w.Header().Set("Vary", "Origin")
	w.Header().Set("Content-Length", fmt.Sprint(len(page)))
	io.WriteString(w, page)
}

// inAdvance is compressing middleware that sets its header before it knows the answer, as gorilla's CompressHandler
// does.
func inAdvance(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
			next.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Encoding", "gzip")
		gz := gzip.NewWriter(w)
		defer gz.Close()
		next.ServeHTTP(gzipWriter{w, gz}, r)
	})
}

type gzipWriter struct {
	http.ResponseWriter
	gz *gzip.Writer
}

func (w gzipWriter) Write(p []byte) (int, error) {
	w.Header().Del("Content-Length")
	return w.gz.Write(p)
}

func (w gzipWriter) WriteHeader(status int) {
	w.Header().Del("Content-Length")
	w.ResponseWriter.WriteHeader(status)
}

func (w gzipWriter) FlushError() error {
	if err := w.gz.Flush(); err != nil {
		return err
	}
	return http.NewResponseController(w.ResponseWriter).Flush()
}

func nothing(next http.Handler) http.Handler { return next }

// typed sets the type of all answers, as some services do.
func typed(next http.Handler) http.Handler {
	return middleware.SetHeader("Content-Type", "text/html")(next)
}

// compressors are where compression may be: in front of Forward or the Dispatcher, at the owner, or both.
var compressors = map[string]struct {
	front, owner func(http.Handler) http.Handler
}{
	"in front":                     {middleware.Compress(5), nothing},
	"at the owner":                 {nothing, middleware.Compress(5)},
	"at the owner, in advance":     {nothing, inAdvance},
	"in front and at the owner":    {middleware.Compress(5), middleware.Compress(5)},
	"in front, in advance":         {inAdvance, nothing},
	"in advance, and at the owner": {inAdvance, middleware.Compress(5)},
	"in advance at both":           {inAdvance, inAdvance},
}

func TestCompressedOnceWhoeverCompresses(t *testing.T) {
	for name, tt := range compressors {
		t.Run(name, func(t *testing.T) {
			inFront(t, tt.front, tt.owner(http.HandlerFunc(servesPage)).ServeHTTP, func(t *testing.T, front fronted) {
				res, body, _ := ask(t, http.MethodGet, front.url+ownedTarget, gzipped)
				require.Equal(t, []string{"gzip"}, res.Header["Content-Encoding"])
				assert.NotEqual(t, fmt.Sprint(len(page)), res.Header.Get("Content-Length"))
				assert.Equal(t, []string{"text/html"}, res.Header["Content-Type"])
				namesOnce(t, res.Header, "Vary")
				gz, err := gzip.NewReader(strings.NewReader(body))
				require.NoError(t, err)
				text, err := io.ReadAll(gz)
				require.NoError(t, err)
				assert.Equal(t, page, string(text))

				res, _, _ = ask(t, http.MethodHead, front.url+ownedTarget, gzipped)
				assert.Len(t, res.Header["Content-Encoding"], 1)

				res, body, _ = ask(t, http.MethodGet, front.url+ownedTarget, plainly)
				assert.Empty(t, res.Header["Content-Encoding"])
				assert.Equal(t, []string{fmt.Sprint(len(page))}, res.Header["Content-Length"])
				assert.Equal(t, page, body)
			})
		})
	}
}

// namesOnce checks that a list, which may have several lines, has each element once.
func namesOnce(t *testing.T, h http.Header, name string) {
	t.Helper()
	seen := map[string]bool{}
	for element := range strings.SplitSeq(strings.Join(h[name], ","), ",") {
		element = strings.ToLower(strings.TrimSpace(element))
		assert.False(t, seen[element], "%s: %q", name, h[name])
		seen[element] = true
	}
}

func TestCompressedStreamsAreNotHeldUp(t *testing.T) {
	for name, tt := range compressors {
		t.Run(name, func(t *testing.T) {
			heard := make(chan bool)
			owner := tt.owner(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "text/html")
				for range 3 {
					io.WriteString(w, "piece\n")
					http.NewResponseController(w).Flush()
					select {
					case <-heard:
					case <-r.Context().Done():
					}
				}
			}))
			inFront(t, tt.front, owner.ServeHTTP, func(t *testing.T, front fronted) {
				req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, front.url+ownedTarget, http.NoBody)
				require.NoError(t, err)
				req.Header = gzipped.Clone()
				res, err := freshClient(t, "").Do(req)
				require.NoError(t, err)
				defer res.Body.Close()
				gz, err := gzip.NewReader(res.Body)
				require.NoError(t, err)
				body := bufio.NewReader(gz)
				for range 3 {
					line, err := body.ReadString('\n')
					require.NoError(t, err)
					assert.Equal(t, "piece\n", line)
					heard <- true
				}
			})
		})
	}
}

// TestCompressorThatDecidesByTheEarlyHints: chi's decides by the first header that it sees, also by that of a 103.
func TestCompressorThatDecidesByTheEarlyHints(t *testing.T) {
	early := func(next http.Handler) http.Handler { return middleware.Compress(5)(typed(next)) }
	inFront(t, early, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Link", "</a>")
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Set("Content-Type", "text/html")
		io.WriteString(w, page)
	}, func(t *testing.T, front fronted) {
		res, body, _ := ask(t, http.MethodGet, front.url+ownedTarget, gzipped)
		require.Equal(t, []string{"gzip"}, res.Header["Content-Encoding"])
		gz, err := gzip.NewReader(strings.NewReader(body))
		require.NoError(t, err)
		text, err := io.ReadAll(gz)
		require.NoError(t, err)
		assert.Equal(t, page, string(text))
	})
}
