package redisbus

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/seed-ce09063a/thinkws/internal/quiet"
)

// Logger returns what redis.SetLogger takes. It sends the lines of go-redis to log, as warnings
// with the message "go-redis" and the line in the attribute "text"; at most ten in ten seconds
// pass.
//
// go-redis has one logger for the whole process, which writes to stderr and which only the service
// may replace. Connections of a [Bus] and a [Registry] log nothing there. The service's own client
// does, and so do the clients of redis.NewFailoverClient when they ask Sentinel.
func Logger(log *slog.Logger) interface {
	Printf(ctx context.Context, format string, v ...any)
} {
	return clientLogger{quiet.New(log)}
}

type clientLogger struct{ log *slog.Logger }

// Printf implements the interface of go-redis.
func (l clientLogger) Printf(ctx context.Context, format string, v ...any) {
	l.log.WarnContext(ctx, "go-redis", "text", fmt.Sprintf(format, v...))
}
