package thinkws

import (
	"errors"
	"net/netip"

	"github.com/seed-ce09063a/thinkws/internal/session"
)

// Why a client may not enter a namespace. The client gets the text.
var (
	errNoNamespace   = errors.New("Invalid namespace") //nolint:staticcheck // ST1005: the words of Node.js
	errShutdown      = errors.New(session.ReasonServerShutdown)
	errLongNamespace = session.Beyond(session.LimitName, errors.New("name of the namespace is too long"))
	errDynamic       = session.Beyond(session.LimitDynamicNamespaces, errors.New("too many namespaces"))
	errDynamicHere   = session.Beyond(session.LimitDynamicNamespacesPerAddress, errors.New("too many namespaces from your address"))
)

// dynamics counts dynamic namespaces. Clients name them, and each costs memory here and a pattern in
// Redis. The hub's mu protects it.
type dynamics struct {
	all  int
	from map[netip.Prefix]int // by the network of the client that was the first in it
}

// add counts one more, or returns which limit that would exceed. The zero network has no limit of its
// own: it stands for clients whose address is unknown or shared.
func (d *dynamics) add(network netip.Prefix, l Limits) error {
	switch {
	case network.IsValid() && d.from[network] >= l.DynamicNamespacesPerAddress:
		return errDynamicHere // first, so that one address does not use up the limit of all
	case d.all >= l.DynamicNamespaces:
		return errDynamic
	}
	if d.from == nil {
		d.from = map[netip.Prefix]int{}
	}
	d.all++
	d.from[network]++
	return nil
}

func (d *dynamics) remove(network netip.Prefix) {
	d.all--
	if d.from[network]--; d.from[network] == 0 {
		delete(d.from, network)
	}
}

// unknown refuses a client that may not enter its namespace because of why.
func (s *Socket) unknown(why error) {
	defer s.done()
	h := s.space.hub
	h.tally.Note(why)
	failure := &session.Failure{Name: NotFound, Message: why.Error()}
	if errors.Is(why, errDynamic) || errors.Is(why, errDynamicHere) {
		failure.Name = Forbidden
		s.log().Warn("dynamic namespace refused", "namespace", s.space.name, "error", why)
		h.report.Client(why, s.handshake, (*receiver)(s))
	} else {
		s.log().Debug("client refused", "namespace", s.space.name, "error", why)
	}
	s.conn.Refuse(failure)
}
