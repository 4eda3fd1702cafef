package soak

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"
)

// newID is a session id of SockJS, which clients make up.
func newID() string { return fmt.Sprintf("%016x", rand.Uint64()) }

// xhrPoller is a wire of SockJS over xhr-polling.
type xhrPoller struct {
	pair
	session string
	waiting []string
}

func (d door) dialXHR(ctx context.Context) (*xhrPoller, error) {
	poll, err := d.dialHTTP(ctx)
	if err != nil {
		return nil, err
	}
	x := &xhrPoller{session: "/sockjs/000/" + newID(), pair: pair{poll, d.lazyHTTP()}}
	x.limit(time.Now().Add(dialTimeout))
	open, err := poll.do(http.MethodPost, x.session+"/xhr", "")
	if err == nil && open != "o\n" {
		err = fmt.Errorf("instead of an open frame came %q", open)
	}
	if err != nil {
		x.reset()
		return nil, err
	}
	return x, nil
}

func (x *xhrPoller) send(texts ...string) error { return x.sendSockJS(x.session, texts) }

// sendSockJS sends an array of messages.
func (p pair) sendSockJS(session string, texts []string) error {
	array, err := json.Marshal(texts)
	if err != nil {
		return err
	}
	_, err = p.post.do(http.MethodPost, session+"/xhr_send", string(array))
	return err
}

func (x *xhrPoller) receive() (string, error) {
	for len(x.waiting) == 0 {
		frame, err := x.poll.do(http.MethodPost, x.session+"/xhr", "")
		if err != nil {
			return "", err
		}
		if x.waiting, err = sockJSFrame(strings.TrimSuffix(frame, "\n")); err != nil {
			return "", err
		}
	}
	text := x.waiting[0]
	x.waiting = x.waiting[1:]
	return text, nil
}

// leave breaks the connections off: that is all that SockJS has.
func (x *xhrPoller) leave() { x.close() }
