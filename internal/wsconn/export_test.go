package wsconn

// Bridge to what the external tests look at.

// Bounds of a Watch.
const (
	Places   = places
	Patience = patience
)

// Looking reports whether the Watch still looks at its places.
func (w *Watch) Looking() bool { return w.looking.Load() }
