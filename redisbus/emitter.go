package redisbus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/redis/go-redis/v9"

	"github.com/seed-ce09063a/thinkws"
	"github.com/seed-ce09063a/thinkws/internal/arguments"
	"github.com/seed-ce09063a/thinkws/internal/guard"
	"github.com/seed-ce09063a/thinkws/internal/session"
)

// emitterUID is what the emitters of Node.js call themselves.
const emitterUID = "emitter"

// ErrNobody is returned by an [Emitter] for what has reached no node at all.
var ErrNobody = errors.New("redisbus: no node has got it")

// Emitter sends into a cluster of nodes, of this library or of Node.js, without being one:
// from a job, a command, another service. What it is given is published when the method
// returns, and the error tells if it was not. It is the counterpart of
// @socket.io/redis-emitter, safe for concurrent use, and needs no Close.
//
// It has no connections of its own: it uses the client as it is, with its timeouts and retries. A
// retry may send a message twice; MaxRetries of -1 in the client's options prevents that.
//
// Its methods that send act on everyone in "/"; To, Except and Of narrow that.
type Emitter struct {
	client  redis.UniversalClient
	cfg     *config
	encoder *arguments.Encoder
	err     error
}

// NewEmitter returns an emitter. [WithPrefix] and [WithSocketIO2] have to be as on the nodes.
// What is wrong with the options is the error of everything that is sent.
func NewEmitter(client redis.UniversalClient, options ...Option) *Emitter {
	cfg := configOf(options)
	return &Emitter{client: client, cfg: cfg, encoder: arguments.NewEncoder(), err: cfg.check(client)}
}

// Of returns everyone in a namespace. The leading slash may be left out.
func (e *Emitter) Of(namespace string) Emission {
	return Emission{emitter: e, namespace: "/" + strings.TrimPrefix(namespace, "/")}
}

// To returns the clients of "/" that are in any of rooms.
func (e *Emitter) To(rooms ...string) Emission { return e.Of("/").To(rooms...) }

// Except returns the clients of "/" that are in none of rooms.
func (e *Emitter) Except(rooms ...string) Emission { return e.Of("/").Except(rooms...) }

// Emit sends an event to everyone in "/"; see [Emission.Emit].
func (e *Emitter) Emit(ctx context.Context, event string, args ...any) error {
	return e.Of("/").Emit(ctx, event, args...)
}

// ServerEmit sends an event to the nodes themselves; see [Emission.ServerEmit].
func (e *Emitter) ServerEmit(ctx context.Context, event string, args ...any) error {
	return e.Of("/").ServerEmit(ctx, event, args...)
}

// Emission is whom an [Emitter] sends to: an immutable value like thinkws.Target.
type Emission struct {
	emitter   *Emitter
	namespace string
	rooms     []string
	except    []string
	volatile  bool
	plain     bool
}

// To adds rooms: a client in any of them is meant, once.
func (m Emission) To(rooms ...string) Emission {
	m.rooms = slices.Concat(m.rooms, rooms)
	return m
}

// Except leaves out the clients that are in any of rooms.
func (m Emission) Except(rooms ...string) Emission {
	m.except = slices.Concat(m.except, rooms)
	return m
}

// Volatile marks what is sent as dispensable, see thinkws.Target.
func (m Emission) Volatile() Emission {
	m.volatile = true
	return m
}

// Compress sets whether messages may be compressed; the default is true.
func (m Emission) Compress(on bool) Emission {
	m.plain = !on
	return m
}

// Emit sends an event. Arguments are as of thinkws.Socket.Emit. The error is that of an
// argument that JSON cannot hold, that of Redis, [thinkws.ErrTooLarge], or [ErrNobody].
func (m Emission) Emit(ctx context.Context, event string, args ...any) error {
	e, err := m.event(thinkws.BusEmit, event, args)
	if err != nil {
		return err
	}
	e.Volatile, e.Plain = m.volatile, m.plain
	c := m.emitter.cfg.channels(m.namespace)
	return m.publish(ctx, c.forRooms(m.rooms), encodeBroadcast(emitterUID, e, m.emitter.cfg.old, false))
}

