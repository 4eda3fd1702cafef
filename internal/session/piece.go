package session

import (
	"errors"
	"net/http"
	"os"
	"time"
)

// Piece is how much a client must take within the write timeout, in bytes, if that much is sent. Longer writes are made
// in pieces, each with a deadline of its own. So the time for a message grows with its length.
const Piece = 64 << 10

// MostPolled is how much one response to a poll carries, in bytes. A longer message goes alone. The client makes room
// in its send queue with each response that it takes.
const MostPolled = 1 << 20

// WriteBody writes p in pieces, and does not flush. A timeout starts with each piece. If a piece is not taken in time,
// the error is os.ErrDeadlineExceeded. Where w supports no deadlines, there are none.
func WriteBody(w http.ResponseWriter, p []byte, timeout func() time.Duration) error {
	rc := http.NewResponseController(w)
	for {
		n := min(len(p), Piece)
		deadline := time.Now().Add(timeout())
		_ = rc.SetWriteDeadline(deadline) // where supported
		if _, err := w.Write(p[:n]); err != nil {
			if !time.Now().Before(deadline) { // HTTP/2 has another error for it
				err = errors.Join(os.ErrDeadlineExceeded, err)
			}
			return err
		}
		if p = p[n:]; len(p) == 0 {
			return nil
		}
	}
}
