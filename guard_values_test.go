package thinkws_test

import (
	"context"
	"io/fs"
	"log/slog"
	"runtime"
	"time"

	"github.com/seed-ce09063a/thinkws"
)

// mistake is one way in which code of a service goes wrong.
type mistake struct {
	name string
	make func() // does not return, but for that of the typed nil
}

const typedNil = "typed nil"

var lapses = []mistake{
	{"panic", func() { panic("oops") }},
	{"runtime.Goexit", runtime.Goexit},
	{typedNil, func() {}},
}

func (m mistake) isNil() bool { return m.name == typedNil }

// error makes the mistake, or returns a typed nil.
func (m mistake) error() error {
	m.make()
	var e *thinkws.Error
	return e
}

// action is a handler that makes the mistake for guests.
func (m mistake) action(c *thinkws.Context) error {
	if c.Request() != nil && !isGuest(c) {
		return nil
	}
	return m.error()
}

func isGuest(c *thinkws.Context) bool { return c.Request().URL.Query().Has("guest") }

// jsonValue is a value that marshals itself.
type jsonValue struct{ m mistake }

func (v *jsonValue) MarshalJSON() ([]byte, error) { return nil, v.m.error() }

// Two values that decode themselves: nobody can give them a mistake to make.
type (
	loudInput struct{}
	lostInput struct{}
)

func (*loudInput) UnmarshalJSON([]byte) error { panic("oops") }
func (*lostInput) UnmarshalJSON([]byte) error { runtime.Goexit(); return nil }

// input returns a pointer to a value that makes the mistake when it is decoded into.
func (m mistake) input() any {
	if m.name == "panic" {
		return new(loudInput)
	}
	return new(lostInput)
}

// value returns a value that makes the mistake, or a typed nil.
func (m mistake) value() any {
	if m.isNil() {
		return (*jsonValue)(nil)
	}
	return &jsonValue{m}
}

// textKey is the key of a map that marshals itself, and a value that does.
type textKey struct{ m *mistake }

func (k textKey) MarshalText() ([]byte, error) { return nil, k.m.error() }

// badError is an error one method of which makes a mistake.
type badError struct {
	method string
	m      mistake
}

func (e *badError) does(method string) bool {
	if e.method == method {
		e.m.make()
		return true
	}
	return false
}

func (e *badError) Error() string      { e.does("Error"); return "bad" }
func (e *badError) Is(error) bool      { return e.does("Is") }
func (e *badError) As(target any) bool { return e.does("As") }
func (e *badError) String() string     { e.does("String"); return "bad" }
func (e *badError) LogValue() slog.Value {
	e.does("LogValue")
	return slog.AnyValue((*slog.Logger)(nil))
}

func (e *badError) Unwrap() error {
	if e.does("Unwrap") {
		var none *thinkws.Error
		return none
	}
	return nil
}

// joinedError unwraps to several.
type joinedError struct{ m mistake }

func (e *joinedError) Error() string { return "bad" }

func (e *joinedError) Unwrap() []error {
	var none *thinkws.Error
	e.m.make()
	return []error{none}
}

// badContext is a context one method of which makes a mistake. It has ended, or is about to.
type badContext struct {
	method string
	m      mistake
}

func (c *badContext) does(method string) {
	if c.method == method {
		c.m.make()
	}
}

func (c *badContext) Deadline() (time.Time, bool) { c.does("Deadline"); return time.Time{}, false }
func (c *badContext) Value(any) any               { c.does("Value"); return nil }

// Err is also called when the context ends later than that.
func (c *badContext) Err() error {
	c.does("Err")
	c.does("Err, later")
	return context.Canceled
}

func (c *badContext) Done() <-chan struct{} {
	c.does("Done")
	done := make(chan struct{})
	if c.method == "Err, later" {
		time.AfterFunc(time.Millisecond, func() { close(done) })
	} else {
		close(done)
	}
	return done
}

// badFiles is a file system whose files make a mistake.
type badFiles struct{ m mistake }

