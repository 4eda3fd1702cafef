package sockjs

import (
	"errors"
	"slices"
)

// How a receiver fares that comes to a session.
type seat uint8

const (
	seatTaken seat = iota // by another one
	seatHad               // it has it
	seatGone              // the session is closed: a new one may begin
	seatLost              // it has been answered before, and asks again: the answer is lost
)

// attach makes r the receiver. If another one is, it returns what is closed when that leaves.
func (s *polled) attach(r *receiver) (seat, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.state == stateClosed:
		return seatGone, nil
	case s.receiver == nil && s.repeatsLocked(r):
		return seatLost, nil
	case s.receiver == nil:
		s.receiver, s.transport = r, r.endpoint.traits().transport
		return seatHad, nil
	default:
		return seatTaken, s.receiver.left
	}
}

// repeatsLocked reports whether r is the last relayed request, sent again. s.mu must be held.
func (s *polled) repeatsLocked(r *receiver) bool { return r.mark != 0 && r.mark == s.answered }

// lost lets go of a receiver whose connection has ended: with the session, unless a node
// stands in between that may have ended instead. Then the client has its time to come again.
func (s *polled) lost(r *receiver) {
	if r.relayed && !r.endpoint.traits().streams {
		s.leave()
		return
	}
	s.abort(nil)
}

// lastFrame is for a receiver that has waited for its seat in vain. Once a session is
// closing, its close frame is what there is to say.
func (s *polled) lastFrame() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing != nil {
		return s.closing
	}
	return closeFrame(2010, "Another connection still open")
}

// next returns the frame that r is to write; none if it has to wait until it is woken. The
// last one ends the answer: r has left the session then, so that the client may come again as
// soon as it has the frame.
func (s *polled) next(r *receiver) (frame outgoing, last bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	frame, last = s.take(r)
	r.ends = last
	if frame.none() {
		s.waiting = true
		s.armLocked(s.server.cfg.PingInterval)
		return frame, false
	}
	s.waiting = false
	if last = last || !r.endpoint.traits().streams; last {
		s.answered = r.mark
		s.detachLocked()
		s.ending = append(s.ending, r)
	}
	return frame, last
}

// take returns what r is to send next, and whether nothing can follow. s.mu must be held, so others put the frame
// together.
func (s *polled) take(r *receiver) (frame outgoing, last bool) {
	switch {
	case s.state == stateClosed:
		return outgoing{other: closeFrame(1002, "Connection interrupted")}, true
	case !s.opened:
		s.opened = true
		return outgoing{other: []byte(frameOpen)}, false
	case len(s.queue.Entries) > 0:
		if s.state == stateClosing {
			s.armLocked(s.server.cfg.DisconnectDelay)
		}
		frame.messages, r.counts = s.queue.Take(r.room(s.server.cfg.ResponseLimit))
		return frame, false
	case s.state == stateClosing:
		return outgoing{other: s.closing}, true
	case s.beat:
		s.beat = false
		return outgoing{other: []byte(frameHeartbeat)}, false
	default:
		return outgoing{}, false
	}
}

// wrote notes that the last frame for a receiver is out, or how it failed.
func (s *polled) wrote(r *receiver, err error) {
	slow := s.sent(r, err)
	s.mu.Lock()
	s.ending = slices.DeleteFunc(s.ending, func(one *receiver) bool { return one == r })
	s.idle()
	if r.ends && err == nil && s.state == stateClosing && !s.told {
		s.told = true
		s.server.bid()
	}
	s.mu.Unlock()
	if err != nil {
		s.broke(slow)
	}
}

// forsaken ends the session because r has panicked: as its receiver, or while it wrote its last
// frame.
func (s *polled) forsaken(r *receiver) {
	s.mu.Lock()
	holds := s.receiver == r
	s.mu.Unlock()
	if holds {
		_ = s.sent(r, errForsaken)
		s.abort(nil)
	} else {
		s.wrote(r, errForsaken)
	}
}

var errForsaken = errors.New("sockjs: receiver panicked")

// leave lets a receiver go that has carried enough.
func (s *polled) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.detachLocked()
	s.idle()
}

// idle gives a session without a receiver its time, which is no longer than WriteTimeout if more waits than the bound.
// s.mu must be held.
func (s *polled) idle() {
	if s.state != stateOpen || s.receiver != nil {
		return
	}
	d := s.server.cfg.DisconnectDelay
	if s.overLocked() {
		d = min(d, s.server.cfg.WriteTimeout)
	}
	s.armLocked(d)
}

// abort ends the session because its receiver's connection has. A client that is gone
// gets nothing, and one that comes again must not take over what was meant for another. The cause is that of broke.
func (s *polled) abort(cause error) {
	s.mu.Lock()
	s.detachLocked()
	open := s.state == stateOpen
	if open {
		s.close()
	}
	s.mu.Unlock()
	if open {
		s.endBroken(cause)
	}
}

// detachLocked lets go of the receiver. s.mu must be held.
func (s *polled) detachLocked() {
	close(s.receiver.left)
	s.receiver, s.waiting, s.beat = nil, false, false
}
