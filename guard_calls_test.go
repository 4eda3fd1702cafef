package thinkws_test

import (
	"context"
	"log/slog"
	"strings"

	"github.com/seed-ce09063a/thinkws"
)

func newLogger(h slog.Handler) *slog.Logger { return slog.New(h) }

// during makes a row of a call that an action makes with a value of the service.
func during(name string, call func(c *thinkws.Context, value any) error, value func(m mistake) any) lapse {
	return lapse{name: name, covers: []string{name}, want: internalError, action: func(m mistake) thinkws.HandlerFunc {
		return func(c *thinkws.Context) error {
			if err := call(c, value(m)); err != nil {
				return err
			}
			return c.Ack("went well")
		}
	}}
}

// valueLapses are in values that are sent, decoded into and used as keys.
func valueLapses() (rows []lapse) {
	brief := func(ask func(ctx context.Context) error) error {
		ctx, cancel := soonDone()
		defer cancel()
		return ask(ctx)
	}
	for name, call := range map[string]func(c *thinkws.Context, v any) error{
		"Context.Ack(args)":       func(c *thinkws.Context, v any) error { return c.Ack(v) },
		"Context.Broadcast(args)": func(c *thinkws.Context, v any) error { return c.Broadcast("bystander", v) },
		"Hub.Emit(args)":          func(c *thinkws.Context, v any) error { return c.Hub().Emit("bystander", v) },
		"Hub.ServerEmit(args)":    func(c *thinkws.Context, v any) error { return c.Hub().ServerEmit("bystander", v) },
		"Space.Emit(args)":        func(c *thinkws.Context, v any) error { return c.Hub().Of("/x").Emit("bystander", v) },
		"Space.ServerEmit(args)":  func(c *thinkws.Context, v any) error { return c.Hub().Of("/").ServerEmit("bystander", v) },
		"Target.Emit(args)":       func(c *thinkws.Context, v any) error { return c.Others().Emit("bystander", v) },
		"Context.Emit(args)":      func(c *thinkws.Context, v any) error { return c.Emit("bystander", v) },
		"Socket.Emit(args)":       func(c *thinkws.Context, v any) error { return c.Websocket().Emit("bystander", v) },
		"Socket.SetData(v)":       func(c *thinkws.Context, v any) error { return c.Websocket().SetData(v) },
		"Reply[R]": func(c *thinkws.Context, v any) error {
			return thinkws.Reply(func(*thinkws.Context, any) (any, error) { return v, nil })(c)
		},
	} {
		row := during(name, call, mistake.value)
		row.nilWant = "ok" // null
		if name == "Context.Emit(args)" || strings.HasPrefix(name, "Socket.") {
			row.http = internalError // there is no client
		}
		rows = append(rows, row)
	}
	for name, call := range map[string]func(c *thinkws.Context, ctx context.Context, v any) error{
		"Context.EmitAck(args)": func(c *thinkws.Context, ctx context.Context, v any) error {
			return second(c.EmitAck(ctx, "bystander", v))
		},
		"Socket.EmitAck(args)": func(c *thinkws.Context, ctx context.Context, v any) error {
			return second(c.Websocket().EmitAck(ctx, "bystander", v))
		},
		"Hub.EmitAck(args)": func(c *thinkws.Context, ctx context.Context, v any) error {
			return second(c.Hub().EmitAck(ctx, "bystander", v))
		},
		"Space.EmitAck(args)": func(c *thinkws.Context, ctx context.Context, v any) error {
			return second(c.Hub().Of("/").EmitAck(ctx, "bystander", v))
		},
		"Target.EmitAck(args)": func(c *thinkws.Context, ctx context.Context, v any) error {
			return second(c.To().EmitAck(ctx, "bystander", v))
		},
		"Hub.ServerEmitAck(args)": func(c *thinkws.Context, ctx context.Context, v any) error {
			return second(c.Hub().ServerEmitAck(ctx, "bystander", v))
		},
		"Space.ServerEmitAck(args)": func(c *thinkws.Context, ctx context.Context, v any) error {
			return second(c.Hub().Of("/").ServerEmitAck(ctx, "bystander", v))
		},
	} {
		row := during(name, func(c *thinkws.Context, v any) error {
			return brief(func(ctx context.Context) error { return call(c, ctx, v) })
		}, mistake.value)
		row.noNil = "it is null, and clients that do not answer are not for this test"
		if name == "Context.EmitAck(args)" {
			row.http = internalError // there is no client
		}
		rows = append(rows, row)
	}
	return append(rows, inputLapses()...)
}

func second[T any](_ T, err error) error { return err }

