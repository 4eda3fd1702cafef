package wsconn

import (
	"errors"
	"log/slog"

	"github.com/seed-ce09063a/thinkws/internal/session"
)

// Fault is what Handler.Closed gets if it is the peer's fault, a violation or a full queue; nil
// if the connection was closed, cut or lost.
func Fault(err error) error {
	if errors.Is(err, ErrProtocol) || errors.Is(err, session.ErrSlow) || errors.Is(err, session.ErrMemory) {
		return err
	}
	return nil
}

// Level is how much what Handler.Closed gets is worth a line in the log.
func Level(err error) slog.Level {
	if errors.Is(err, session.ErrPings) {
		return slog.LevelWarn
	}
	return slog.LevelDebug
}

// Reason puts what Handler.Closed gets in the words of package session.
func Reason(err error) string {
	switch {
	case errors.Is(err, ErrProtocol):
		return session.ReasonParseError
	case errors.Is(err, session.ErrSlow):
		return session.ReasonSlow
	case errors.Is(err, session.ErrMemory):
		return session.ReasonMemory
	default: // closed by the peer, or lost, which is the same, as Node has it
		return session.ReasonTransportClose
	}
}
