package soak

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// webSocket is a wire of plain WebSocket, Socket.IO or SockJS.
type webSocket struct {
	mu      sync.Mutex // held while a message is sent
	conn    *websocket.Conn
	sockJS  bool     // messages come and go in frames of it
	waiting []string // messages of the last frame
	buf     []byte   // the last frame
}

// Bytes that are read at a time.
const (
	narrowRead = 1 << 10
	wideRead   = 64 << 10
)

func (d door) dialWebSocket(ctx context.Context, target, greeting string) (*webSocket, error) {
	read := narrowRead
	if d.wide {
		read = wideRead
	}
	dialer := websocket.Dialer{
		HandshakeTimeout: dialTimeout, ReadBufferSize: read, WriteBufferSize: 1 << 10,
		NetDialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return d.dial(ctx) },
	}
	conn, res, err := dialer.DialContext(ctx, "ws://"+d.server.String()+target, nil)
	if errors.Is(err, websocket.ErrBadHandshake) {
		body, _ := io.ReadAll(res.Body) // it is for a message only
		return nil, &refusedError{res.StatusCode, res.Header.Get("Retry-After") != "", string(body)}
	}
	if err != nil {
		return nil, err
	}
	w := &webSocket{conn: conn, sockJS: strings.HasPrefix(target, "/sockjs")}
	w.limit(time.Now().Add(dialTimeout))
	if greeting != "" {
		_, text, err := conn.ReadMessage()
		if err == nil && !strings.HasPrefix(string(text), greeting) {
			err = fmt.Errorf("instead of a greeting came %q", text)
		}
		if err != nil {
			w.reset()
			return nil, err
		}
	}
	return w, nil
}

// upgrade takes the session over from polling, as clients do.
func (w *webSocket) upgrade() error {
	if err := w.send("2probe"); err != nil {
		return err
	}
	_, text, err := w.conn.ReadMessage()
	if err != nil {
		return err
	}
	if string(text) != "3probe" {
		return fmt.Errorf("a probe was answered by %q", text)
	}
	return w.send("5")
}

func (w *webSocket) send(texts ...string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, text := range texts {
		message := []byte(text)
		if w.sockJS {
			var err error
			if message, err = json.Marshal([]string{text}); err != nil {
				return err
			}
		}
		if err := w.conn.WriteMessage(websocket.TextMessage, message); err != nil {
			return err
		}
	}
	return nil
}

func (w *webSocket) receive() (string, error) {
	for len(w.waiting) == 0 {
		text, err := w.read()
		if closed, ok := errors.AsType[*websocket.CloseError](err); ok && closed.Code != websocket.CloseAbnormalClosure {
			return "", &endedError{strings.TrimSpace(fmt.Sprintf("close %d %s", closed.Code, closed.Text))}
		}
		if err != nil {
			return "", err
		}
		if err := w.take(text); err != nil {
			return "", err
		}
	}
	text := w.waiting[0]
	w.waiting = w.waiting[1:]
	return text, nil
}

// read returns a message that is good until the next one is read.
func (w *webSocket) read() ([]byte, error) {
	_, r, err := w.conn.NextReader()
	if err != nil {
		return nil, err
	}
	buf := bytes.NewBuffer(w.buf[:0])
	_, err = buf.ReadFrom(r)
	w.buf = buf.Bytes()
	return w.buf, err
}

// take sorts a message.
func (w *webSocket) take(text []byte) error {
	switch {
	case w.sockJS:
		messages, err := sockJSFrame(string(text))
		w.waiting = messages
		if err != nil {
			_, _, _ = w.conn.ReadMessage() // the WebSocket's own end, which is to be answered
		}
		return err
	case bytes.Equal(text, []byte("2")): // a heartbeat; plain WebSocket has no such text
		go func() { _ = w.send("3") }() // it waits while the socket is full; reading goes on, as in browsers
		return nil
	case bytes.Equal(text, []byte("3")), bytes.Equal(text, []byte("6")): // the answer to one of Socket.IO 2, and noop
		return nil
	case bytes.Equal(text, []byte("1")):
		return &endedError{"packet 1"}
	}
	w.waiting = append(w.waiting[:0], string(text))
	return nil
}

// sockJSFrame returns the messages of a frame, none for a heartbeat.
func sockJSFrame(frame string) (messages []string, err error) {
	switch array, ok := strings.CutPrefix(frame, "a"); {
	case ok:
		return sockJSStrings(array)
	case frame == "h", frame == "o":
		return nil, nil
	case strings.HasPrefix(frame, "c["):
		return nil, &endedError{frame}
	default:
		return nil, fmt.Errorf("an unexpected frame: %.100q", frame)
	}
}

// sockJSStrings takes an array apart, fast: what JSON would escape is not in our messages, but
// for their own quotes.
func sockJSStrings(array string) (messages []string, err error) {
	array, ok := strings.CutPrefix(array, `["`)
	array, ok2 := strings.CutSuffix(array, `"]`)
	if !ok || !ok2 {
		return nil, fmt.Errorf("an unexpected array: %.100q", array)
	}
	for text := range strings.SplitSeq(array, `","`) {
		messages = append(messages, strings.ReplaceAll(text, `\"`, `"`))
	}
	return messages, nil
}

func (w *webSocket) leave() {
	goodbye := websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")
	_ = w.conn.WriteControl(websocket.CloseMessage, goodbye, time.Now().Add(time.Second)) // the server may have gone
	_ = w.conn.Close()
}

func (w *webSocket) reset() { reset(w.tcp()) }

func (w *webSocket) tcp() *net.TCPConn { return w.conn.NetConn().(*net.TCPConn) }

func (w *webSocket) limit(at time.Time) {
	_ = w.conn.NetConn().SetDeadline(at) // fails on a closed connection only
}

// upgradeRequest is the handshake of a WebSocket.
func upgradeRequest(target string) string {
	return strings.TrimSuffix(request(http.MethodGet, target, ""), "\r\n") +
		"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
}
