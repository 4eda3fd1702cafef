package thinkws_test

import (
	"regexp"
	"testing"
	"testing/synctest"
	"time"
)

// FuzzSession runs programs of steps, in which clients of all kinds do what they should
// and what they should not, in a bubble where time costs nothing. Whatever they do:
// nothing panics, honest clients are served and lose nothing, and nothing is left of
// those who have gone, nor of the server after Shutdown.
func FuzzSession(f *testing.F) {
	for _, seed := range sessionSeeds() {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, input []byte) {
		if len(input) > 2_000 {
			return
		}
		synctest.Test(t, func(t *testing.T) {
			p := &program{rest: input}
			how := p.byte()
			w := newWorld(t, how)
			s := &crowd{world: w, program: p}
			s.run()
			if how&worldLeft == 0 {
				s.leave()
			}
			w.end(how&worldLeft != 0)
			s.leave()
			time.Sleep(time.Second) // net/http waits half a second for a client that it has refused
			w.verdict(input)
		})
	})
}

// Bounds of a program.
const (
	maxSteps = 60
	maxLinks = 10
)

// crowd is the clients that are not honest.
type crowd struct {
	world   *world
	program *program
	links   []*link
	ids     []identity
}

// link is a connection of theirs.
type link struct {
	conn *pipeConn
	wire wire
	deaf bool // does not read
}

// identity is a session of Engine.IO, by the id that the server has given it.
type identity struct {
	sid  string
	wire wire
}

// The steps. A step with the highest bit set does not wait until all is quiet.
const (
	stepOpen = iota
	stepPoll
	stepPost
	stepUpgrade
	stepFrame
	stepRaw
	stepEnd
	stepDeaf
	stepSleep
	stepSockJS
	stepPlain
	stepServer
	stepRequest
	stepCheck
	steps

	stepAtOnce = 0x80
)

func (s *crowd) run() {
	for n := range maxSteps {
		if len(s.program.rest) == 0 {
			return
		}
		step := s.program.byte()
		s.step(step &^ stepAtOnce % steps)
		if step&stepAtOnce == 0 {
			synctest.Wait()
			s.listen()
		}
		if n%8 == 7 {
			s.world.check()
		}
	}
}

func (s *crowd) step(step int) {
	p := s.program
	switch step {
	case stepOpen:
		s.open(p.byte())
	case stepPoll:
		id := s.identity()
		s.request(id.wire, "GET", target(id, "polling", p.byte()), "", "")
	case stepPost:
		id, how := s.identity(), p.byte()
		other := 0
		if how&postOther != 0 {
			other = openOther
		}
		s.post(target(id, "polling", other), id.wire, how)
	case stepUpgrade:
		id := s.identity()
		s.webSocket(id.wire, target(id, "websocket", p.byte()))
	case stepFrame:
		s.frame()
	case stepRaw:
		if l := s.link(); l != nil {
			l.put(string(p.bytes()))
		}
	case stepEnd:
		s.hangUp()
	case stepDeaf:
		if l := s.link(); l != nil {
			l.deaf = !l.deaf
		}
	case stepSleep:
		time.Sleep(naps[p.byte()%len(naps)])
	case stepSockJS:
		s.sockjs(p.byte(), p.byte())
	case stepPlain:
		s.webSocket(plainWire, plainPaths[p.byte()%len(plainPaths)])
	case stepServer:
		s.serve(p.byte())
	case stepRequest:
		s.odd(p.byte(), p.byte())
	case stepCheck:
		s.world.check()
	}
}

var (
	naps       = []time.Duration{time.Millisecond, 100 * time.Millisecond, time.Second, 6 * time.Second, 11 * time.Second, 26 * time.Second, 50 * time.Second}
	plainPaths = []string{"/ws", "/ws/chat", "/ws?nsp=/chat", "/ws/nope", "/ws/refused", "/ws?deflate"}
)

// listen reads what has come, for those who are not deaf, and learns the ids of sessions.
func (s *crowd) listen() {
	for _, l := range s.links {
		if l.deaf {
			continue
		}
		for data := l.conn.in.take(); len(data) > 0; data = l.conn.in.take() {
			for _, found := range sessionID.FindAllSubmatch(data, -1) {
				s.ids = append(s.ids, identity{sid: string(found[1]), wire: l.wire})
			}
			synctest.Wait() // a slow writer has more
		}
	}
}

// sessionID is how a handshake of Engine.IO begins: the ids of sockets have no upgrades.
var sessionID = regexp.MustCompile(`\{\\?"sid\\?":\\?"([A-Za-z0-9_-]{20})\\?",\\?"upgrades`)

// leave ends all connections.
func (s *crowd) leave() {
	for _, l := range s.links {
		_ = l.conn.Close()
	}
	s.links = nil
}
