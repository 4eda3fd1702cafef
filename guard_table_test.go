package thinkws_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/seed-ce09063a/thinkws"
)

const internalError = "Internal: internal error"

// lapse is a row of the table: a place where code of a service gets into ours, and a service
// that makes a mistake there.
type lapse struct {
	name   string
	covers []string // as exposed has them

	options   func(m mistake) []thinkws.Option
	action    func(m mistake) thinkws.HandlerFunc // of "attack", over every wire; nil for one that answers
	namespace string                              // that guests ask for; "" for the main one
	enter     string                              // what becomes of them: "" for in
	want      string                              // what they are answered
	http      string                              // and what a call over HTTP is; "" for the same
	nilWant   string                              // instead of want, after a typed nil
	noNil     string                              // why there is no typed nil
	elusive   bool                                // the place may not be reached
	fails     bool                                // New returns an error, and that is all
}

// harmless are the places where code of ours does not run code of the service, with the reason.
var harmless = map[string]string{
	"Option":               "only functions of ours can be one",
	"Messages":             "a map for WithMessages",
	"Context.Set(value)":   "it is stored",
	"Socket.Set(value)":    "it is stored",
	"Member.Request":       "the service calls it",
	"NodesError.Err":       "an error like that of Error.Err, of which this wraps one more",
	"NoAckError.Err":       "an error like that of Error.Err, of which this wraps one more",
	"BusStats.Err":         "it is returned by Stats and Health",
	"BusNode.Deliver":      "ours",
	"BusNode.Logger":       "ours",
	"BusNode.Wants":        "ours",
	"Bus.Open(node)":       "ours",
	"MemoryBus.Open(node)": "a node of ours, but in tests",
	"BusLink.Ask(answer)":  "ours", "BusLink.Ask(ctx)": "ours", "BusLink.Close(ctx)": "that of Shutdown", "BusLink.Subscribe(ctx)": "ours",
	"Payload.AppendJSON(put)": "package redisbus calls it with functions of its own",
	"NamespaceFunc(options)":  "see New(options)",
	"Namespace(options)":      "see New(options)",
}

// elsewhere are places with a test of their own.
var elsewhere = map[string]string{
	"Handler.Shutdown(ctx)":    "TestShutdownWithAContextThatPanics",
	"Handler.Middleware(next)": "TestMistakesOfHTTPMiddleware",
	"Handler.ServeHTTP(w)":     "TestMistakesOfHTTPMiddleware",
	"Handler.ServeHTTP(r)":     "TestMistakesOfHTTPMiddleware",
	"Handler.Holds(r)":         "TestMistakesOfHTTPMiddleware",
}

// table returns all rows.
func table() []lapse {
	return slices.Concat(actionLapses(), entryLapses(), hookLapses(), errorLapses(), valueLapses(), contextLapses(), busLapses(), newLapses())
}

func actionLapses() []lapse {
	actions := func(m mistake) thinkws.HandlerFunc { return m.action }
	return []lapse{
		{name: "On", covers: []string{"On(fn)", "HandlerFunc", "Handler.Action(fn)"}, action: actions, want: internalError},
		{name: "WithMessages", covers: []string{"WithMessages(messages)"}, want: internalError, http: "ok", options: func(m mistake) []thinkws.Option {
			return []thinkws.Option{thinkws.WithMessages(thinkws.Messages{"attack": m.action})}
		}},
		{name: "OnAny", covers: []string{"OnAny(fn)"}, want: internalError, http: "ok", options: func(m mistake) []thinkws.Option {
			return []thinkws.Option{thinkws.OnAny(onlyAttacks(m.action)), thinkws.On("attack", answer)}
		}},
		{name: "Use", covers: []string{"Use(middleware)"}, action: answers, want: internalError, options: func(m mistake) []thinkws.Option {
			return []thinkws.Option{thinkws.Use(func(next thinkws.HandlerFunc) thinkws.HandlerFunc {
				return func(c *thinkws.Context) error {
					if c.Event() == "attack" || c.Event() == "/attack" {
						return m.action(c)
					}
					return next(c)
				}
			})}
		}},
		{name: "Concurrent", covers: []string{"Concurrent(fn)"}, want: internalError,
			action: func(m mistake) thinkws.HandlerFunc { return thinkws.Concurrent(m.action) }},
		{name: "Bind", covers: []string{"Bind(fn)"}, want: internalError, action: func(m mistake) thinkws.HandlerFunc {
			return thinkws.Bind(func(c *thinkws.Context, _ any) error { return m.action(c) })
		}},
		{name: "Reply", covers: []string{"Reply(fn)"}, want: internalError, action: func(m mistake) thinkws.HandlerFunc {
			return thinkws.Reply(func(c *thinkws.Context, _ any) (int, error) { return 1, m.action(c) })
		}},
		{name: "open", covers: []string{"On(fn)"}, namespace: "/room", want: "ok", options: func(m mistake) []thinkws.Option {
			return []thinkws.Option{thinkws.Namespace("/room", thinkws.On("open", m.action), thinkws.On("attack", answer), thinkws.On("echo", answer))}
		}},
		{name: "close", covers: []string{"On(fn)"}, namespace: "/room", want: "ok", options: func(m mistake) []thinkws.Option {
			return []thinkws.Option{thinkws.Namespace("/room", thinkws.On("close", m.action), thinkws.On("attack", answer), thinkws.On("echo", answer))}
		}},
	}
}

func answers(mistake) thinkws.HandlerFunc { return answer }
func answer(c *thinkws.Context) error     { return c.Ack(c.WsData()) }
func onlyAttacks(fn thinkws.HandlerFunc) thinkws.HandlerFunc {
	return func(c *thinkws.Context) error {
		if c.Event() != "attack" {
			return nil
		}
		return fn(c)
	}
}

