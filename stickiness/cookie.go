package stickiness

import (
	"cmp"
	"net/http"

	"github.com/seed-ce09063a/thinkws/internal/headers"
)

const defaultCookie = "sio_node"

// NodeCookie returns middleware that tells clients by a cookie which node has answered them,
// for load balancers that route by cookies. Name (default "sio_node"), Path (default "/"),
// SameSite (default Lax), Secure, Domain and MaxAge are taken from cookie; it is HttpOnly. It
// fails if they cannot be.
//
// The middleware goes behind [Forward], so that the server that answers names itself, not the one that forwards. It
// replaces a cookie of the same name that the response sets already.
//
// The cookie is a hint, never a proof of anything. Clients without cookies, and pages of other
// origins that send none, need the session id or [Forward].
func NodeCookie(node string, cookie http.Cookie) (func(http.Handler) http.Handler, error) {
	cookie, err := prepareCookie(cookie)
	if err != nil {
		return nil, err
	}
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			setNodeCookie(w.Header(), r, cookie, node)
			next.ServeHTTP(w, r)
		})
	}, nil
}

func prepareCookie(cookie http.Cookie) (http.Cookie, error) {
	cookie.Name = cmp.Or(cookie.Name, defaultCookie)
	cookie.Path = cmp.Or(cookie.Path, "/")
	cookie.HttpOnly = true
	if cookie.SameSite == 0 {
		cookie.SameSite = http.SameSiteLaxMode
	}
	cookie.Value = "x"
	err := cookie.Valid()
	return cookie, err
}

// setNodeCookie sets the cookie unless the client has it.
func setNodeCookie(h http.Header, r *http.Request, cookie http.Cookie, node string) {
	if has, err := r.Cookie(cookie.Name); err == nil && has.Value == node {
		return
	}
	cookie.Value = node
	headers.SetCookies(h, cookie.String())
}
