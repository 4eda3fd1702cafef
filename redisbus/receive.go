package redisbus

import (
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"

	"github.com/seed-ce09063a/thinkws"
	"github.com/seed-ce09063a/thinkws/internal/guard"
)

// receive takes what the subscriber reads. It is called by one goroutine.
func (l *link) receive(m *redis.Message) {
	l.heard.Store(listening)
	defer l.hears()
	switch m.Channel {
	case l.probe:
		return
	case l.goodbyes:
		if err := l.onMark([]byte(m.Payload)); err != nil {
			l.drop(m.Channel, err)
		}
		return
	}
	t := topic{m.Channel, false}
	if m.Pattern != "" {
		t = topic{m.Pattern, true}
	}
	l.mu.RLock()
	r, ok := l.routes[t]
	l.mu.RUnlock()
	if !ok {
		return // unsubscribed from meanwhile
	}
	var err error
	if len(m.Payload) > largest {
		err = fmt.Errorf("%d bytes, the limit is %d", len(m.Payload), largest)
	} else {
		err = guard.Do(func() error { return r.handle(l, r.channels, m.Channel, []byte(m.Payload)) })
	}
	if err != nil {
		l.drop(m.Channel, err)
	}
}

// drop counts and logs a malformed message.
func (l *link) drop(channel string, err error) {
	l.stats.dropped.Add(1)
	if stack := guard.StackOf(err); stack != nil {
		l.log.Error("bus: handling a message panicked", "channel", channel, "error", err, "stack", string(stack))
		return
	}
	l.log.Warn("bus: message dropped", "channel", channel, "error", err)
}

// onBroadcast takes a message to clients. What is for a room that nobody here is in is not
// even decoded.
func (l *link) onBroadcast(c channels, channel string, data []byte) error {
	room, ok := c.room(channel)
	if uid, n := numberOf(data); ok && n > 0 && uid != l.uid && numbered(c.namespace) {
		ok = !l.reached(sender{uid, c.namespace}, n, true)
	}
	if !ok || !l.node.Wants(c.namespace, room) {
		return nil // the pattern matches more than it is for
	}
	m, err := decodeBroadcast(data, l.uid)
	switch {
	case err != nil:
		return err
	case m.uid == l.uid || m.local || m.event.Namespace != c.namespace:
		return nil
	}
	l.stats.received.Add(1)
	l.node.Deliver(m.event, nil)
	return nil
}

// onMark takes what another node of this library says of itself.
func (l *link) onMark(data []byte) error {
	from, n, err := decodeMark(data)
	switch {
	case err != nil || from.uid == l.uid:
		return err
	case from.namespace == "":
		l.receipts.left(from.uid)
		l.sequences.forget(from.uid)
	default:
		l.reached(from, n, false)
	}
	return nil
}

// reached takes the number of a broadcast that has arrived, or that its sender says to be its last,
// and counts those before it that have not arrived. It reports whether the broadcast is late.
func (l *link) reached(from sender, n uint64, arrived bool) (late bool) {
	missing, late := l.reachedOf(from, n, arrived)
	if missing > 0 {
		l.stats.missed.Add(missing)
		l.log.Warn("bus: messages of another node have not arrived", "node", from.uid, "namespace", from.namespace, "messages", missing)
	}
	return late
}

// reachedOf is sequences.reached for a namespace that is still subscribed to.
func (l *link) reachedOf(from sender, n uint64, arrived bool) (missing uint64, late bool) {
	l.mu.RLock() // until the number is noted: Unsubscribe drops those of its namespace
	defer l.mu.RUnlock()
	if _, ok := l.routes[topic{l.cfg.channels(from.namespace).request, false}]; !ok {
		return 0, false
	}
	return l.sequences.reached(from, n, arrived)
}

// onRequest takes what another node asks for.
func (l *link) onRequest(c channels, _ string, data []byte) error {
	q, err := decodeRequest(c.namespace, data)
	if err != nil {
		return err
	}
	if q.UID == l.uid {
		return nil
	}
	l.stats.received.Add(1)
	if q.OldID != "" {
		l.oldRequest(c, q)
		return nil
	}
	switch e := q.envelope(c.namespace); {
	case e == nil: // what is not known is not for us
	case q.aboutOne():
		l.oneClient(c, q, e)
	default:
		l.node.Deliver(e, l.replier(c, q))
	}
	return nil
}

// replier returns what sends answers to q; nil if none is wanted.
func (l *link) replier(c channels, q *request) func(*thinkws.Envelope) {
	if q.ID == "" || q.Type == typeJoin || q.Type == typeLeave || q.Type == typeDisconnect {
		return nil
	}
	channel := c.response
	if isOurs(q.UID) || l.cfg.specific && q.UID != "" && q.Type != typeServerEmit {
		channel = c.ofNode(q.UID)
	}
	return func(a *thinkws.Envelope) {
		data := encodeResponse(l.uid, q, a, l.cfg.maxPayload)
		if err := l.answer(channel, data); errors.Is(err, thinkws.ErrTooLarge) && isOurs(q.UID) {
			_ = l.answer(channel, encodeTooLarge(l.uid, q, l.cfg.maxPayload)) // it has been logged
		}
	}
}

// onResponse takes an answer. Most are for others, and some in forms that only those know.
func (l *link) onResponse(_ channels, _ string, data []byte) error {
	id, err := responseID(data)
	if err != nil {
		return err
	}
	l.mu.RLock()
	q := l.asked[id]
	l.mu.RUnlock()
	if q == nil {
		return nil
	}
	a, err := decodeResponse(data)
	if err != nil {
		return err
	}
	l.stats.received.Add(1)
	q.answered(a)
	return nil
}