// entryLapses happen when a client enters.
func entryLapses() []lapse {
	return []lapse{
		{name: "Authorize", covers: []string{"Authorize(fn)"}, enter: "refused: internal error", http: "ok", options: func(m mistake) []thinkws.Option {
			return []thinkws.Option{thinkws.Authorize(m.action)}
		}},
		{name: "NamespaceFunc", covers: []string{"NamespaceFunc(match)"}, namespace: "/room", enter: "refused: Invalid namespace", http: "ok",
			noNil: "it returns a bool", options: func(m mistake) []thinkws.Option {
				return []thinkws.Option{thinkws.NamespaceFunc(func(string, *http.Request) bool { m.make(); return false })}
			}},
		{name: "WithAllowOriginFunc", covers: []string{"WithAllowOriginFunc(fn)"}, enter: "403", http: "403", options: func(m mistake) []thinkws.Option {
			return []thinkws.Option{thinkws.WithAllowOriginFunc(func(r *http.Request, _ string) (bool, error) {
				if r.URL.Query().Has("guest") {
					return true, m.error()
				}
				return true, nil
			})}
		}},
	}
}

var errOrdinary = errors.New("ordinary")

// hookLapses are not for the client to notice.
func hookLapses() []lapse {
	fails := func(mistake) thinkws.HandlerFunc { return func(*thinkws.Context) error { return errOrdinary } }
	rows := []lapse{
		{name: "WithOnError", covers: []string{"WithOnError(fn)"}, action: fails, want: internalError, noNil: "it returns nothing", options: func(m mistake) []thinkws.Option {
			return []thinkws.Option{thinkws.WithOnError(func(*thinkws.Context, error) { m.make() })}
		}},
		{name: "WithOnSlow", covers: []string{"WithOnSlow(fn)"}, want: "ok", noNil: "it returns nothing", options: func(m mistake) []thinkws.Option {
			return []thinkws.Option{thinkws.WithOnSlow(func(*thinkws.Socket) { m.make() }), thinkws.WithSendQueue(500), thinkws.WithSlowPolicy(thinkws.SlowDropOldest)}
		}, action: func(mistake) thinkws.HandlerFunc {
			return func(c *thinkws.Context) error {
				for range 20 {
					_ = c.Emit("flood")
				}
				time.Sleep(time.Millisecond) // in which the guest reads what there is
				return c.Ack("last")
			}
		}},
	}
	for _, method := range []string{"Enabled", "Handle", "WithAttrs", "WithGroup"} {
		rows = append(rows, lapse{name: "WithLogger, " + method, covers: []string{"WithLogger(logger)"}, action: fails, want: internalError,
			options: func(m mistake) []thinkws.Option {
				return []thinkws.Option{thinkws.WithLogger(newLogger(&badLog{method, m}))}
			}})
	}
	return rows
}

// errorLapses are in what an action returns.
func errorLapses() []lapse {
	returns := func(name, covers string, value func(m mistake) error) lapse {
		return lapse{name: "error: " + name, covers: []string{covers}, want: internalError,
			action: func(m mistake) thinkws.HandlerFunc { return func(*thinkws.Context) error { return value(m) } }}
	}
	rows := []lapse{
		returns("Unwrap of several", "HandlerFunc", func(m mistake) error { return &joinedError{m} }),
		returns("Data", "Error.Data", func(m mistake) error { return &thinkws.Error{Name: "Full", Data: m.value()} }),
		returns("Data with a key", "Error.Data", func(m mistake) error {
			return &thinkws.Error{Name: "Full", Data: map[textKey]int{{&m}: 1}}
		}),
		returns("Err", "Error.Err", func(m mistake) error {
			if m.isNil() {
				return &thinkws.Error{Name: "Full", Err: m.error()}
			}
			return &thinkws.Error{Name: "Full", Err: &badError{"Error", m}}
		}),
		returns("panic with it", "HandlerFunc", func(m mistake) error { panic(&badError{"Error", m}) }),
	}
	for _, method := range []string{"Error", "Unwrap", "Is", "As", "String", "LogValue"} {
		row := returns(method, "HandlerFunc", func(m mistake) error { return &badError{method, m} })
		row.elusive = method == "Is" || method == "String" || method == "LogValue" // others are asked first
		rows = append(rows, row)
	}
	rows[1].nilWant = "Full: " // the data is null
	return rows
}

// newLapses make New fail.
func newLapses() []lapse {
	one := func(name, covers string, option func(m mistake) thinkws.Option) lapse {
		return lapse{name: "New: " + name, covers: []string{covers}, fails: true,
			options: func(m mistake) []thinkws.Option { return []thinkws.Option{thinkws.On("x", answer), option(m)} }}
	}
	return []lapse{
		one("WithBus", "WithBus(bus)", func(m mistake) thinkws.Option {
			if m.isNil() {
				var none *badBus
				return thinkws.WithBus(none)
			}
			return thinkws.WithBus(&badBus{method: "Open", m: m})
		}),
		one("WithClient", "WithClient(files)", func(m mistake) thinkws.Option {
			if m.isNil() {
				var none *badFiles
				return thinkws.WithClient(none)
			}
			return thinkws.WithClient(&badFiles{m})
		}),
		one("Use", "Use(middleware)", func(m mistake) thinkws.Option {
			return thinkws.Use(func(thinkws.HandlerFunc) thinkws.HandlerFunc { m.make(); return nil })
		}),
		one("an option", "New(options)", func(m mistake) thinkws.Option {
			return thinkws.WithMessages(thinkws.Messages{"x": nil})
		}),
		one("no option", "New(options)", func(mistake) thinkws.Option { return nil }),
	}
}

// soonDone returns a context for what must not wait.
func soonDone() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), 100*time.Millisecond)
}
