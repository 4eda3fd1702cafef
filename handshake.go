package thinkws

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"weak"

	"github.com/go-chi/chi/v5"

	"github.com/seed-ce09063a/thinkws/internal/session"
)

// handshake is the request that a client came with, as one text. A *http.Request takes
// five times the memory, for as long as the client stays, and most are looked at once,
// if ever: one is made whenever somebody asks, and shared as long as somebody holds it.
type handshake struct {
	ctx    context.Context // of the request; it may have ended
	text   string          // what appendRequest and appendRouting have made of it
	tls    *tls.ConnectionState
	routes chi.Routes    // nil if chi had no part in it
	whole  *http.Request // in place of all that, for a request which is out of the ordinary

	mu   sync.Mutex // protects what follows
	last weak.Pointer[http.Request]
}

// detach keeps r beyond its handler: what middleware put into its context stays, but
// the context no longer ends with the request, the body is gone, and chi's routing context,
// which chi uses again for the next request, is another one.
func detach(r *http.Request) session.Handshake {
	h := &handshake{ctx: r.Context(), tls: r.TLS}
	routing := chi.RouteContext(h.ctx)
	if !isPlain(r) {
		h.whole = keepWhole(r, routing)
		return h
	}
	text := appendRequest(make([]byte, 0, 2048), r)
	if routing != nil {
		h.routes = routing.Routes
		text = appendRouting(text, routing)
	}
	h.text = string(text)
	return h
}

// isPlain reports whether r holds nothing beyond its written form.
func isPlain(r *http.Request) bool {
	u := r.URL
	return u.User == nil && u.Opaque == "" && u.Scheme == "" && u.Host == "" && u.Fragment == "" && !u.ForceQuery && !u.OmitHost &&
		r.Form == nil && r.MultipartForm == nil && r.Trailer == nil &&
		len(r.TransferEncoding) == 0 && !strings.Contains(r.Pattern, "{")
}

func keepWhole(r *http.Request, routing *chi.Context) *http.Request {
	ctx := context.WithoutCancel(r.Context())
	if routing != nil {
		ctx = context.WithValue(ctx, chi.RouteCtxKey, routing.Clone())
	}
	kept := r.WithContext(ctx)
	kept.Body, kept.GetBody = http.NoBody, nil
	return kept
}

// RemoteAddr implements session.Handshake.
func (h *handshake) RemoteAddr() string {
	if h.whole != nil {
		return h.whole.RemoteAddr
	}
	return (&reader{h.text}).next()
}

// Request implements session.Handshake.
func (h *handshake) Request() *http.Request {
	if h.whole != nil {
		return h.whole
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if r := h.last.Value(); r != nil {
		return r
	}
	r := h.build()
	h.last = weak.Make(r)
	return r
}

// copyOf returns a copy of r, which is shared by all that is done for a client, for code of the service.
// A call of FormValue parses the query into the request. Two calls at a time, as by Authorize in two
// namespaces, would write to one map, which ends the process.
func copyOf(r *http.Request) *http.Request { return r.WithContext(r.Context()) }

func (h *handshake) build() *http.Request {
	text := &reader{h.text}
	r := readRequest(text)
	r.TLS, r.Body = h.tls, http.NoBody
	ctx := context.WithoutCancel(h.ctx)
	if h.routes != nil {
		routing := readRouting(text)
		routing.Routes = h.routes
		ctx = context.WithValue(ctx, chi.RouteCtxKey, routing)
	}
	return r.WithContext(ctx)
}

// appendRequest begins with the remote address, for it is asked for most.
func appendRequest(b []byte, r *http.Request) []byte {
	b = appendTexts(b, r.RemoteAddr, r.Method, r.Proto, r.Host, r.RequestURI, r.Pattern)
	if path, query, _ := strings.Cut(r.RequestURI, "?"); r.URL.Path == path && r.URL.RawQuery == query && r.URL.RawPath == "" {
		b = appendTexts(b, "") // nothing the URI would not tell
	} else {
		b = appendTexts(b, "/", r.URL.Path, r.URL.RawPath, r.URL.RawQuery)
	}
	b = binary.AppendUvarint(b, uint64(len(r.Header)))
	for key, values := range r.Header {
		b = appendList(appendTexts(b, key), values)
	}
	return b
}

func readRequest(text *reader) *http.Request {
	r := &http.Request{URL: &url.URL{}}
	r.RemoteAddr, r.Method, r.Proto = text.next(), text.next(), text.next()
	r.Host, r.RequestURI, r.Pattern = text.next(), text.next(), text.next()
	r.ProtoMajor, r.ProtoMinor, _ = http.ParseHTTPVersion(r.Proto)
	if text.next() == "" {
		r.URL.Path, r.URL.RawQuery, _ = strings.Cut(r.RequestURI, "?")
	} else {
		r.URL.Path, r.URL.RawPath, r.URL.RawQuery = text.next(), text.next(), text.next()
	}
	n := text.count()
	r.Header = make(http.Header, n)
	for range n {
		key := text.next()
		r.Header[key] = text.list()
	}
	return r
}

func appendRouting(b []byte, c *chi.Context) []byte {
	b = appendTexts(b, c.RoutePath, c.RouteMethod)
	for _, list := range [][]string{c.URLParams.Keys, c.URLParams.Values, c.RoutePatterns} {
		b = appendList(b, list)
	}
	return b
}

func readRouting(text *reader) *chi.Context {
	c := chi.NewRouteContext()
	c.RoutePath, c.RouteMethod = text.next(), text.next()
	c.URLParams.Keys, c.URLParams.Values, c.RoutePatterns = text.list(), text.list(), text.list()
	return c
}

// appendTexts appends each text behind its length.
func appendTexts(b []byte, texts ...string) []byte {
	for _, s := range texts {
		b = append(binary.AppendUvarint(b, uint64(len(s))), s...)
	}
	return b
}

// appendList appends texts behind their number.
func appendList(b []byte, texts []string) []byte {
	return appendTexts(binary.AppendUvarint(b, uint64(len(texts))), texts...)
}

// reader reads what has been appended.
type reader struct{ text string }

func (r *reader) count() int {
	n, shift := 0, 0
	for {
		c := r.text[0]
		r.text = r.text[1:]
		n |= int(c&0x7f) << shift
		if c < 0x80 {
			return n
		}
		shift += 7
	}
}

func (r *reader) next() string {
	n := r.count()
	s := r.text[:n]
	r.text = r.text[n:]
	return s
}

func (r *reader) list() []string {
	list := make([]string, r.count())
	for i := range list {
		list[i] = r.next()
	}
	return list
}
