package soak

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// xhrStream is a wire of SockJS over xhr-streaming. Of its pair one connection carries the stream.
type xhrStream struct {
	pair
	session string
	stream  *bufio.Reader // the body that is under way; nil between two
	waiting []string
}

func (d door) dialStream(ctx context.Context) (*xhrStream, error) {
	poll, err := d.dialHTTP(ctx)
	if err != nil {
		return nil, err
	}
	x := &xhrStream{session: "/sockjs/000/" + newID(), pair: pair{poll, d.lazyHTTP()}}
	x.limit(time.Now().Add(dialTimeout))
	frame, err := x.frame()
	if err == nil && frame != "o" {
		err = fmt.Errorf("instead of an open frame came %q", frame)
	}
	if err != nil {
		x.reset()
		return nil, err
	}
	return x, nil
}

// frame returns the next frame. A stream ends after some bytes, and the next one goes on.
func (x *xhrStream) frame() (string, error) {
	for {
		if x.stream == nil {
			res, err := x.poll.open(http.MethodPost, x.session+"/xhr_streaming", "")
			if err != nil {
				return "", err
			}
			x.stream = bufio.NewReader(res.Body)
		}
		line, err := x.stream.ReadString('\n')
		if errors.Is(err, io.EOF) && line == "" {
			x.stream = nil
			continue
		}
		if err != nil {
			return "", err
		}
		if frame := strings.TrimSuffix(line, "\n"); strings.Trim(frame, "h") != "" { // not prelude or heartbeat
			return frame, nil
		}
	}
}

func (x *xhrStream) send(texts ...string) error { return x.sendSockJS(x.session, texts) }

func (x *xhrStream) receive() (string, error) {
	for len(x.waiting) == 0 {
		frame, err := x.frame()
		if err != nil {
			return "", err
		}
		if x.waiting, err = sockJSFrame(frame); err != nil {
			return "", err
		}
	}
	text := x.waiting[0]
	x.waiting = x.waiting[1:]
	return text, nil
}

// leave breaks the connections off: SockJS has no other way.
func (x *xhrStream) leave() { x.close() }
