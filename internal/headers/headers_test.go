package headers_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/seed-ce09063a/thinkws/internal/headers"
)

func TestAppendKeepsEachElementOnceInOneLine(t *testing.T) {
	for name, tt := range map[string]struct {
		has  []string
		list string
		want string
	}{
		"nothing there":          {nil, "Origin", "Origin"},
		"there":                  {[]string{"Origin"}, "Origin", "Origin"},
		"there in other letters": {[]string{"origin"}, "Origin", "origin"},
		"among others":           {[]string{"Accept-Encoding,\tOrigin"}, "Origin", "Accept-Encoding,\tOrigin"},
		"beside others":          {[]string{"Accept-Encoding"}, "Origin, Referer", "Accept-Encoding, Origin, Referer"},
		"several lines":          {[]string{"Accept-Encoding", "Origin"}, "Referer, Origin", "Accept-Encoding, Origin, Referer"},
		"twice in the list":      {nil, "Origin,origin", "Origin"},
		"everything":             {[]string{"*"}, "Origin", "*, Origin"},
	} {
		h := http.Header{"Vary": tt.has}
		headers.Append(h, "Vary", tt.list)
		assert.Equal(t, []string{tt.want}, h["Vary"], name)
	}
}

func TestAppendLeavesWhatOtherHeadersShare(t *testing.T) {
	shared := []string{"Accept-Encoding"}
	h := http.Header{"Vary": shared}
	headers.Append(h, "Vary", "Origin")
	assert.Equal(t, []string{"Accept-Encoding"}, shared)
}

func TestSetCookiesReplacesThoseOfTheSameName(t *testing.T) {
	h := http.Header{}
	headers.SetCookies(h)
	assert.Empty(t, h)
	headers.SetCookies(h, "a=1; Path=/", "b=1")
	headers.SetCookies(h, "a=2", "c=3")
	assert.Equal(t, []string{"b=1", "a=2", "c=3"}, h["Set-Cookie"])
	assert.True(t, headers.HasCookie(h, "a"))
	assert.False(t, headers.HasCookie(h, "A"))
	assert.False(t, headers.HasCookie(h, "d"))
}
