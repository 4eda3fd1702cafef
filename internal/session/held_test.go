package session_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/seed-ce09063a/thinkws/internal/session"
)

func TestOwnKeepsLittleOfABuffer(t *testing.T) {
	for _, tt := range []struct {
		name          string
		piece, buffer int
		copied        bool
	}{
		{"a whole message", 1000, 1000, false},
		{"a small message with its head", 10, 70, false},
		{"a small message that is mostly blanks", 10, 75, true},
		{"a large message with its head", 100_000, 100_020, false},
		{"four parts of five", 80_000, 100_000, false},
		{"less", 79_000, 100_000, true},
		{"one byte of a megabyte", 1, 1_000_000, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			buffer := make([]byte, tt.buffer)
			piece := buffer[:tt.piece]
			own := session.Own(piece, buffer)
			assert.Equal(t, piece, own)
			assert.Equal(t, tt.copied, &own[0] != &piece[0])
			fit := session.Fit(piece)
			assert.Equal(t, piece, fit)
			assert.Equal(t, tt.copied, &fit[0] != &piece[0])
			assert.Equal(t, len(fit), cap(fit), "nobody may append to what is beyond")
			assert.Equal(t, string(piece), session.OwnString(string(piece), buffer))
		})
	}
	assert.Nil(t, session.Own(nil, make([]byte, 1000)))
	assert.Empty(t, session.Fit(nil))
}

func TestSizeCountsTheWire(t *testing.T) {
	m := &session.Message{Name: "wait", Wire: 900_000}
	assert.Equal(t, session.Held(1, 900_000), m.Size())
	assert.Equal(t, session.Held(4, 3+18+3), (&session.Message{Name: "abc", Args: withParts()}).Size())
	m.Args.Parts = []session.Part{{Data: make([]byte, 1_000_000)}}
	assert.Equal(t, session.Held(2, 1_000_004), m.Size(), "attachments are on the wire, too")
}