// ServerEmit sends an event to the nodes themselves, which have thinkws.OnServer or Node's
// io.on for it. Rooms and exceptions mean nothing here. Binary travels as base64.
func (m Emission) ServerEmit(ctx context.Context, event string, args ...any) error {
	e, err := m.event(thinkws.BusServerEmit, event, args)
	if err != nil {
		return err
	}
	return m.request(ctx, emitterUID, e)
}

// Join lets the clients enter rooms.
func (m Emission) Join(ctx context.Context, rooms ...string) error {
	return m.request(ctx, "", m.envelope(&thinkws.Envelope{Kind: thinkws.BusJoin, Names: rooms}))
}

// Leave lets the clients leave rooms.
func (m Emission) Leave(ctx context.Context, rooms ...string) error {
	return m.request(ctx, "", m.envelope(&thinkws.Envelope{Kind: thinkws.BusLeave, Names: rooms}))
}

// Disconnect ends the clients' stay in the namespace.
func (m Emission) Disconnect(ctx context.Context) error {
	return m.request(ctx, "", m.envelope(&thinkws.Envelope{Kind: thinkws.BusDisconnect}))
}

// Close ends the clients' connections altogether.
func (m Emission) Close(ctx context.Context) error {
	return m.request(ctx, "", m.envelope(&thinkws.Envelope{Kind: thinkws.BusDisconnect, Whole: true}))
}

func (m Emission) envelope(e *thinkws.Envelope) *thinkws.Envelope {
	e.Namespace, e.Rooms, e.Except = m.namespace, m.rooms, m.except
	return e
}

// check returns what is wrong with the options, or with names, which other servers have in UTF-8.
func (m Emission) check(e *thinkws.Envelope) error {
	if m.emitter.err != nil {
		return m.emitter.err
	}
	for _, name := range slices.Concat([]string{e.Event}, e.Names, m.rooms, m.except) {
		if !utf8.ValidString(name) {
			return fmt.Errorf("redisbus: name %q is not UTF-8", name)
		}
	}
	return nil
}

func (m Emission) event(kind thinkws.EnvelopeKind, event string, args []any) (*thinkws.Envelope, error) {
	if err := m.check(&thinkws.Envelope{Event: event}); err != nil {
		return nil, err
	}
	if kind == thinkws.BusEmit && session.ReservedEvent(event) {
		return nil, fmt.Errorf("%w %q", thinkws.ErrReserved, event)
	}
	encoded, err := m.emitter.encoder.Encode(nil, args)
	if err != nil {
		return nil, err
	}
	return m.envelope(&thinkws.Envelope{Kind: kind, Event: event, Args: encoded}), nil
}

func (m Emission) request(ctx context.Context, uid string, e *thinkws.Envelope) error {
	if err := m.check(e); err != nil {
		return err
	}
	data, err := m.emitter.cfg.encodeRequest(uid, "", e)
	if err != nil {
		return err
	}
	return m.publish(ctx, m.emitter.cfg.channels(m.namespace).request, data)
}

func (m Emission) publish(ctx context.Context, channel string, data []byte) error {
	if err := m.emitter.cfg.fits(data); err != nil {
		return fmt.Errorf("redisbus: publish: %w", err)
	}
	client, err := master(ctx, m.emitter.client, channel)
	if err != nil {
		return fmt.Errorf("redisbus: PUBLISH %s: %w", channel, err)
	}
	var nodes int64
	err = guard.Do(func() (err error) {
		nodes, err = client.Publish(ctx, channel, data).Result()
		return err
	})
	cluster, ok := m.emitter.client.(*redis.ClusterClient)
	switch {
	case err != nil && ok && !isReply(err):
		cluster.ReloadState(ctx) // the server may not be a master any more
		fallthrough
	case err != nil:
		return fmt.Errorf("redisbus: PUBLISH %s: %w", channel, err)
	case nodes == 0 && !ok: // a server of a cluster knows its own subscribers only
		return ErrNobody
	}
	return nil
}
