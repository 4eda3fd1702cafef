package wsconn

import (
	"net/http"
	"strings"
)

// withValidOffers returns r without the offers of permessage-deflate that RFC 7692, section 7.1, has a server decline and
// coder/websocket accepts: parameters that are there twice, that have a value where they may have none, or one that is not 8 to 15.
func withValidOffers(r *http.Request) *http.Request {
	lines := r.Header.Values(extensions)
	var valid []string
	declined := false
	for _, line := range lines {
		for offer := range strings.SplitSeq(line, ",") {
			if isDeflate(offer) && !isValidOffer(offer) {
				declined = true
				continue
			}
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

func isDeflate(offer string) bool {
	name, _, _ := strings.Cut(offer, ";")
	return strings.TrimSpace(name) == "permessage-deflate"
}

func isValidOffer(offer string) bool {
	_, parameters, some := strings.Cut(offer, ";")
	seen := map[string]bool{}
	for some {
		var parameter string
		parameter, parameters, some = strings.Cut(parameters, ";")
		name, value, hasValue := strings.Cut(parameter, "=")
		name = strings.TrimSpace(name)
		if seen[name] || !isValidParameter(name, strings.TrimSpace(value), hasValue) {
			return false
		}
		seen[name] = true
	}
	return true
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
	switch value {
	case "8", "9", "10", "11", "12", "13", "14", "15":
		return true
	default:
		return false
	}
}
