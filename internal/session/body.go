package session

import (
	"errors"
	"io"
	"net/http"
	"os"
)

// believed is how much of a declared length is allocated before it has come, in bytes.
const believed = 4 << 10

// Hold is called with the number of bytes that are held, whenever it changes.
type Hold func(bytes int)

func (h Hold) set(bytes int) {
	if h != nil {
		h(bytes)
	}
}

// Beside returns a Hold for what is held beside so many bytes; nil for nil.
func (h Hold) Beside(bytes int) Hold {
	if h == nil {
		return nil
	}
	return func(more int) { h(bytes + more) }
}

// ReadBody reads the body of a request, up to limit bytes. Otherwise status is what to refuse the request with: 413 for
// a longer one, 408 for one that was not there before the deadline for reading, 400 for any other error. hold may be
// nil. It hears of what is held while the body comes in. The caller owns that in the end, also after an error.
func ReadBody(w http.ResponseWriter, r *http.Request, limit int64, hold Hold) (body []byte, status int) {
	if r.ContentLength > limit {
		return nil, http.StatusRequestEntityTooLarge
	}
	expected := min(max(r.ContentLength, 0), believed)
	body, err := ReadAll(http.MaxBytesReader(w, r.Body, limit), int(expected), limit, hold)
	return body, refusal(err)
}

// DropBody is ReadBody for a body that nobody wants.
func DropBody(w http.ResponseWriter, r *http.Request, limit int64) (status int) {
	if r.ContentLength > limit {
		return http.StatusRequestEntityTooLarge
	}
	_, err := io.Copy(io.Discard, http.MaxBytesReader(w, r.Body, limit))
	return refusal(err)
}

// RefuseBody answers a request whose body has not been read to its end: what follows on the connection cannot be
// trusted. One that is refused with 503 may come again.
func RefuseBody(w http.ResponseWriter, status int) {
	if status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	w.Header().Set("Connection", "close")
	w.WriteHeader(status)
}

// refusal returns the status for a body that could not be read, 0 if it could.
func refusal(err error) (status int) {
	_, tooLarge := errors.AsType[*http.MaxBytesError](err)
	switch {
	case err == nil:
		return 0
	case tooLarge:
		return http.StatusRequestEntityTooLarge
	case errors.Is(err, os.ErrDeadlineExceeded):
		return http.StatusRequestTimeout
	default:
		return http.StatusBadRequest
	}
}

// ReadAll reads r to its end, into memory for expected bytes at first. Memory grows with what has come, by a
// quarter each time, so that a message that never ends holds little more than its bytes. It is for no more
// than limit bytes, which r has to see to. hold is as for ReadBody.
func ReadAll(r io.Reader, expected int, limit int64, hold Hold) ([]byte, error) {
	data := make([]byte, 0, max(expected, 1)+1) // one more than expected, to meet the end
	hold.set(cap(data))
	for {
		n, err := r.Read(data[len(data):cap(data)])
		data = data[:len(data)+n]
		if errors.Is(err, io.EOF) {
			data = Fit(data)
			hold.set(len(data))
			return data, nil
		}
		if err != nil {
			return nil, err
		}
		if len(data) == cap(data) {
			data = grown(data, limit)
			hold.set(cap(data))
		}
	}
}

// grown returns data with room for more: up to limit, one byte more than what may still come, to meet the end.
func grown(data []byte, limit int64) []byte {
	more := int64(max(len(data)/4, 512))
	if left := limit - int64(len(data)); left >= 0 {
		more = min(more-1, left) + 1
	}
	return append(make([]byte, 0, len(data)+int(more)), data...)
}
