package thinkws

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/seed-ce09063a/thinkws/internal/session"
)

// Action serves fn over plain HTTP, so that the same action answers an event and a
// request. The request's body, JSON or nothing, is the action's WsData; the
// arguments of its Ack are the response: one as it is, several as an array, none,
// or no Ack, as 204. Broadcast and To reach the clients in "/"; what needs a client
// (Emit, Join) returns ErrNoClient, and IsWebsocket is false.
//
// An error becomes {"error":{"name":…,"message":…}} with status 400, 403, 404, 408 or 500,
// by the name of the [*Error]; 400 for names of the service's own. Middleware of
// [Use] given to [New] runs, Authorize does not: who may call is for HTTP middleware to say.
// The origin of the request is checked as everywhere. The body is bounded by
// [WithMaxMessage] and [WithReadTimeout].
//
// Security: mount anything that changes something for POST only. A page of any origin can make a
// browser send GET without naming itself. So GET and HEAD are answered 403 if they carry what
// browsers add by themselves (a cookie, a TLS client certificate, or Authorization of the schemes
// Basic, Digest, NTLM and Negotiate) and neither Origin, Referer nor Sec-Fetch-Site.
func (h *Handler) Action(fn HandlerFunc) http.Handler {
	fn = wrap(fn, h.use)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		want := evidenceNone
		if r.Method == http.MethodGet || r.Method == http.MethodHead {
			want = evidenceAmbient
		}
		if !h.admits(w, r, want) {
			return
		}
		args, free, err := h.readArgs(w, r)
		defer free()
		if err != nil {
			h.hub.tally.Note(err)
			refuseArgs(w, err)
			return
		}
		var reply *session.Args
		c := &Context{hub: h.hub, event: r.URL.Path, args: args, request: r}
		c.reply = func(lent session.Args) {
			lent.Text = bytes.Clone(lent.Text)
			reply = &lent
		}
		if o := c.try(fn); o.err != nil {
			c.report(o)
			if reply == nil {
				writeFailure(w, o.failure)
				return
			}
		}
		writeReply(w, reply)
	})
}

// errTooLarge is answered by 413, errTooSlow by 408, errTooMuch by 503, errUnreadable by 400.
var (
	errUnreadable = &Error{Name: BadRequest, Message: "the body could not be read"}
	errTooLarge   = &Error{Name: BadRequest, Message: "the body is too large", Err: session.BodyError(http.StatusRequestEntityTooLarge)}
	errTooMuch    = &Error{Name: Internal, Message: "the server holds too much, try again later"}
	errTooSlow    = &Error{Name: Timeout, Message: "the body came too slowly", Err: session.BodyError(http.StatusRequestTimeout)}
)

// readArgs reads the body of a request. It counts as held until free is called.
func (h *Handler) readArgs(w http.ResponseWriter, r *http.Request) (args session.Args, free func(), err error) {
	body, free, status := h.hub.bodies.Read(w, r)
	args, err = argsOf(body, status, h.cfg.limits.Depth)
	if status == 0 {
		_ = http.NewResponseController(w).SetReadDeadline(time.Time{}) // the action may take its time
	}
	return args, free, err
}

func argsOf(body []byte, status, depth int) (session.Args, error) {
	switch status {
	case 0:
	case http.StatusServiceUnavailable:
		return session.Args{}, errTooMuch
	case http.StatusRequestEntityTooLarge:
		return session.Args{}, errTooLarge
	case http.StatusRequestTimeout:
		return session.Args{}, errTooSlow
	default:
		return session.Args{}, errUnreadable
	}
	if len(body) == 0 {
		return session.Args{}, nil
	}
	if err := session.CheckJSON(body, depth); err != nil { // one that is not UTF-8 would break the connections of those who get it
		return session.Args{}, &Error{Name: BadRequest, Message: "the body is not acceptable JSON", Err: err}
	}
	return session.Args{Text: body, Count: 1}, nil
}

func writeReply(w http.ResponseWriter, reply *session.Args) {
	if reply == nil || reply.Count == 0 {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	body := reply.JSON()
	if reply.Count > 1 {
		body = append(append([]byte{'['}, body...), ']')
	}
	writeJSON(w, http.StatusOK, body)
}

// refuseArgs answers a request whose body readArgs has refused.
func refuseArgs(w http.ResponseWriter, err error) {
	f := failureOf(err)
	switch {
	case errors.Is(err, errTooLarge):
		writeJSON(w, http.StatusRequestEntityTooLarge, failureJSON(f))
	case errors.Is(err, errTooMuch):
		w.Header().Set("Retry-After", "1")
		writeJSON(w, http.StatusServiceUnavailable, failureJSON(f))
	default:
		writeFailure(w, f)
	}
}

func writeFailure(w http.ResponseWriter, f *session.Failure) {
	status := http.StatusBadRequest
	switch f.Name {
	case Forbidden:
		status = http.StatusForbidden
	case NotFound:
		status = http.StatusNotFound
	case Timeout:
		status = http.StatusRequestTimeout
	case Internal:
		status = http.StatusInternalServerError
	}
	writeJSON(w, status, failureJSON(f))
}

func failureJSON(f *session.Failure) []byte {
	type wire struct {
		Name    string          `json:"name"`
		Message string          `json:"message"`
		Data    json.RawMessage `json:"data,omitempty"`
	}
	body, err := json.Marshal(map[string]wire{"error": {f.Name, f.Message, f.Data}})
	if err != nil { // Data was marshaled before: this cannot be
		return []byte(`{"error":{"name":"Internal","message":"internal error"}}`)
	}
	return body
}

func writeJSON(w http.ResponseWriter, status int, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client may have gone; nobody is left to tell
}
