package sockjs

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"html"
	"net/http"

	"github.com/seed-ce09063a/thinkws/internal/headers"
)

// serveGreeting answers people who look whether somebody is at home.
func serveGreeting(w http.ResponseWriter) {
	writeText(w, http.StatusOK, "Welcome to SockJS!\n")
}

// serveInfo tells a client, before anything else, what it may use. Clients seed their
// random numbers, and so their session ids, with the entropy.
func (s *Server) serveInfo(w http.ResponseWriter) {
	var entropy [4]byte
	rand.Read(entropy[:]) // never fails: crypto/rand
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	_, _ = fmt.Fprintf(w, `{"websocket":%t,"origins":["*:*"],"cookie_needed":%t,"entropy":%d}`,
		s.cfg.WebSocket, s.cfg.Cookie, binary.BigEndian.Uint32(entropy[:]))
}

// iframePage runs the client on this server's origin, for pages of other origins whose
// browsers know no other way. Clients depend on it letter for letter.
const iframePage = `<!DOCTYPE html>
<html>
<head>
  <meta http-equiv="X-UA-Compatible" content="IE=edge" />
  <meta http-equiv="Content-Type" content="text/html; charset=UTF-8" />
  <script src="%s"></script>
  <script>
    document.domain = document.domain;
    SockJS.bootstrap_iframe();
  </script>
</head>
<body>
  <h2>Don't panic!</h2>
  <p>This is a SockJS hidden iframe. It's used for cross domain magic.</p>
</body>
</html>`

// page is a file made at the start.
type page struct {
	body string
	etag string
}

func newIframePage(clientURL string) page {
	if clientURL == "" {
		return page{}
	}
	body := fmt.Sprintf(iframePage, html.EscapeString(clientURL))
	sum := sha256.Sum256([]byte(body))
	return page{body: body, etag: `"` + hex.EncodeToString(sum[:16]) + `"`}
}

// serve answers with the page, or says that the client has it already.
func (p page) serve(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	setCacheable(h)
	h.Set("ETag", p.etag)
	if headers.MatchesETag(r, p.etag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("Content-Type", "text/html; charset=UTF-8")
	w.Write([]byte(p.body)) // a client that has gone does not read it
}
