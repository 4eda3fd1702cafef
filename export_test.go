package thinkws

import (
	"net/http"

	"github.com/seed-ce09063a/thinkws/internal/session"
)

// What the tests of package thinkws_test need from the inside.

// Admitter is the hub as a protocol sees it.
func (h *Handler) Admitter() session.Admitter { return (*admitter)(h.hub) }

// Detach keeps a request.
func Detach(r *http.Request) *http.Request { return detach(r).Request() }

// NamespaceOf is the namespace that a plain WebSocket asks for.
func NamespaceOf(r *http.Request, mount string) string { return namespaceOf(r, mount) }

// EncodeArgs marshals the arguments of an event.
func EncodeArgs(values ...any) (session.Args, error) { return newArgsEncoder().encode(nil, values) }

// Compressed is how many frames have been compressed.
func (h *Handler) Compressed() uint64 { return h.hub.deflate.Runs() }

// Tasks waits for all goroutines of the handler.
func (h *Handler) Tasks() interface{ Go(func()) } { return &h.tasks }
