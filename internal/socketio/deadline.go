package socketio

import (
	"time"

	"github.com/seed-ce09063a/thinkws/internal/alarm"
	"github.com/seed-ce09063a/thinkws/internal/session"
)

// deadline is a time by which a client has to have done something.
type deadline struct {
	alarm  alarm.Alarm
	client *client
	missed func(*client, *deadline)
}

// within sets d, which calls missed if it is not stopped before.
func (c *client) within(d *deadline, t time.Duration, missed func(*client, *deadline)) {
	d.client, d.missed = c, missed
	c.server.cfg.Clock.Set(&d.alarm, t, d)
}

func (d *deadline) stop() { d.client.server.cfg.Clock.Stop(&d.alarm) }

// Ring implements alarm.Sleeper.
func (d *deadline) Ring() { d.missed(d.client, d) }

func (c *client) connectExpired(d *deadline) {
	c.mu.Lock()
	late := c.unadmitted == d
	c.mu.Unlock()
	if late {
		c.server.cfg.Tally.Count(session.LimitConnectTime)
		c.close(session.ReasonServerClose)
	}
}

func (c *client) attachmentsExpired(d *deadline) {
	c.mu.Lock()
	late := c.pending != nil && &c.pending.deadline == d
	c.mu.Unlock()
	if late {
		c.server.cfg.Tally.Count(session.LimitAttachmentTime)
		c.close(session.ReasonParseError)
	}
}
