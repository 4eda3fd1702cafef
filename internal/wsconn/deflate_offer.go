package wsconn

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/seed-ce09063a/thinkws/internal/headers"
)

const extensions = "Sec-Websocket-Extensions"

// agreement answers an offer of compression. Neither side keeps a context from message to message: that would cost each
// connection more than all the rest of it, and frames could not be shared.
const agreement = "permessage-deflate; client_no_context_takeover; server_no_context_takeover"

// nameDeflate writes into the header of the answer that messages may be compressed, and reports whether they may be: if
// the client makes an offer that can be accepted.
func nameDeflate(answer http.Header, r *http.Request) bool {
	for offer := range headers.Elements(r.Header[extensions]) {
		if isAcceptable(offer) {
			answer.Set(extensions, agreement)
			return true
		}
	}
	return false
}

// isAcceptable reports whether an offer is one of permessage-deflate that can be accepted. RFC 7692, section 7.1, has a
// server decline parameters that it does not know, that are there twice, or whose values are not valid.
func isAcceptable(offer string) bool {
	parts := strings.Split(offer, ";")
	if strings.TrimSpace(parts[0]) != "permessage-deflate" {
		return false
	}
	var seen []string
	for _, parameter := range parts[1:] {
		name, value, hasValue := strings.Cut(strings.TrimSpace(parameter), "=")
		if slices.Contains(seen, name) || !isAcceptableParameter(name, value, hasValue) {
			return false
		}
		seen = append(seen, name)
	}
	return true
}

func isAcceptableParameter(name, value string, hasValue bool) bool {
	switch name {
	case "server_no_context_takeover", "client_no_context_takeover":
		return !hasValue
	case "client_max_window_bits": // we inflate with the largest window, so any will do
		return !hasValue || isWindow(strings.TrimSuffix(strings.TrimPrefix(value, `"`), `"`))
	case "server_max_window_bits":
		return value == "15" // we deflate with the largest one
	default:
		return false
	}
}

// isWindow reports whether value is a number from 8 to 15, without leading zeros.
func isWindow(value string) bool {
	n, _ := strconv.Atoi(value)
	return 8 <= n && n <= 15 && value == strconv.Itoa(n)
}
