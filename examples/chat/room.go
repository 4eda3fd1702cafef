package main

import (
	"crypto/rand"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/seed-ce09063a/thinkws"
)

const (
	lobby   = "lobby" // the one room
	maxName = 30      // characters
	maxText = 2000    // characters
	colors  = 8       // of the page's palette
)

// person is somebody who has joined.
type person struct {
	ID    string `json:"id"`
	Name  string `json:"name"`
	Via   string `json:"via"`   // the kind of client, in its own words
	Color int    `json:"color"` // index into the page's palette
}

// message is what the others get to see. One of text and picture is set.
type message struct {
	receipt
	From    person   `json:"from"`
	Text    string   `json:"text,omitempty"`
	Picture *picture `json:"picture,omitempty"`
}

// receipt is what the sender of a message gets as ack.
type receipt struct {
	ID string    `json:"id"`
	At time.Time `json:"at"`
}

// picture is a file. Its bytes travel as binary over Socket.IO and as base64 in the
// JSON of a plain WebSocket; []byte stands for both.
type picture struct {
	Name string `json:"name"`
	Data []byte `json:"data"`
}

// room knows who is here. Actions of different clients run at the same time.
type room struct {
	mu     sync.Mutex // protects the following
	people map[string]person
	joined int // so far
}

func newRoom() *room { return &room{people: make(map[string]person)} }

// options registers the actions.
func (r *room) options() []thinkws.Option {
	return []thinkws.Option{
		thinkws.On("join", thinkws.Reply(r.join)),
		thinkws.On("say", thinkws.Reply(r.say)),
		thinkws.On("picture", thinkws.Reply(r.show)),
		thinkws.On("close", r.leave),
	}
}

// join lets a client in under a name, and answers who is here.
func (r *room) join(c *thinkws.Context, who person) ([]person, error) {
	who.Name = strings.TrimSpace(who.Name)
	if n := utf8.RuneCountInString(who.Name); n == 0 || n > maxName {
		return nil, &thinkws.Error{Name: thinkws.BadRequest, Message: "a name has 1 to 30 characters"}
	}
	if err := c.Join(lobby); err != nil {
		return nil, err
	}
	here := r.add(c.ID(), &who)
	if err := c.To(lobby).Emit("joined", who); err != nil {
		return nil, err
	}
	return here, c.Hub().To(lobby).Emit("here", here)
}

// say passes a text on to the others.
func (r *room) say(c *thinkws.Context, said struct{ Text string }) (receipt, error) {
	if n := utf8.RuneCountInString(said.Text); n == 0 || n > maxText {
		return receipt{}, &thinkws.Error{Name: thinkws.BadRequest, Message: "a text has 1 to 2000 characters"}
	}
	return r.send(c, message{Text: said.Text})
}

// show passes a picture on to the others.
func (r *room) show(c *thinkws.Context, p picture) (receipt, error) {
	return r.send(c, message{Picture: &p})
}

// send says on a message who sent it and when, and sends it to everybody else.
func (r *room) send(c *thinkws.Context, m message) (receipt, error) {
	from, ok := r.person(c.ID())
	if !ok {
		return receipt{}, &thinkws.Error{Name: thinkws.Forbidden, Message: "join first"}
	}
	m.From = from
	m.receipt = receipt{ID: rand.Text(), At: time.Now()}
	return m.receipt, c.To(lobby).Emit("message", m)
}

// leave runs when a client has gone, for whatever reason.
func (r *room) leave(c *thinkws.Context) error {
	who, here, ok := r.remove(c.ID())
	if !ok {
		return nil // had never joined
	}
	if err := c.To(lobby).Emit("left", who); err != nil {
		return err
	}
	return c.To(lobby).Emit("here", here)
}

func (r *room) person(id string) (person, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	who, ok := r.people[id]
	return who, ok
}

// add writes somebody down, with a colour, and returns who is here.
func (r *room) add(id string, who *person) []person {
	r.mu.Lock()
	defer r.mu.Unlock()
	who.ID, who.Color = id, r.joined%colors
	if before, ok := r.people[id]; ok {
		who.Color = before.Color
	} else {
		r.joined++
	}
	r.people[id] = *who
	return r.list()
}

func (r *room) remove(id string) (who person, here []person, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	who, ok = r.people[id]
	delete(r.people, id)
	return who, r.list(), ok
}

// list is sorted by name. r.mu is held.
func (r *room) list() []person {
	return slices.SortedFunc(maps.Values(r.people), func(a, b person) int { return strings.Compare(a.Name, b.Name) })
}
