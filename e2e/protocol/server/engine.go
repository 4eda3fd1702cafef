package main

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/seed-ce09063a/thinkws/internal/alarm"
	"github.com/seed-ce09063a/thinkws/internal/engineio"
	"github.com/seed-ce09063a/thinkws/internal/serial"
	"github.com/seed-ce09063a/thinkws/internal/session"
	"github.com/seed-ce09063a/thinkws/internal/wsconn"
)

// engine is an echo over bare Engine.IO. Users of the library reach Engine.IO only through
// Socket.IO, so this is the one program outside of the library that uses its inner parts.
type engine struct {
	*engineio.Server

	group *serial.Group
}

func newEngine(eio3 bool) *engine {
	group := new(serial.Group)
	return &engine{group: group, Server: engineio.NewServer(engineio.Config{
		Config: wsconn.Config{
			MaxMessage: 1e6, Queue: 4 << 20,
			WriteTimeout: 10 * time.Second, CloseTimeout: 5 * time.Second, MessageTime: 30 * time.Second, CoolAfter: time.Second,
			Group: group,
		},
		Clock:   new(alarm.Clock),
		Polling: true, WebSocket: true, EIO3: eio3,
		PingInterval: pingInterval, PingTimeout: pingTimeout, UpgradeTimeout: 10 * time.Second, MaxPackets: 20_000,
		Logger: slog.New(slog.DiscardHandler),
		Detach: func(r *http.Request) session.Handshake {
			r = r.Clone(context.WithoutCancel(r.Context()))
			r.Body = http.NoBody
			return session.Keep(r)
		},
	}, func(s *engineio.Session) engineio.Receiver { return echo{s} })}
}

func (e *engine) shutdown(ctx context.Context) error {
	for _, end := range e.Close(session.ReasonServerShutdown) {
		end()
	}
	e.WaitForPolls()
	return e.group.Wait(ctx)
}

// echo sends each message back.
type echo struct{ session *engineio.Session }

// Receive implements engineio.Receiver.
func (e echo) Receive(data []byte, binary bool) error {
	v := e.session.Variant()
	frame := v.Binary(session.Frame{}, data)
	if !binary {
		frame = session.TextOf(append(v.Text(session.Room(v.TextSize(len(data)))), data...))
	}
	return e.session.Send([]session.Frame{frame}, false)
}

// Failed implements engineio.Receiver.
func (echo) Failed(error) {}

// Closed implements engineio.Receiver.
func (echo) Closed(string) {}
