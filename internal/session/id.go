package session

import (
	"crypto/rand"
	"encoding/base64"
)

// Lengths of an id and of the part of it that may name a node, in characters.
const (
	idLength   = 20
	nodeLength = 4
)

// NewID returns 15 random bytes as 20 characters of [A-Za-z0-9_-]: the length and
// the alphabet that Node's cluster tools expect of a session id.
func NewID() string {
	var b [15]byte
	rand.Read(b[:]) // never fails: crypto/rand
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// NewIDOf returns an id of the same form that begins with its node, so that whoever
// routes requests finds it; the other 16 characters are 96 random bits. Without a node it
// is NewID.
func NewIDOf(node string) string {
	if node == "" {
		return NewID()
	}
	var b [12]byte
	rand.Read(b[:]) // never fails: crypto/rand
	return node + base64.RawURLEncoding.EncodeToString(b[:])
}

// NodeOf returns the node that an id may name, "" if it has not the form of an id.
func NodeOf(id string) string {
	if len(id) != idLength || !hasIDAlphabet(id) {
		return ""
	}
	return id[:nodeLength]
}

// IsNode reports whether s can name a node: 4 characters of [A-Za-z0-9_-].
func IsNode(s string) bool { return len(s) == nodeLength && hasIDAlphabet(s) }

func hasIDAlphabet(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < 'A' || 'Z' < c) && (c < 'a' || 'z' < c) && (c < '0' || '9' < c) && c != '_' && c != '-' {
			return false
		}
	}
	return true
}
