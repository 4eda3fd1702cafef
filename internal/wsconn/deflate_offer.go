package wsconn

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/seed-ce09063a/thinkws/internal/headers"
)

// withValidOffers returns r without the offers of permessage-deflate that RFC 7692, section 7.1, has a server decline and
// coder/websocket accepts: parameters that are there twice, that have a value where they may have none, or one that is not 8 to 15.
func withValidOffers(r *http.Request) *http.Request {
	var valid []string
	declined := false
	for offer := range headers.Elements(r.Header[extensions]) {
		if isInvalid(offer) {
			declined = true
		} else {
			valid = append(valid, offer)
		}
	}
	if !declined {
		return r
	}
	clean := *r
	clean.Header = r.Header.Clone()
	clean.Header.Set(extensions, strings.Join(valid, ","))
	return &clean
}

// isInvalid reports whether an offer is one of permessage-deflate that has to be declined.
func isInvalid(offer string) bool {
	parts := strings.Split(offer, ";")
	if strings.TrimSpace(parts[0]) != "permessage-deflate" {
		return false
	}
	seen := map[string]bool{}
	for _, parameter := range parts[1:] {
		name, value, hasValue := strings.Cut(parameter, "=")
		name = strings.TrimSpace(name)
		if seen[name] || !isValidParameter(name, strings.TrimSpace(value), hasValue) {
			return true
		}
		seen[name] = true
	}
	return false
}

func isValidParameter(name, value string, hasValue bool) bool {
	value = strings.TrimSuffix(strings.TrimPrefix(value, `"`), `"`)
	switch name {
	case "server_no_context_takeover", "client_no_context_takeover":
		return !hasValue
	case "client_max_window_bits":
		return !hasValue || isWindow(value)
	case "server_max_window_bits":
		return hasValue && isWindow(value)
	default:
		return false
	}
}

// isWindow reports whether value is a number from 8 to 15, without leading zeros.
func isWindow(value string) bool {
	n, _ := strconv.Atoi(value)
	return 8 <= n && n <= 15 && value == strconv.Itoa(n)
}
