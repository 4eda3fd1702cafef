package soak

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"
)

// poller is a wire of Engine.IO over long-polling: of its pair one connection is for GETs, and one for POSTs.
type poller struct {
	sid    string
	target string
	pair
	mu        sync.Mutex // held while a POST is under way: an event, or the answer to a heartbeat
	waiting   []string   // packets of the last payload
	postponed error      // what came behind them
}

func (d door) dialPolling(ctx context.Context) (*poller, error) {
	get, err := d.dialHTTP(ctx)
	if err != nil {
		return nil, err
	}
	p := &poller{target: "/socket.io/?EIO=4&transport=polling", pair: pair{get, d.lazyHTTP()}}
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

func (p *poller) send(packet string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	answer, err := p.post.do(http.MethodPost, p.target, packet)
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
		if err := p.take(payload); err != nil {
			return "", err
		}
	}
	packet := p.waiting[0]
	p.waiting = p.waiting[1:]
	return packet, nil
}

func (p *poller) take(payload string) error {
	for packet := range strings.SplitSeq(payload, "\x1e") {
		switch {
		case packet == "2":
			if err := p.send("3"); err != nil {
				return err
			}
		case packet == "1":
			p.postponed = &endedError{"packet 1"}
		case packet != "6": // noop
			p.waiting = append(p.waiting, packet)
		}
	}
	return nil
}

func (p *poller) leave() {
	_ = p.send("1") // the server may have gone
	p.close()
}
