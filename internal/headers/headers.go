// Package headers is for headers that more than one party sets, such as Vary: the handler, the middleware in front of
// it, and other servers. Each element of a list, and each cookie, appears once. It also reads what several protocols
// ask of the headers of a request.
package headers

import (
	"iter"
	"net/http"
	"slices"
	"strings"
)

// Append appends to the header called name, such as Vary, the elements of list that it does not have. The result is one
// line. Elements are compared without regard to case.
func Append(h http.Header, name, list string) {
	lines := h[name]
	joined := strings.Join(lines, ", ")
	for element := range Elements([]string{list}) {
		switch {
		case element == "" || contains([]string{joined}, element):
		case joined == "":
			joined = element
		default:
			joined += ", " + element
		}
	}
	if joined != "" && (len(lines) != 1 || joined != lines[0]) {
		h[name] = []string{joined}
	}
}

// Contains reports whether the list in the header called name has an element. It ignores case.
func Contains(h http.Header, name, element string) bool { return contains(h[name], element) }

// IsUpgrade reports whether r asks for a WebSocket.
func IsUpgrade(r *http.Request) bool {
	return Contains(r.Header, "Connection", "upgrade") && Contains(r.Header, "Upgrade", "websocket")
}

func contains(lines []string, element string) bool {
	for e := range Elements(lines) {
		if strings.EqualFold(e, element) {
			return true
		}
	}
	return false
}

// Elements yields the elements of the list in the lines of a header.
func Elements(lines []string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, line := range lines {
			for element := range strings.SplitSeq(line, ",") {
				if !yield(strings.Trim(element, " \t")) {
					return
				}
			}
		}
	}
}

// MatchesETag reports whether If-None-Match of r names an entity tag, which it does weakly (RFC 9110, section 13.1.2).
func MatchesETag(r *http.Request, etag string) bool {
	for tag := range Elements(r.Header["If-None-Match"]) {
		if tag == "*" || strings.TrimPrefix(tag, "W/") == etag {
			return true
		}
	}
	return false
}

// SetCookies sets cookies, given as lines of Set-Cookie. They replace those of the same names and leave the others.
func SetCookies(h http.Header, lines ...string) {
	const name = "Set-Cookie"
	all := slices.DeleteFunc(slices.Clone(h[name]), func(line string) bool {
		return slices.ContainsFunc(lines, func(set string) bool { return cookieName(set) == cookieName(line) })
	})
	if all = append(all, lines...); len(all) > 0 {
		h[name] = all
	}
}

// HasCookie reports whether h sets the cookie called name.
func HasCookie(h http.Header, name string) bool {
	return slices.ContainsFunc(h["Set-Cookie"], func(line string) bool { return cookieName(line) == name })
}

func cookieName(line string) string {
	name, _, _ := strings.Cut(line, "=")
	return strings.TrimSpace(name)
}
