package thinkws

import (
	"errors"
	"fmt"
	"net/http"
	"path"
	"slices"
	"strings"
)

// Names of the two actions that mark a client's stay. They are never dispatched
// from the wire.
const (
	eventOpen  = "open"
	eventClose = "close"
)

// spec is a namespace as the options describe it.
type spec struct {
	name      string                           // "/chat", or a pattern; "" if match decides
	match     func(string, *http.Request) bool // for dynamic namespaces, else nil
	actions   map[string]HandlerFunc
	server    map[string]HandlerFunc // for events of other nodes
	any       HandlerFunc
	use       []func(HandlerFunc) HandlerFunc
	authorize []HandlerFunc
}

// table is the finished form of a spec. It is immutable, so dispatch takes no lock.
type table struct {
	actions   map[string]HandlerFunc // with everything of Use and OnAny around them
	server    map[string]HandlerFunc
	open      HandlerFunc // nil if there is none, as all below
	close     HandlerFunc
	any       HandlerFunc
	authorize []HandlerFunc
}

// On registers the action of an event. Two names are fixed: "open" runs when a
// client has entered the namespace, before its first event, and "close" when it has
// left, after its last. An event has one action: registering a second is an error.
//
// Outside [Namespace] it registers in the main namespace "/".
func On(event string, fn HandlerFunc) Option {
	return func(b *builder) error {
		if err := checkEvent(event); err != nil {
			return fmt.Errorf("thinkws: On: %w", err)
		}
		if fn == nil {
			return fmt.Errorf("thinkws: On: no action for %q", event)
		}
		if _, ok := b.spec.actions[event]; ok {
			return fmt.Errorf("thinkws: On: %q has an action in this namespace", event)
		}
		b.spec.actions[event] = fn
		return nil
	}
}

// OnServer registers the action of an event that another node of the [Bus] sends to the
// nodes themselves, by [Space.ServerEmit] or serverSideEmit in Node.js. It runs without a
// client: IsWebsocket is false, and what needs one returns ErrNoClient. Its Ack goes to the
// node that asks, as far as that is one of Node.js only the first argument. The events of
// one namespace run one after another. It is registered in a namespace as [On] does.
func OnServer(event string, fn HandlerFunc) Option {
	return func(b *builder) error {
		if event == "" || fn == nil {
			return fmt.Errorf("thinkws: OnServer: no action for %q", event)
		}
		if _, ok := b.spec.server[event]; ok {
			return fmt.Errorf("thinkws: OnServer: %q has an action in this namespace", event)
		}
		if b.spec.server == nil {
			b.spec.server = map[string]HandlerFunc{}
		}
		b.spec.server[event] = fn
		return nil
	}
}

// Messages maps events to actions, as the configuration of think-websocket does.
type Messages map[string]HandlerFunc

// WithMessages registers a whole map of actions, as [On] does for each.
func WithMessages(messages Messages) Option {
	return func(b *builder) error {
		for event, fn := range messages {
			if err := On(event, fn)(b); err != nil {
				return err
			}
		}
		return nil
	}
}

// OnAny registers an action that runs for every event of a client, before the
// event's own action, and also for events that have none. If it returns an error
// the event's own action does not run. It does not run for "open" and "close".
func OnAny(fn HandlerFunc) Option {
	return func(b *builder) error {
		if fn == nil || b.spec.any != nil {
			return errors.New("thinkws: OnAny: takes one action in each namespace")
		}
		b.spec.any = fn
		return nil
	}
}

// Use wraps every action, "open" and "close" included, in middleware; the first
// one is the outermost. Given to [New] it holds for all namespaces, and for
// [Handler.Action]; given to [Namespace], inside of those, for that one.
func Use(middleware ...func(next HandlerFunc) HandlerFunc) Option {
	return func(b *builder) error {
		b.spec.use = append(b.spec.use, middleware...)
		return nil
	}
}

// Authorize lets fn decide whether a client may enter. An [*Error] tells the client
// why not; of any other error it learns no more than "internal error". fn may take
// its time, keep values with Set and join rooms; it cannot emit, since the client
// is not in yet. Given to [New] it holds for all namespaces, before those of [Namespace].
func Authorize(fn func(c *Context) error) Option {
	return func(b *builder) error {
		if fn == nil {
			return errors.New("thinkws: Authorize: no function")
		}
		b.spec.authorize = append(b.spec.authorize, fn)
		return nil
	}
}

