package thinkws

import (
	"errors"
	"net/http"
	"strings"
)

// originClaim is what a request says about the page behind it.
type originClaim struct {
	origin webOrigin // zero if it names none
	text   string    // the same as the client wrote it
	header string    // the Origin header
	site   string    // Sec-Fetch-Site; scripts cannot set it
}

// read sets c, which is zero. It fails if there is an Origin header that cannot be read. A Referer that cannot be read
// only shows that some page is behind the request.
func (c *originClaim) read(r *http.Request) (err error) {
	headers := r.Header.Values("Origin")
	c.header = strings.Join(headers, ", ")
	c.site = strings.Join(r.Header.Values("Sec-Fetch-Site"), ", ")
	if c.header != "" {
		c.text = c.header
		if c.origin, err = parseOrigin(c.header); err != nil && len(headers) > 1 && !errors.Is(err, errOriginBytes) {
			err = errors.New("several Origin headers")
		}
		return err
	}
	if c.text = r.Header.Get("Referer"); c.text == "" {
		return nil
	}
	if c.origin, err = refererOrigin(c.text); err == nil {
		c.text = c.origin.String()
	} else if c.site == "" {
		c.site = "cross-site"
	}
	return nil
}
