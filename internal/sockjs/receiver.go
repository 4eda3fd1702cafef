package sockjs

import (
	"errors"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/seed-ce09063a/thinkws/internal/session"
)

// receiver is a request that carries frames to a client. The goroutine of its handler
// owns it, and alone writes; the session keeps it to wake it.
type receiver struct {
	w        http.ResponseWriter
	r        *http.Request
	rc       *http.ResponseController
	endpoint endpoint
	callback string               // for endpoints that have one
	grace    func() time.Duration // for a piece of a write
	cut      atomic.Bool          // nothing more is written
	sent     int                  // bytes of frames
	counts   int                  // what it is writing, as the queue counts it; protected by the session's mu
	ends     bool                 // the frame that it writes is the close frame
	relayed  bool                 // another node has brought it: its end need not be the client's
	mark     uint64               // of a relayed one, as in session.Mark

	wake chan struct{} // there may be something to write; room for one
	left chan struct{} // closed when the session has let go of it
}

// serveReceive answers a request that takes frames.
func (s *Server) serveReceive(w http.ResponseWriter, r *http.Request, route Route) {
	rcv := &receiver{
		w: w, r: r, rc: http.NewResponseController(w), endpoint: route.endpoint,
		grace: func() time.Duration { return s.cfg.Grace.Of(s.cfg.WriteTimeout) },
		wake:  make(chan struct{}, 1), left: make(chan struct{}),
	}
	if session.IsRelayed(r) {
		rcv.relayed, rcv.mark = true, session.Mark(r)
	}
	if rcv.endpoint.traits().callback {
		var wrong string
		if rcv.callback, wrong = callbackOf(r); wrong != "" {
			writeText(w, http.StatusInternalServerError, wrong)
			return
		}
	}
	// A connection is not watched, so a client that goes is not missed, until its request
	// has been read.
	if status := s.dropBody(w, r); status != 0 {
		session.RefuseBody(w, status)
		return
	}
	// The server's own timeouts are for requests that are answered at once.
	rcv.rc.SetReadDeadline(time.Time{})
	rcv.rc.SetWriteDeadline(time.Time{})
	s.cfg.Group.Begin() // Shutdown waits for what is being written
	defer s.cfg.Group.End()
	s.seat(rcv, route.key)
}

// seat finds the session for a receiver, or makes one, and lets it carry frames.
func (s *Server) seat(r *receiver, k key) {
	var impatient <-chan time.Time
	for {
		one, got, left, err := s.find(r, k)
		switch {
		case err != nil:
			s.refuse(r, k, err)
			return
		case got == seatHad:
			s.carry(one, r)
			return
		case got == seatGone:
			continue
		case got == seatLost:
			one.broke(nil)
			r.only(closeFrame(1002, "Connection interrupted"))
			return
		}
		if impatient == nil {
			impatient = time.After(s.cfg.Patience)
		}
		select {
		case <-left:
		case <-r.r.Context().Done():
			return
		case <-impatient:
			r.only(one.lastFrame())
			return
		}
	}
}

// find looks for the session of a key, and for r's place in it.
func (s *Server) find(r *receiver, k key) (one *polled, got seat, left <-chan struct{}, err error) {
	if one = s.lookup(k); one == nil {
		return s.begin(r, k)
	}
	if !one.belongsTo(r.r) {
		return nil, 0, nil, errStranger
	}
	got, left = one.attach(r)
	return one, got, left, nil
}

// begin makes a session that has r for its receiver, if there is room for one more, and no
// other request has been faster.
func (s *Server) begin(r *receiver, k key) (*polled, seat, <-chan struct{}, error) {
	source, ok := s.cfg.Door.Enter(r.w, r.r)
	if !ok {
		return nil, 0, nil, errNoRoom
	}
	one := newPolled(s, k, r, source)
	if err := s.create(one); err != nil {
		s.cfg.Door.Leave(source)
		if errors.Is(err, errNotCreated) {
			return nil, seatGone, nil, nil
		}
		return nil, 0, nil, err
	}
	one.admit(r.r)
	return one, seatHad, nil, nil
}

