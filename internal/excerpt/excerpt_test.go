package excerpt_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"

	"github.com/seed-ce09063a/thinkws/internal/excerpt"
)

func TestTextIsCut(t *testing.T) {
	for _, short := range []string{"", "a", "\xff", strings.Repeat("x", excerpt.Most)} {
		assert.Equal(t, short, excerpt.Text(short))
	}
	for _, letter := range []string{"x", "ü", "€", "😀", "\xff", "\x80"} {
		for extra := range 8 {
			long := strings.Repeat("x", extra) + strings.Repeat(letter, 1000)
			got := excerpt.Text(long)
			assert.LessOrEqual(t, len(got), excerpt.Most)
			assert.Greater(t, len(got), excerpt.Most-utf8.UTFMax-1)
			begin, mark, marked := strings.Cut(got, "…")
			assert.True(t, marked)
			assert.True(t, strings.HasPrefix(long, begin))
			assert.Equal(t, utf8.ValidString(long), utf8.ValidString(got), "a rune is not cut")
			assert.Equal(t, fmt.Sprintf(" (%d bytes)", len(long)), mark)
		}
	}
}

func TestErrorIsCut(t *testing.T) {
	cause := errors.New("cause")
	assert.NoError(t, excerpt.Error(nil))
	assert.Same(t, cause, excerpt.Error(cause))
	short := excerpt.Error(fmt.Errorf("%s: %w", strings.Repeat("x", 1000), cause))
	assert.Len(t, short.Error(), excerpt.Most)
	assert.ErrorIs(t, short, cause)
}
