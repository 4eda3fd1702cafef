package socketio

import (
	"errors"
	"time"

	"github.com/seed-ce09063a/thinkws/internal/alarm"
	"github.com/seed-ce09063a/thinkws/internal/session"
)

// What has not come in time.
var (
	errIdle       = session.Beyond(session.LimitConnectTime, errors.New("socketio: no namespace entered in time"))
	errUnfinished = session.Beyond(session.LimitAttachmentTime, errors.New("socketio: attachments have not come in time"))
)

// deadline is a time by which a client has to have done something.
type deadline struct {
	alarm  alarm.Alarm
	client *client
	time   time.Duration
	missed func(*client, *deadline)
}

// within sets d, which calls missed if it is not stopped before.
func (c *client) within(d *deadline, t time.Duration, missed func(*client, *deadline)) {
	d.client, d.time, d.missed = c, t, missed
	c.server.cfg.Clock.Set(&d.alarm, t, d)
}

// extendLocked sets d anew if the client has not been read meanwhile: what is awaited may have been sent. client.mu
// must be held, so that nobody stops d.
func (d *deadline) extendLocked() bool {
	if !d.client.engine.Flow().PausedWithin(d.time) {
		return false
	}
	d.client.server.cfg.Clock.Set(&d.alarm, d.time, d)
	return true
}

func (d *deadline) stop() { d.client.server.cfg.Clock.Stop(&d.alarm) }

// Fail implements serial.Failer.
func (d *deadline) Fail(error) { d.client.leave(session.ReasonTransportError, d.client.engine.Drop) }

// Ring implements alarm.Sleeper.
func (d *deadline) Ring() { d.missed(d.client, d) }

func (c *client) connectExpired(d *deadline) {
	c.mu.Lock()
	late := c.unadmitted == d && !d.extendLocked()
	c.mu.Unlock()
	if late {
		c.expire(errIdle, session.ReasonServerClose, c.engine.Drop)
	}
}

func (c *client) attachmentsExpired(d *deadline) {
	c.mu.Lock()
	late := c.pending != nil && &c.pending.deadline == d && !d.extendLocked()
	c.mu.Unlock()
	if late {
		c.expire(errUnfinished, session.ReasonParseError, c.engine.Close)
	}
}

// expire ends the connection for what has not come in time. Who is told of it must not hold
// up the clock.
func (c *client) expire(err error, reason string, end func(reason string)) {
	c.server.cfg.Tally.Note(err)
	group, first := c.server.cfg.Group, c.first()
	group.Begin() // who waits for the group sees no gap before the report
	defer group.End()
	c.leave(reason, end)
	group.Go(func() { c.server.cfg.Report.Client(err, c.engine.Handshake(), first) })
}
