package main

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/seed-ce09063a/thinkws"
)

// askTimeout is how long a client has to answer a question of the server, unless the
// scenario gives it more.
const askTimeout = time.Second

// actions are those of node-server.js, in all namespaces.
func actions(log *journal, a asker) []thinkws.Option {
	all := thinkws.WithMessages(thinkws.Messages{
		"open": func(c *thinkws.Context) error {
			log.addf("%s %s open", tag(c), c.Websocket().Namespace())
			return nil
		},
		"close": func(c *thinkws.Context) error {
			log.addf("%s %s close: %s", tag(c), c.Websocket().Namespace(), c.Reason())
			return nil
		},
		"whoami": whoami,

		"echo":      func(c *thinkws.Context) error { return c.Emit("echo", values(c.Args())...) },
		"echoAck":   func(c *thinkws.Context) error { return c.Ack(values(c.Args())...) },
		"binary":    thinkws.Bind(func(c *thinkws.Context, data []byte) error { return c.Emit("binary", data) }),
		"binaryAck": thinkws.Reply(func(_ *thinkws.Context, data []byte) ([]byte, error) { return data, nil }),
		"nested":    thinkws.Bind(func(c *thinkws.Context, d document) error { return c.Emit("nested", d) }),
		"nestedAck": thinkws.Reply(func(_ *thinkws.Context, d document) (document, error) { return d, nil }),
		"mixed":     mixed(func(c *thinkws.Context, args ...any) error { return c.Emit("mixed", args...) }),
		"mixedAck":  mixed((*thinkws.Context).Ack),

		"ask":       a.ask,
		"askBinary": a.askBinary,
		"askRoom":   a.askRoom,

		"join": thinkws.Bind(func(c *thinkws.Context, room string) error {
			if err := c.Join(room); err != nil {
				return err
			}
			return c.Ack()
		}),
		"leave": thinkws.Bind(func(c *thinkws.Context, room string) error {
			c.Leave(room)
			return c.Ack()
		}),
		"rooms": rooms,
		"shout": thinkws.Bind(shout),

		"one":   thinkws.Bind(func(c *thinkws.Context, n int) error { return self(c).Volatile().Emit("volatile", n) }),
		"burst": thinkws.Bind(burst),
		"count": thinkws.Bind(count),
		"pour":  thinkws.Bind(pour),

		"moveAll": thinkws.Bind(func(c *thinkws.Context, room string) error {
			if err := everybody(c).Join(room); err != nil {
				return err
			}
			return c.Ack()
		}),
		"kick": thinkws.Bind(kick),
		"kickRoom": thinkws.Bind(func(c *thinkws.Context, room string) error {
			_ = everybody(c, room).Disconnect()
			return nil
		}),

		"forbidden": func(*thinkws.Context) error {
			return &thinkws.Error{Name: thinkws.Forbidden, Message: "not you"}
		},
		"broken": func(*thinkws.Context) error { return errors.New("the password is swordfish") },
	})
	refuse := &thinkws.Error{
		Name: thinkws.Forbidden, Message: "not allowed",
		Data: map[string]any{"code": 401, "hint": []any{"a", 1}},
	}
	return []thinkws.Option{
		all,
		thinkws.Namespace("/chat", all),
		thinkws.Namespace("/guarded", thinkws.Authorize(guard(refuse)), all),
		thinkws.Namespace("/closed", thinkws.Authorize(guard(&thinkws.Error{Message: "closed today"})), all),
	}
}

func tag(c *thinkws.Context) string { return c.Request().URL.Query().Get("tag") }

// guard lets in who knows the token.
func guard(refuse error) func(*thinkws.Context) error {
	return func(c *thinkws.Context) error {
		var auth struct{ Token string }
		if raw := c.Websocket().Auth(); raw != nil {
			if err := json.Unmarshal(raw, &auth); err != nil {
				return err
			}
		}
		if auth.Token == "good" || c.Request().URL.Query().Get("token") == "good" {
			return nil
		}
		return refuse
	}
}

// whoami answers what the server knows of the client.
func whoami(c *thinkws.Context) error {
	query := make(map[string]string)
	for key, value := range c.Request().URL.Query() {
		if !slices.Contains([]string{"EIO", "transport", "sid", "t", "j", "b64"}, key) {
			query[key] = value[0]
		}
	}
	s := c.Websocket()
	auth := s.Auth()
	if auth == nil {
		auth = json.RawMessage("{}") // what Node has for none
	}
	return c.Ack(map[string]any{"auth": auth, "query": query, "namespace": s.Namespace(), "transport": s.Transport()})
}