// inputLapses are in values that events are decoded into, and in keys.
func inputLapses() (rows []lapse) {
	for name, call := range map[string]func(c *thinkws.Context, v any) error{
		"Context.Arg(v)":  func(c *thinkws.Context, v any) error { return c.Arg(0, v) },
		"Context.Bind(v)": func(c *thinkws.Context, v any) error { return c.Bind(v) },
		"Bind[T]": func(c *thinkws.Context, v any) error {
			if _, loud := v.(*loudInput); loud {
				return thinkws.Bind(func(*thinkws.Context, loudInput) error { return nil })(c)
			}
			return thinkws.Bind(func(*thinkws.Context, lostInput) error { return nil })(c)
		},
		"Reply[T]": func(c *thinkws.Context, v any) error {
			if _, loud := v.(*loudInput); loud {
				return thinkws.Reply(func(*thinkws.Context, loudInput) (int, error) { return 1, nil })(c)
			}
			return thinkws.Reply(func(*thinkws.Context, lostInput) (int, error) { return 1, nil })(c)
		},
	} {
		row := during(name, call, mistake.input)
		row.noNil = "it is an error of encoding/json"
		rows = append(rows, row)
	}
	for name, call := range map[string]func(a *thinkws.Answer, v any) error{
		"Answer.Arg(v)":  func(a *thinkws.Answer, v any) error { return a.Arg(0, v) },
		"Answer.Bind(v)": func(a *thinkws.Answer, v any) error { return a.Bind(v) },
	} {
		rows = append(rows, withOthers(name, func(c *thinkws.Context, m mistake) error {
			ctx, cancel := soonDone()
			defer cancel()
			answers, err := c.Hub().ServerEmitAck(ctx, "question")
			if err != nil {
				return c.Ack(err.Error())
			}
			return call(&answers[0], m.input())
		}))
	}
	unhashable := func(m mistake) any { m.make(); return []int{} }
	for name, call := range map[string]func(c *thinkws.Context, v any) error{
		"Context.Get(key)": func(c *thinkws.Context, v any) error { c.Set(1, 1); _ = c.Get(v); return nil },
		"Context.Set(key)": func(c *thinkws.Context, v any) error { c.Set(v, 1); return nil },
		"Socket.Get(key)":  func(c *thinkws.Context, v any) error { c.Websocket().Set(1, 1); _ = c.Websocket().Get(v); return nil },
		"Socket.Set(key)":  func(c *thinkws.Context, v any) error { c.Websocket().Set(v, 1); return nil },
	} {
		row := during(name, call, unhashable)
		if name[0] == 'C' {
			row.http = "-" // there is nothing to get or set
		}
		rows = append(rows, row)
	}
	return rows
}

// withOthers makes a row of an action that asks another server, which answers "question".
func withOthers(name string, action func(c *thinkws.Context, m mistake) error) lapse {
	return lapse{name: name, covers: []string{name}, want: internalError, http: "-", noNil: "it is an error of encoding/json",
		options: func(mistake) []thinkws.Option { return []thinkws.Option{thinkws.WithBus(answeringBus(mistake{}))} },
		action:  func(m mistake) thinkws.HandlerFunc { return func(c *thinkws.Context) error { return action(c, m) } }}
}

// contextLapses are in contexts.
func contextLapses() (rows []lapse) {
	for name, call := range map[string]func(c *thinkws.Context, ctx context.Context) error{
		"Context.EmitAck(ctx)": func(c *thinkws.Context, ctx context.Context) error { return second(c.EmitAck(ctx, "bystander")) },
		"Socket.EmitAck(ctx)": func(c *thinkws.Context, ctx context.Context) error {
			return second(c.Websocket().EmitAck(ctx, "bystander"))
		},
		"Hub.EmitAck(ctx)": func(c *thinkws.Context, ctx context.Context) error { return second(c.Hub().EmitAck(ctx, "bystander")) },
		"Space.EmitAck(ctx)": func(c *thinkws.Context, ctx context.Context) error {
			return second(c.Hub().Of("/").EmitAck(ctx, "bystander"))
		},
		"Target.EmitAck(ctx)": func(c *thinkws.Context, ctx context.Context) error {
			return second(c.To(c.ID()).EmitAck(ctx, "bystander"))
		},
		"Hub.Sockets(ctx)":    func(c *thinkws.Context, ctx context.Context) error { return second(c.Hub().Sockets(ctx)) },
		"Space.Sockets(ctx)":  func(c *thinkws.Context, ctx context.Context) error { return second(c.Hub().Of("/").Sockets(ctx)) },
		"Target.Sockets(ctx)": func(c *thinkws.Context, ctx context.Context) error { return second(c.To().Sockets(ctx)) },
		"Space.Rooms(ctx)":    func(c *thinkws.Context, ctx context.Context) error { return second(c.Hub().Of("/").Rooms(ctx)) },
		"Hub.ServerEmitAck(ctx)": func(c *thinkws.Context, ctx context.Context) error {
			return second(c.Hub().ServerEmitAck(ctx, "bystander"))
		},
		"Space.ServerEmitAck(ctx)": func(c *thinkws.Context, ctx context.Context) error {
			return second(c.Hub().Of("/").ServerEmitAck(ctx, "bystander"))
		},
	} {
		for _, method := range []string{"Deadline", "Done", "Err", "Value", "Err, later"} {
			for _, where := range []string{"", ", with a bus"} {
				row := during(name, func(c *thinkws.Context, v any) error {
					if err := call(c, v.(context.Context)); err != nil {
						return err
					}
					return errOrdinary // the context has ended, or was not asked
				}, func(m mistake) any {
					if m.isNil() {
						return (*badContext)(nil)
					}
					return &badContext{method, m}
				})
				row.name, row.elusive = name+"."+method+where, true
				if where != "" {
					row.options = func(mistake) []thinkws.Option { return []thinkws.Option{thinkws.WithBus(&deafBus{})} }
				}
				rows = append(rows, row)
			}
		}
	}
	return rows
}

