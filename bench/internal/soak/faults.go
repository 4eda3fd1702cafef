package soak

import (
	"context"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/gorilla/websocket"
)

// faults are what Mixed has hostile and unlucky clients do, each with the number of its turn. An
// error says that it could not be done, not what the server made of it.
var faults = [...]func(ctx context.Context, d door, turn int) error{
	cut, beDeaf, malform, overrun, sendBodySlowly, abortPoll, leaveUpgrade,
}

// patience is how long those stay that do not want to go.
const patience = 3 * time.Second

// cut resets the connection in the middle of things.
func cut(ctx context.Context, d door, turn int) error {
	return d.comeAndGo(ctx, int(kinds)+turn%int(kinds)+turn*ways)
}

// beDeaf is in the room and never reads.
func beDeaf(ctx context.Context, d door, turn int) error {
	d.narrow = true
	c, err := d.enter(ctx, kind(turn)%kinds)
	if err != nil {
		return err
	}
	defer c.reset()
	if err := c.say("join", room); err != nil {
		return err
	}
	// Much comes for it, too.
	for range 100 {
		c.limit(time.Now().Add(patience))
		if c.say("echo", strings.Repeat("x", 20<<10)) != nil {
			break // sent away, as it should be
		}
	}
	return pause(ctx, patience)
}

// malform sends what no client would.
func malform(ctx context.Context, d door, turn int) error {
	c, err := d.enter(ctx, kind(turn)%kinds)
	if err != nil {
		return err
	}
	defer c.reset()
	c.limit(time.Now().Add(patience))
	texts := [...]string{`42[`, `{"event":`, "9", `451-["x",{"_placeholder":true,"num":7}]`, "\xff\xfe", strings.Repeat("[", 10_000)}
	text := texts[turn/int(kinds)%len(texts)]
	w, ok := c.wire.(*webSocket)
	if !ok {
		_ = c.wire.send(text) // the answer is an error
		return nil
	}
	if turn%2 == 0 {
		_, _ = w.tcp().Write([]byte{0xff, 0x7f, 0, 0, 0, 0, 0, 0, 0, 0}) // reserved bits, no mask
	} else {
		_ = w.conn.WriteMessage(websocket.TextMessage, []byte(text))
	}
	for err == nil { // until it is sent away, or for as long as it waits
		_, err = c.receive()
	}
	return nil
}

// overrun sends more than the receive rate allows.
func overrun(ctx context.Context, d door, turn int) error {
	floods := [...]kind{plain, socketIO, sockJS}
	c, err := d.enter(ctx, floods[turn%len(floods)])
	if err != nil {
		return err
	}
	defer c.reset()
	c.limit(time.Now().Add(patience))
	go func() {
		for { // reads, so that it is not a slow one
			if _, err := c.receive(); err != nil {
				return
			}
		}
	}()
	for range 15_000 {
		if c.say("nobody", "listens") != nil {
			break
		}
	}
	return nil
}

// sendBodySlowly is who needs for ever for a POST.
func sendBodySlowly(ctx context.Context, d door, turn int) error {
	sid, err := d.openSession(ctx)
	if err != nil {
		return err
	}
	target := "/socket.io/?EIO=4&transport=polling&sid=" + sid
	if turn%2 == 0 {
		target = "/sockjs/000/" + newID() + "/xhr_send"
	}
	all := request(http.MethodPost, target, strings.Repeat("4", 100))
	_, err = d.sendSlowly(ctx, slowRequest{all[:len(all)-100], all[len(all)-100:]}, patience)
	if isTimeout(err) {
		return nil // it has hung up first
	}
	return err
}

// abortPoll breaks a poll off that waits.
func abortPoll(ctx context.Context, d door, turn int) error {
	c, err := d.enter(ctx, [...]kind{polling, xhr}[turn%2])
	if err != nil {
		return err
	}
	defer c.reset()
	switch w := c.wire.(type) {
	case *poller:
		_, err = io.WriteString(w.poll, request(http.MethodGet, w.target, ""))
	case *xhrPoller:
		_, err = io.WriteString(w.poll, request(http.MethodPost, w.session+"/xhr", ""))
	}
	if err != nil {
		return err
	}
	return pause(ctx, time.Duration(turn%15)*100*time.Millisecond) // before and after a poll is put aside
}

// leaveUpgrade begins an upgrade and forgets it.
func leaveUpgrade(ctx context.Context, d door, turn int) error {
	sid, err := d.openSession(ctx)
	if err != nil {
		return err
	}
	w, err := d.dialWebSocket(ctx, "/socket.io/?EIO=4&transport=websocket&sid="+sid, "")
	if err != nil {
		return err
	}
	defer w.reset()
	if turn%2 == 0 {
		return w.send("2probe")
	}
	return pause(ctx, patience)
}
