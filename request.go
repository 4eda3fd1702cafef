package thinkws

import (
	"net/http"
	"strings"

	"github.com/go-chi/chi/v5"
)

// namespaceOf is what follows the mount point in the URL of a plain WebSocket:
// "/ws/chat" is "/chat". The query parameter nsp goes before the path. Where the
// handler is mounted is known from the configured path, else from chi's or
// ServeMux's pattern, else (StripPrefix) the whole path is taken.
func namespaceOf(r *http.Request, mount string) string {
	if name := r.URL.Query().Get("nsp"); name != "" {
		return normalize(name)
	}
	return normalize(strings.Trim(belowMount(r, mount), "/"))
}

func belowMount(r *http.Request, mount string) string {
	if _, below, ok := strings.Cut(r.URL.Path+"/", mount+"/"); ok {
		return below
	}
	if routing := chi.RouteContext(r.Context()); routing != nil {
		if below := routing.URLParam("*"); below != "" {
			return below
		}
		return routing.RoutePath
	}
	if below, ok := strings.CutPrefix(r.URL.Path, patternPath(r.Pattern)); ok {
		return below
	}
	return r.URL.Path
}

// patternPath is the path of a ServeMux pattern, "[METHOD ][HOST]/[PATH]", up to its
// first wildcard.
func patternPath(pattern string) string {
	if _, path, ok := strings.Cut(pattern, "/"); ok {
		path, _, _ = strings.Cut(path, "{")
		return "/" + path
	}
	return "/"
}

// below reports whether path is base or lies under it.
func below(path, base string) bool {
	rest, ok := strings.CutPrefix(path, base)
	return ok && (rest == "" || rest[0] == '/')
}