// values makes a list that Emit takes of one that Args gives.
func values(args []json.RawMessage) []any {
	list := make([]any, len(args))
	for i, arg := range args {
		list[i] = arg
	}
	return list
}

// document has binary data in several depths.
type document struct {
	Name    string `json:"name"`
	Picture []byte `json:"picture"`
	Parts   []struct {
		N    int    `json:"n"`
		Data []byte `json:"data"`
	} `json:"parts"`
	Deep struct {
		Er [][]byte `json:"er"`
	} `json:"deep"`
}

// mixed takes text, binary, a map and binary, and sends them back.
func mixed(send func(c *thinkws.Context, args ...any) error) thinkws.HandlerFunc {
	return func(c *thinkws.Context) error {
		var (
			text string
			a, b []byte
			m    map[string]int
		)
		if err := c.Bind(&text, &a, &m, &b); err != nil {
			return err
		}
		return send(c, text, a, m, b)
	}
}

// asker asks clients, who have so long to answer.
type asker struct{ timeout time.Duration }

// ask asks the client what it sent, and tells it what it answered.
func (a asker) ask(c *thinkws.Context) error {
	ctx, cancel := context.WithTimeout(c.Context(), a.timeout)
	defer cancel()
	answer, err := c.EmitAck(ctx, "question", values(c.Args())...)
	if errors.Is(err, thinkws.ErrNoAck) {
		return c.Emit("unanswered")
	}
	if err != nil {
		return err
	}
	return c.Emit("answered", values(answer.Args())...)
}

func (a asker) askBinary(c *thinkws.Context) error {
	var question, data []byte
	if err := c.Bind(&question); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(c.Context(), a.timeout)
	defer cancel()
	answer, err := c.EmitAck(ctx, "question", question)
	if err != nil {
		return err
	}
	if err := answer.Bind(&data); err != nil {
		return err
	}
	return c.Emit("answeredBinary", data)
}

// askRoom asks everybody in a room.
func (a asker) askRoom(c *thinkws.Context) error {
	var room string
	if err := c.Bind(&room); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(c.Context(), a.timeout)
	defer cancel()
	answers, err := everybody(c, room).EmitAck(ctx, "question", "room")
	if err != nil && !errors.Is(err, thinkws.ErrNoAck) {
		return err
	}
	words := make([]string, len(answers))
	for i := range answers {
		if err := answers[i].Arg(0, &words[i]); err != nil {
			return err
		}
	}
	slices.Sort(words)
	return c.Ack(map[string]any{"complete": err == nil, "answers": words})
}

// everybody is who is in any of rooms, or in the whole namespace, the sender included.
func everybody(c *thinkws.Context, rooms ...string) thinkws.Target {
	return c.Hub().Of(c.Websocket().Namespace()).To(rooms...)
}

func self(c *thinkws.Context) thinkws.Target { return everybody(c, c.ID()) }

// rooms answers the rooms of the client but its own.
func rooms(c *thinkws.Context) error {
	list := slices.DeleteFunc(c.Rooms(), func(room string) bool { return room == c.ID() })
	slices.Sort(list)
	return c.Ack(append([]string{}, list...))
}

type shouting struct{ How, Room, Text string }

func shout(c *thinkws.Context, s shouting) error {
	var payload any = s.Text
	target := everybody(c)
	switch s.How {
	case "others":
		target = c.Others()
	case "room":
		target = everybody(c, s.Room)
	case "othersInRoom":
		target = c.To(s.Room)
	case "except":
		target = everybody(c).Except(s.Room)
	case "binary":
		payload = []byte(s.Text)
	}
	if err := target.Emit("shout", payload); err != nil {
		return err
	}
	return c.Ack()
}

func burst(c *thinkws.Context, n int) error {
	for i := range n {
		if err := self(c).Volatile().Emit("volatile", i); err != nil {
			return err
		}
	}
	return c.Ack()
}

func count(c *thinkws.Context, n int) error {
	for i := range n {
		if err := c.Emit("number", i); err != nil {
			return err
		}
	}
	return nil
}

type pouring struct{ Messages, Size, Large int }

// pour sends many messages and a large one, without a pause.
func pour(c *thinkws.Context, p pouring) error {
	for i := range p.Messages {
		if err := c.Emit("poured", i, strings.Repeat("x", p.Size)); err != nil {
			return err
		}
	}
	return c.Emit("poured", p.Messages, strings.Repeat("y", p.Large))
}

func kick(c *thinkws.Context, whole bool) error {
	if whole {
		c.Websocket().Close()
	} else {
		c.Websocket().Disconnect()
	}
	return nil
}
