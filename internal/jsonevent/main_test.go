package jsonevent_test

import (
	"bytes"
	"testing"

	"go.uber.org/goleak"

	"github.com/seed-ce09063a/thinkws/internal/session"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func event(name string, values ...string) *session.Message {
	m := &session.Message{Name: name}
	var text [][]byte
	for _, v := range values {
		text = append(text, []byte(v))
	}
	m.Args = session.Args{Text: bytes.Join(text, []byte(",")), Count: len(values)}
	return m
}
