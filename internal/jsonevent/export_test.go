package jsonevent

import "github.com/seed-ce09063a/thinkws/internal/session"

// Decode reads one frame. If it cannot be read, it returns why, and the cid.
func Decode(text []byte) (m *session.Message, reason, cid string) {
	m, err := decode(text, session.Depth)
	if err != nil {
		return nil, err.reason, err.cid
	}
	return m, "", ""
}
