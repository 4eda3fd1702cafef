package thinkws

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"io/fs"
	"net/http"
	"path"
	"strings"

	"github.com/seed-ce09063a/thinkws/internal/headers"
)

// clientNames are the files of Node's client that a Socket.IO server hands out.
var clientNames = [...]string{
	"socket.io.js", "socket.io.min.js", "socket.io.esm.min.js", "socket.io.msgpack.min.js",
	"socket.io.js.map", "socket.io.min.js.map", "socket.io.esm.min.js.map", "socket.io.msgpack.min.js.map",
}

// clientFiles serves Node's client. It is read once and immutable.
type clientFiles map[string]clientFile

type clientFile struct {
	body []byte
	etag string
}

// readClientFiles takes from files what is there, and fails if nothing is.
func readClientFiles(files fs.FS) (clientFiles, error) {
	read := clientFiles{}
	for _, name := range clientNames {
		body, err := fs.ReadFile(files, name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		sum := sha256.Sum256(body)
		read[name] = clientFile{body, `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`}
	}
	if len(read) == 0 {
		return nil, errors.New("none of the client's files is there, such as socket.io.js")
	}
	return read, nil
}

// serve answers a request for one of the files; false if r is for none of them.
func (c clientFiles) serve(w http.ResponseWriter, r *http.Request) bool {
	f, ok := c[path.Base(r.URL.Path)]
	if !ok || r.Method != http.MethodGet && r.Method != http.MethodHead {
		return false
	}
	header := w.Header()
	header.Set("Cache-Control", "public, max-age=0")
	header.Set("ETag", f.etag)
	header.Set("X-Content-Type-Options", "nosniff")
	if headers.MatchesETag(r, f.etag) {
		w.WriteHeader(http.StatusNotModified)
		return true
	}
	header.Set("Content-Type", "application/javascript; charset=utf-8")
	if strings.HasSuffix(r.URL.Path, ".map") {
		header.Set("Content-Type", "application/json; charset=utf-8")
	}
	if r.Method == http.MethodGet {
		_, _ = w.Write(f.body) // the client may have gone; nobody is left to tell
	}
	return true
}