// refuse answers a receiver that cannot have its session.
func (s *Server) refuse(r *receiver, k key, err error) {
	s.cfg.Logger.Debug("SockJS request refused", "error", err, "address", s.cfg.Door.Address(r.r))
	switch {
	case errors.Is(err, errNoRoom): // the Door has answered
	case errors.Is(err, errStranger):
		s.refuseUnknown(r.w, r.r, k)
	default:
		const status = http.StatusServiceUnavailable
		r.w.Header().Set("Retry-After", seconds(max(s.cfg.DisconnectDelay, time.Second)))
		writeText(r.w, status, http.StatusText(status)+"\n")
	}
}

// carry writes the frames of a session until the answer is full or the client is gone. The
// session ends if the ResponseWriter or the context, which may be of middleware, panics.
func (s *Server) carry(one *polled, r *receiver) {
	returned := false
	defer func() {
		if !returned {
			one.forsaken(r)
		}
	}()
	s.carryFrames(one, r)
	returned = true
}

func (s *Server) carryFrames(one *polled, r *receiver) {
	if err := r.begin(); err != nil {
		s.logNoStreaming(r, err)
		one.abort(one.sent(r, err))
		return
	}
	for r.r.Context().Err() == nil {
		frame, last := one.next(r)
		switch {
		case frame.none():
			r.wait()
		case last:
			one.wrote(r, r.write(frame))
			return
		default:
			err := r.write(frame)
			slow := one.sent(r, err)
			if err != nil {
				one.abort(slow)
				return
			}
			if r.sent >= s.cfg.ResponseLimit {
				one.leave()
				return
			}
		}
	}
	one.lost(r)
}

// logNoStreaming logs an answer that could not begin. That none can is for the service
// to know.
func (s *Server) logNoStreaming(r *receiver, err error) {
	if errors.Is(err, http.ErrNotSupported) {
		s.warnFlush.Do(func() {
			s.cfg.Logger.Error("streaming cannot be served: a middleware hides http.Flusher", "url", r.r.URL.Path)
		})
	}
	s.cfg.Logger.Debug("SockJS receiver broken", "error", err, "address", s.cfg.Door.Address(r.r))
}

// wait returns when the session has woken r, or the client is gone.
func (r *receiver) wait() {
	select {
	case <-r.wake:
	case <-r.r.Context().Done():
	}
}

// room returns how many bytes the next frame may have. In a stream, a frame of one piece is one chunk of the response.
func (r *receiver) room(limit int) int {
	if !r.endpoint.traits().streams {
		return session.MostPolled
	}
	return min(limit-r.sent, session.Piece-framing)
}

// timeout is the time for a piece of a write.
func (r *receiver) timeout() time.Duration {
	if r.cut.Load() {
		return -1
	}
	return r.grace()
}

// only answers with a single frame.
func (r *receiver) only(frame []byte) {
	if r.begin() == nil {
		_ = r.write(outgoing{other: frame}) // nobody is left to tell
	}
}

// begin sends what comes before the first frame.
func (r *receiver) begin() error {
	h := r.w.Header()
	h.Set("Content-Type", r.endpoint.traits().kind)
	if r.endpoint == jsonp {
		h.Set("X-Content-Type-Options", "nosniff")
	}
	if !r.endpoint.traits().streams {
		return nil
	}
	h.Set("X-Accel-Buffering", "no") // nginx, by its defaults, keeps an answer until it is complete
	return r.send(r.endpoint.prelude(r.callback))
}

// write sends a frame. In a stream, each is one chunk of the response unless it is longer than a piece.
func (r *receiver) write(frame outgoing) error {
	text := r.endpoint.wrap(frame, r.callback)
	r.sent += len(text)
	if r.endpoint.traits().streams {
		return r.send(text)
	}
	r.w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	err := r.send(text)
	if errors.Is(err, http.ErrNotSupported) { // then it goes out as soon as the handler returns
		return nil
	}
	return err
}

// send writes at once and in limited time.
func (r *receiver) send(text []byte) error {
	if err := session.WriteBody(r.w, text, r.timeout); err != nil {
		return err
	}
	return r.rc.Flush()
}
