package session

import (
	"errors"
	"io"
	"net/http"
	"os"
)

// believed is how much of a declared length is allocated before it has come, in bytes.
const believed = 4 << 10

// ReadBody reads the body of a request, up to limit bytes. Otherwise status is what to refuse the request with: 413 for
// a longer one, 408 for one that was not there before the deadline for reading, 400 for any other error.
func ReadBody(w http.ResponseWriter, r *http.Request, limit int64) (body []byte, status int) {
	if r.ContentLength > limit {
		return nil, http.StatusRequestEntityTooLarge
	}
	expected := min(max(r.ContentLength, 0), believed)
	body, err := ReadAll(http.MaxBytesReader(w, r.Body, limit), int(expected), int(limit))
	var tooLarge *http.MaxBytesError
	switch {
	case err == nil:
		return body, 0
	case errors.As(err, &tooLarge):
		return nil, http.StatusRequestEntityTooLarge
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, http.StatusRequestTimeout
	default:
		return nil, http.StatusBadRequest
	}
}

// ReadAll reads r to its end, into memory for expected bytes at first. Memory grows with what has come, by a
// quarter each time, so that a message that never ends holds little more than its bytes. It is for no more
// than limit bytes, which r has to see to.
func ReadAll(r io.Reader, expected, limit int) ([]byte, error) {
	data := make([]byte, 0, max(expected, 1)+1) // one more than expected, to meet the end
	for {
		n, err := r.Read(data[len(data):cap(data)])
		data = data[:len(data)+n]
		if errors.Is(err, io.EOF) {
			return Fit(data), nil
		}
		if err != nil {
			return nil, err
		}
		if len(data) == cap(data) {
			data = grown(data, limit)
		}
	}
}

func grown(data []byte, limit int) []byte {
	size := len(data) + max(len(data)/4, 512)
	if len(data) <= limit {
		size = min(size, limit+1)
	}
	return append(make([]byte, 0, size), data...)
}
