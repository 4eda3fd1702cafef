package main

import (
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/seed-ce09063a/thinkws"
)

// trafficTick is how often a series sends the messages that are due.
const trafficTick = 5 * time.Millisecond

// traffic publishes one series of numbered messages at a time.
type traffic struct {
	mu      sync.Mutex // protects current
	current *series
}

// series is numbered messages at a steady rate: a third to everybody, a third to one room, a third to two.
type series struct {
	hub     *thinkws.Hub
	name    string
	rooms   []string
	rate    int           // messages a second
	burst   chan int      // the size of one more message, sent at once
	stop    chan struct{} // closed by end
	stopped chan struct{} // closed when nothing more is published
	report  trafficReport // of run's goroutine until stopped is closed
}

// trafficReport is the outcome of a series.
type trafficReport struct {
	Published int   `json:"published"` // the refused ones included
	Refused   []int `json:"refused"`   // the numbers for which Emit has returned an error
}

func (t *traffic) start(hub *thinkws.Hub, c command) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.current != nil {
		return errors.New("there is traffic already")
	}
	t.current = &series{hub: hub, name: c.From, rooms: c.Rooms, rate: c.Rate, burst: make(chan int),
		stop: make(chan struct{}), stopped: make(chan struct{}), report: trafficReport{Refused: []int{}}}
	go t.current.run()
	return nil
}

// burst publishes messages of size bytes at once, within the series.
func (t *traffic) burst(c command) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.current == nil {
		return errors.New("there is no traffic")
	}
	for range c.Count {
		t.current.burst <- c.Size
	}
	return nil
}

func (t *traffic) end() (trafficReport, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.current == nil {
		return trafficReport{}, errors.New("there is no traffic")
	}
	close(t.current.stop)
	<-t.current.stopped
	report := t.current.report
	t.current = nil
	return report, nil
}

func (s *series) run() {
	defer close(s.stopped)
	tick := time.NewTicker(trafficTick)
	defer tick.Stop()
	began, steady := time.Now(), 0
	for {
		select {
		case <-tick.C:
			for due := int(time.Since(began).Seconds() * float64(s.rate)); steady < due; steady++ {
				s.publish(0)
			}
		case size := <-s.burst:
			s.publish(size)
		case <-s.stop:
			return
		}
	}
}

// publish sends the next message: its series, its number, when it was published, and a filling.
func (s *series) publish(size int) {
	n := s.report.Published
	s.report.Published++
	to := s.hub.To(s.rooms[:n%(len(s.rooms)+1)]...)
	message := []any{s.name, n, time.Now().UnixMilli(), strings.Repeat("x", size)}
	if err := to.Emit("traffic", message); err != nil {
		s.report.Refused = append(s.report.Refused, n)
	}
}