// busLapses are in a bus that the service has written.
func busLapses() []lapse {
	var rows []lapse
	for _, method := range []string{"Open", "Subscribe", "Unsubscribe", "Publish", "Ask", "Stats", "Close"} {
		covers := "BusLink." + method
		if method == "Open" {
			covers = "Bus.Open"
		}
		rows = append(rows, lapse{name: covers, covers: []string{covers}, want: "ok", namespace: "/room-1",
			noNil: map[string]string{"Open": "New fails"}[method],
			options: func(m mistake) []thinkws.Option {
				b := &badBus{method: method, m: m}
				if method == "Open" {
					b.method = "Subscribe" // New fails otherwise: see newLapses
				}
				return []thinkws.Option{thinkws.WithBus(b), thinkws.Namespace("/room-*", thinkws.On("attack", useBus), thinkws.On("echo", answer))}
			},
			action: func(mistake) thinkws.HandlerFunc { return useBus }})
	}
	return append(rows, lapse{name: "BusNode.Deliver(reply)", covers: []string{"BusNode.Deliver(reply)"}, want: "ok", noNil: "it returns nothing",
		options: func(m mistake) []thinkws.Option {
			b := &badBus{}
			return []thinkws.Option{thinkws.WithBus(b), thinkws.OnServer("question", answer), thinkws.OnServer("failing", m.action),
				thinkws.On("attack", func(c *thinkws.Context) error {
					bad := func(*thinkws.Envelope) { m.make() }
					for _, e := range []thinkws.Envelope{
						{Kind: thinkws.BusSockets}, {Kind: thinkws.BusRooms}, {Kind: thinkws.BusServerEmit, Event: "question"},
						{Kind: thinkws.BusServerEmit, Event: "failing"}, {Kind: thinkws.BusServerEmit, Event: "nobody"},
						{Kind: thinkws.BusEmit, Event: "bystander", Rooms: []string{c.ID()}}, {Kind: thinkws.BusEmit, Event: "bystander", Rooms: []string{"none"}},
					} {
						e.Namespace = "/"
						b.node.Deliver(&e, bad)
					}
					return c.Ack("ok")
				})}
		}}, lapse{name: "OnServer", covers: []string{"OnServer(fn)"}, want: "ok", http: "-",
		options: func(m mistake) []thinkws.Option {
			return []thinkws.Option{thinkws.WithBus(answeringBus(m))}
		},
		action: func(mistake) thinkws.HandlerFunc {
			return func(c *thinkws.Context) error {
				ctx, cancel := soonDone()
				defer cancel()
				answers, err := c.Hub().ServerEmitAck(ctx, "mistake")
				if err != nil {
					return err
				}
				if got := string(answers[0].Args()[0]); got != `{"error":{"name":"Internal","message":"internal error"}}` {
					return errOrdinary
				}
				return c.Ack("ok")
			}
		}})
}

// useBus does what a bus is for. Its errors do not matter.
func useBus(c *thinkws.Context) error {
	ctx, cancel := soonDone()
	defer cancel()
	_ = c.Hub().Emit("bystander")
	_, _ = c.Hub().Sockets(ctx)
	_ = c.Hub().To("nobody").Disconnect()
	_ = c.Hub().Stats()
	return c.Ack("ok")
}