// separator parts the names of a bus's channels, of which a namespace is one part. A namespace
// that contained it could be taken for another one and a server in it.
const separator = "#"

// Namespace describes a namespace: an event space of its own on the same
// connection. The leading slash may be left out. A name with * in it is a pattern
// (as of path.Match, * stops at a slash) for namespaces that come into being when
// the first client enters, and go with the last; plain names go before patterns,
// and patterns are tried in order. A name with a comma, a question mark or a # makes [New]
// fail, and no client enters a namespace with a # in its name.
//
// It takes [On], [WithMessages], [OnAny], [Use] and [Authorize].
func Namespace(name string, options ...Option) Option {
	return func(b *builder) error {
		name := normalize(name)
		if strings.ContainsAny(name, ",?"+separator) {
			return fmt.Errorf("thinkws: Namespace: bad name %q", name)
		}
		s := &spec{name: name}
		if strings.Contains(name, "*") {
			if _, err := path.Match(name, ""); err != nil {
				return fmt.Errorf("thinkws: Namespace: bad pattern %q", name)
			}
			s.match = func(n string, _ *http.Request) bool { ok, _ := path.Match(name, n); return ok }
		}
		return b.namespace(s, options)
	}
}

// NamespaceFunc describes the namespaces for which match returns true, given the
// name and the handshake request. Namespaces named by [Namespace] go before; apart
// from that the first match counts. match is not called for a name with a #, which no client
// enters. It must be safe for concurrent use.
func NamespaceFunc(match func(name string, r *http.Request) bool, options ...Option) Option {
	return func(b *builder) error {
		if match == nil {
			return errors.New("thinkws: NamespaceFunc: no function")
		}
		return b.namespace(&spec{match: match}, options)
	}
}

// normalize gives a namespace its leading slash.
func normalize(name string) string {
	if !strings.HasPrefix(name, "/") {
		return "/" + name
	}
	return name
}

func (b *builder) namespace(s *spec, options []Option) error {
	if b.spec != b.main {
		return errors.New("thinkws: a Namespace cannot hold another")
	}
	if s.match == nil {
		for _, other := range b.all {
			if other.match == nil && other.name == s.name && other != b.main {
				return fmt.Errorf("thinkws: Namespace: %q is described twice", s.name)
			}
		}
	}
	if s.name == "/" {
		s = b.main
	} else {
		s.actions = map[string]HandlerFunc{}
		b.all = append(b.all, s)
	}
	inner := &builder{cfg: b.cfg, spec: s, main: b.main, all: b.all}
	if s == b.main {
		inner.main = &spec{} // so that server options and namespaces are refused here too
	}
	var errs []error
	for i, option := range options {
		if option == nil {
			errs = append(errs, fmt.Errorf("thinkws: Namespace: option %d is nil", i))
			continue
		}
		errs = append(errs, option(inner))
	}
	return errors.Join(errs...)
}

// table finishes s; general holds what New was given for all namespaces.
func (s *spec) table(general *spec) *table {
	use, authorize := general.use, general.authorize
	if s != general {
		use = append(slices.Clip(use), s.use...)
		authorize = append(slices.Clip(authorize), s.authorize...)
	}
	t := &table{actions: make(map[string]HandlerFunc, len(s.actions)), authorize: authorize}
	for event, fn := range s.actions {
		switch event {
		case eventOpen:
			t.open = wrap(fn, use)
		case eventClose:
			t.close = wrap(fn, use)
		default:
			t.actions[event] = wrap(after(s.any, fn), use)
		}
	}
	t.server = make(map[string]HandlerFunc, len(s.server))
	for event, fn := range s.server {
		t.server[event] = wrap(fn, use)
	}
	if s.any != nil {
		t.any = wrap(s.any, use)
	}
	return t
}

// wrap puts middleware around fn, the first outermost. It panics if one returns nothing, which
// New returns as an error.
func wrap(fn HandlerFunc, middleware []func(HandlerFunc) HandlerFunc) HandlerFunc {
	for _, m := range slices.Backward(middleware) {
		if fn = m(fn); fn == nil {
			panic("Use: a middleware returned no HandlerFunc")
		}
	}
	return fn
}

// after runs fn behind first, unless first fails.
func after(first, fn HandlerFunc) HandlerFunc {
	if first == nil {
		return fn
	}
	return func(c *Context) error {
		if err := first(c); err != nil {
			return err
		}
		return fn(c)
	}
}
