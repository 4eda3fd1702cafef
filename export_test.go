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

// MountOf is what of a request's path is the mount point of its handler.
func MountOf(r *http.Request) string { return r.URL.EscapedPath()[:mountOf(r, r.URL.EscapedPath())] }

// IndexPath is what of a path comes up to the end of mount.
func IndexPath(path, mount string) string { return path[:indexPath(path, mount)] }

// MemoryLimit is what Limits.Memory comes to.
func (l Limits) MemoryLimit() int64 { return l.memory() }

// Holders is how many clients or requests Limits.Memory knows as holding something.
func (h *Handler) Holders() int { return h.hub.ledger.Holders() }

// Compressed is how many frames have been compressed.
func (h *Handler) Compressed() uint64 { return h.hub.deflate.Runs() }

// Tasks waits for all goroutines of the handler.
func (h *Handler) Tasks() interface{ Go(func()) } { return &h.tasks }