func (f *badFiles) Open(string) (fs.File, error) { f.m.make(); return nil, f.m.error() }

// badLog is a slog.Handler one method of which makes a mistake.
type badLog struct {
	method string
	m      mistake
}

func (l *badLog) does(method string) {
	if l.method == method {
		l.m.make()
	}
}

func (l *badLog) Enabled(context.Context, slog.Level) bool  { l.does("Enabled"); return true }
func (l *badLog) Handle(context.Context, slog.Record) error { l.does("Handle"); return l.nil("Handle") }
func (l *badLog) WithGroup(string) slog.Handler             { l.does("WithGroup"); return l }

func (l *badLog) WithAttrs([]slog.Attr) slog.Handler {
	l.does("WithAttrs")
	if l.method == "WithAttrs" {
		var none *badLog
		return none
	}
	return l
}

func (l *badLog) nil(method string) error {
	if l.method != method {
		return nil
	}
	var e *thinkws.Error
	return e
}

// badBus is a bus one method of which makes a mistake, and so does its link.
type badBus struct {
	thinkws.MemoryBus
	method string
	m      mistake
	node   thinkws.BusNode
	closed bool // once: the end of a test closes it again
}

func (b *badBus) Open(node thinkws.BusNode) (thinkws.BusLink, error) {
	b.node = node
	link, err := b.MemoryBus.Open(node)
	if b.method == "Open" {
		b.m.make()
		var none *badLink
		return none, nil
	}
	return &badLink{BusLink: link, bus: b}, err
}

type badLink struct {
	thinkws.BusLink
	bus *badBus
}

// does makes the mistake of a method, or has it return a typed nil.
func (l *badLink) does(method string) error {
	if l.bus.method != method {
		return nil
	}
	return l.bus.m.error()
}

func (l *badLink) Subscribe(ctx context.Context, namespace string) error {
	if err := l.does("Subscribe"); err != nil {
		return err
	}
	return l.BusLink.Subscribe(ctx, namespace)
}

func (l *badLink) Unsubscribe(namespace string) {
	_ = l.does("Unsubscribe")
	l.BusLink.Unsubscribe(namespace)
}

func (l *badLink) Publish(e *thinkws.Envelope) error {
	if err := l.does("Publish"); err != nil {
		return err
	}
	return l.BusLink.Publish(e)
}

func (l *badLink) Ask(ctx context.Context, e *thinkws.Envelope, answer func(*thinkws.Envelope)) error {
	if err := l.does("Ask"); err != nil {
		return err
	}
	return l.BusLink.Ask(ctx, e, answer)
}

func (l *badLink) Stats() thinkws.BusStats {
	if err := l.does("Stats"); err != nil {
		return thinkws.BusStats{Err: err}
	}
	return l.BusLink.Stats()
}

func (l *badLink) Close(ctx context.Context) error {
	_ = l.BusLink.Close(ctx)
	if l.bus.closed {
		return nil
	}
	l.bus.closed = true
	return l.does("Close")
}

// answeringBus returns a bus with another server on it.
func answeringBus(m mistake) thinkws.Bus {
	bus := &thinkws.MemoryBus{}
	_, err := thinkws.New(thinkws.WithLogger(slog.New(slog.DiscardHandler)), thinkws.WithBus(bus), thinkws.OnServer("question", answer), thinkws.OnServer("mistake", m.action))
	if err != nil {
		panic(err)
	}
	return bus
}

// deafBus is a bus on which no server answers.
type deafBus struct{ thinkws.MemoryBus }

type deafLink struct{ thinkws.BusLink }

func (b *deafBus) Open(node thinkws.BusNode) (thinkws.BusLink, error) {
	link, err := b.MemoryBus.Open(node)
	return deafLink{link}, err
}

func (l deafLink) Ask(ctx context.Context, _ *thinkws.Envelope, _ func(*thinkws.Envelope)) error {
	<-ctx.Done()
	return &thinkws.NodesError{Err: ctx.Err()}
}
