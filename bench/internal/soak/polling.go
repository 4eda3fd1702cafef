package soak

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// poller is a wire of Engine.IO over long-polling: of its pair one connection is for GETs, and one for POSTs.
type poller struct {
	revision int // of Engine.IO
	sid      string
	target   string
	pair
	waiting   []string // packets of the last payload
	postponed error    // what came behind them
}

func (d door) dialPolling(ctx context.Context, revision int) (*poller, error) {
	get, err := d.dialHTTP(ctx)
	if err != nil {
		return nil, err
	}
	target := fmt.Sprintf("/socket.io/?EIO=%d&transport=polling", revision)
	p := &poller{revision: revision, target: target, pair: pair{get, d.lazyHTTP()}}
	p.limit(time.Now().Add(dialTimeout))
	open, err := get.do(http.MethodGet, p.target, "")
	if err == nil {
		p.sid, err = sidOf(open)
	}
	if err != nil {
		p.reset()
		return nil, err
	}
	p.target += "&sid=" + p.sid
	if revision < 4 {
		p.take(open) // the welcome may be in it
	}
	return p, nil
}

// sidOf finds the session id in an open packet.
func sidOf(open string) (string, error) {
	_, rest, _ := strings.Cut(open, `"sid":"`)
	sid, _, ok := strings.Cut(rest, `"`)
	if !ok {
		return "", fmt.Errorf("no session in %q", open)
	}
	return sid, nil
}

func (p *poller) send(packets ...string) error {
	answer, err := p.post.do(http.MethodPost, p.target, p.payload(packets))
	if err == nil && answer != "ok" {
		err = fmt.Errorf("a POST was answered by %q", answer)
	}
	return err
}

func (p *poller) receive() (string, error) {
	for len(p.waiting) == 0 {
		if p.postponed != nil {
			return "", p.postponed
		}
		payload, err := p.poll.do(http.MethodGet, p.target, "")
		if err != nil {
			return "", err
		}
		p.take(payload)
	}
	packet := p.waiting[0]
	p.waiting = p.waiting[1:]
	return packet, nil
}

// take sorts the packets of a payload.
func (p *poller) take(payload string) {
	for _, packet := range p.packets(payload) {
		switch {
		case packet == "2":
			go func() { _ = p.send("3") }() // it waits while a POST is under way; polling goes on, as in browsers
		case packet == "1":
			p.postponed = &endedError{"packet 1"}
		case packet != "6" && packet != "3" && !strings.HasPrefix(packet, "0"): // noop, the answer to a heartbeat, open
			p.waiting = append(p.waiting, packet)
		}
	}
}

// payload is the body with some packets. None of them has a character beyond ASCII.
func (p *poller) payload(packets []string) string {
	if p.revision >= 4 {
		return strings.Join(packets, "\x1e")
	}
	var body strings.Builder
	for _, packet := range packets {
		fmt.Fprintf(&body, "%d:%s", len(packet), packet)
	}
	return body.String()
}

// packets takes a payload apart.
func (p *poller) packets(payload string) (packets []string) {
	if p.revision >= 4 {
		return strings.Split(payload, "\x1e")
	}
	for payload != "" {
		digits, rest, _ := strings.Cut(payload, ":")
		n, err := strconv.Atoi(digits)
		if err != nil || n > len(rest) {
			return append(packets, payload) // which nobody expects
		}
		packets, payload = append(packets, rest[:n]), rest[n:]
	}
	return packets
}

func (p *poller) leave() {
	_ = p.send("1") // the server may have gone
	p.close()
}
