package load

import (
	"bytes"
	"fmt"
	"strings"
)

// Dialect is what is said over a WebSocket.
type Dialect struct {
	name    string
	greeted bool   // the server speaks first
	hello   string // what the client then sends
	welcome string // how the server's answer begins
	event   func(name, data string) string
	// hear tells what a message of the server is.
	hear func(payload []byte) meaning
}

// String is what the dialect is called.
func (d *Dialect) String() string { return d.name }

// meaning of one message.
type meaning struct {
	events int    // that it carries
	answer string // which it asks for: the heartbeat
	over   bool   // it says goodbye
}

// Dialects. Raw has the bytes of SocketIO and the same two round trips to begin
// with, but nobody who understands them: the server sends back or broadcasts what
// it gets.
var (
	SocketIO = &Dialect{
		name: "Socket.IO 4", greeted: true, hello: "40", welcome: "40",
		event: socketIOEvent, hear: hearSocketIO,
	}
	Raw = &Dialect{
		name: "raw", hello: "40", welcome: "40",
		event: socketIOEvent, hear: hearSocketIO,
	}
	Centrifuge = &Dialect{
		name: "Centrifuge JSON", hello: `{"id":1,"connect":{}}`, welcome: `{"id":1,"connect":`,
		event: func(name, data string) string {
			return fmt.Sprintf(`{"send":{"data":["%s","%s"]}}`, name, data)
		},
		hear: hearCentrifuge,
	}
)

func socketIOEvent(name, data string) string { return fmt.Sprintf(`42["%s","%s"]`, name, data) }

func hearSocketIO(p []byte) meaning {
	switch {
	case len(p) > 1 && p[0] == '4' && p[1] == '2':
		return meaning{events: 1}
	case len(p) == 1 && p[0] == '2':
		return meaning{answer: "3"}
	case len(p) == 1 && p[0] == '1', len(p) > 1 && p[0] == '4' && (p[1] == '1' || p[1] == '4'):
		return meaning{over: true}
	}
	return meaning{} // also the head of a binary event, whose attachment counts
}

var pushed = []byte(`{"push":`)

func hearCentrifuge(p []byte) meaning {
	if string(p) == "{}" {
		return meaning{answer: "{}"}
	}
	return meaning{events: bytes.Count(p, pushed)}
}

// Message is what a client sends at a time, as frames ready to be written.
type Message []byte

// Event is an event of exactly size bytes in Socket.IO's words. Its name is "e" for one
// that comes back, "b" for one that everybody in the room gets.
func (d *Dialect) Event(name string, size int) Message {
	words := "the quick brown fox jumps over the lazy dog 0123456789 "
	fill := size - len(socketIOEvent(name, ""))
	data := strings.Repeat(words, fill/len(words)+1)[:fill]
	return clientFrame(opText, []byte(d.event(name, data)))
}

// Binary is an event "n" with one attachment of size bytes, which comes back.
func (d *Dialect) Binary(size int) Message {
	attachment := make([]byte, size)
	for i := range attachment {
		attachment[i] = byte(i * 7)
	}
	head := clientFrame(opText, []byte(`451-["n",{"_placeholder":true,"num":0}]`))
	return append(head, clientFrame(opBinary, attachment)...)
}
