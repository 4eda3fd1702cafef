package thinkws

import (
	"errors"
	"log/slog"
	"strings"

	"github.com/seed-ce09063a/thinkws/internal/session"
)

// enter is a socket's first job. It runs the Authorize functions, admits the client and runs its
// "open" action.
func (s *Socket) enter() {
	if authorize := s.space.table.authorize; len(authorize) > 0 {
		c := s.context("connect")
		if o := c.try(authorize...); o.err != nil {
			s.refuse(c, o)
			return
		}
	}
	s.space.hear()
	if !s.begin() {
		return // it has left; Closed has cleaned up
	}
	if open := s.space.table.open; open != nil {
		s.context(eventOpen).act(open)
	}
}

// refuse tells the client that it may not enter.
func (s *Socket) refuse(c *Context, o outcome) {
	if !s.space.remove(s, session.ReasonServerDisconnect) {
		return
	}
	defer s.done()
	s.release()
	if o.failure.Name == Internal {
		c.report(o)
	} else {
		s.log().Info("client refused", "namespace", s.space.name, "error", o.err)
	}
	s.conn.Refuse(o.failure)
	s.space.hub.release(s.space)
}

// closed is the last job of a socket that was let in or was about to be.
func (s *Socket) closed() {
	defer s.done()
	defer s.space.hub.release(s.space)
	if fn := s.space.table.close; fn != nil && s.entered() {
		c := s.context(eventClose)
		c.reason = Reason(s.reason)
		c.act(fn)
	}
}

// dispatch runs the action of one event.
func (s *Socket) dispatch(m *session.Message) {
	if !s.entered() {
		return // sent by a client that was refused
	}
	c := s.context(m.Name)
	c.args, c.ackID, c.kept = m.Args, m.ID, m.Kept()
	fn := s.space.table.actions[m.Name]
	if fn == nil && m.Name != eventOpen && m.Name != eventClose && !session.ReservedEvent(m.Name) {
		fn = s.space.table.any
		c.event = strings.Clone(m.Name) // whoever keeps a name does not keep its message
	}
	if fn == nil {
		c.ignore(m.Name)
		return
	}
	c.act(fn)
}

// ignore is for an event without an action.
func (c *Context) ignore(event string) {
	c.hub.stats.ignored.Add(1)
	c.socket.log().Debug("event without an action", "event", event)
	c.fail(&session.Failure{Name: NotFound, Message: "no such event", Unheard: true})
}

func (s *Socket) context(event string) *Context {
	return &Context{hub: s.space.hub, socket: s, event: event}
}

func (s *Socket) log() *slog.Logger {
	return s.space.hub.cfg.logger.With("socket", s.id, "address", s.space.hub.door.Address(s.handshake.Request()))
}

// finish handles the error of an action, once: it is reported, and it answers the event if
// that was not answered before.
func (c *Context) finish(o outcome) {
	c.report(o)
	c.fail(o.failure)
}

// fail answers the event with a failure, if somebody waits for an answer.
func (c *Context) fail(f *session.Failure) {
	if c.ackID == "" && c.reply == nil || c.acked.Swap(true) {
		return
	}
	if c.reply != nil {
		c.reply(session.Args{Text: failureJSON(f), Count: 1})
		return
	}
	p := &parcel{message: session.Message{Failure: f, Deflate: c.hub.deflate}}
	if err := c.answer(p); !ordinary(err) {
		c.socket.log().Error("answer not sent", "event", c.event, "error", err)
	}
}

// tell calls the WithOnError hook, and reports whether that went well.
func (c *Context) tell(err error) bool {
	return c.hub.call("WithOnError", func() { c.hub.cfg.onError(c, err) }) == nil
}

// blame is the session.Report of the hub. It counts slow clients and those that held most, and calls the service's
// hooks.
func (h *Hub) blame(err error, came session.Handshake, r session.Receiver) {
	one, known := r.(*receiver)
	if known {
		came = one.handshake
	}
	switch {
	case errors.Is(err, session.ErrSlow):
		h.stats.slow.Add(1)
		if known {
			(*Socket)(one).slow()
		}
	case errors.Is(err, session.ErrMemory):
		h.tally.Count(session.LimitMemory)
		h.log().Warn("memory limit reached, client disconnected",
			slog.Any("error", err), slog.Any("address", h.door.Address(came.Request())))
	}
	if h.cfg.onError == nil {
		return
	}
	c := &Context{hub: h}
	if known && (*Socket)(one).entered() {
		c.socket = (*Socket)(one)
	} else {
		c.request = copyOf(came.Request())
	}
	c.tell(err)
}

// report tells the service what went wrong: through the WithOnError hook, or else in the log.
func (c *Context) report(o outcome) {
	c.hub.stats.failed.Add(1)
	if c.hub.cfg.onError != nil && c.tell(o.err) {
		return
	}
	attrs := []any{"event", c.event, "error", o.err}
	if o.stack != nil {
		attrs = append(attrs, "stack", string(o.stack))
	}
	switch {
	case c.space != nil:
		c.hub.log().Error("action for an event of another node failed", append(attrs, "namespace", c.space.name)...)
		return
	case c.socket == nil:
		c.hub.log().Error("action failed", append(attrs, "url", c.request.URL.Path)...)
		return
	}
	c.socket.log().Error("action failed", append(attrs, "namespace", c.socket.space.name)...)
}
