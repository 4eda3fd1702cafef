package stickiness

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"sync"

	"github.com/seed-ce09063a/thinkws/internal/session"
)

// Node is one process of a cluster, as the others see it.
type Node struct {
	// ID is what thinkws.WithNode was given: 4 characters of [A-Za-z0-9_-].
	ID string
	// URL is where the other nodes reach it: "http://10.0.0.5:8360", "https://…", or
	// "unix:///run/app/n1aB.sock", without a path of a request. It is never part of a session
	// id, and clients never see it.
	URL string
	// Weight is the node's share of new sessions, relative to the others; 0 stands for 1.
	Weight int
	// Draining nodes keep their sessions and get no new ones.
	Draining bool
}

// MaxWeight is the greatest weight of a [Node].
const MaxWeight = 1000

func (n *Node) weight() float64 { return float64(cmp.Or(n.Weight, 1)) }

// ErrNode is what a node that cannot be part of a cluster gives rise to.
var ErrNode = errors.New("stickiness: bad node")

// Check returns an [ErrNode] with the field and its value if n cannot be part of a cluster.
// Implementations of [Registry] call it for what comes from outside, too.
func (n Node) Check() error {
	if !session.IsNode(n.ID) {
		return fmt.Errorf("%w: ID %q is not 4 characters of [A-Za-z0-9_-]", ErrNode, n.ID)
	}
	if n.Weight < 0 || n.Weight > MaxWeight {
		return fmt.Errorf("%w: Weight %d is not within 0 and %d", ErrNode, n.Weight, MaxWeight)
	}
	if _, _, err := n.address(); err != nil {
		return fmt.Errorf("%w: URL %q: %w", ErrNode, n.URL, err)
	}
	return nil
}

var errAddress = errors.New("want http://host:port, https://host:port or unix:///path")

// address returns the network and address that n is dialled at.
func (n Node) address() (network, address string, err error) {
	u, err := url.Parse(n.URL)
	switch {
	case err != nil:
		return "", "", errAddress // without repeating the URL
	case u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Opaque != "":
		return "", "", errAddress
	case u.Scheme == "unix" && u.Host == "" && len(u.Path) > 1:
		return "unix", u.Path, nil
	case u.Scheme == "http" && u.Hostname() != "" && (u.Path == "" || u.Path == "/"):
		return "tcp", net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), "80")), nil
	case u.Scheme == "https" && u.Hostname() != "" && (u.Path == "" || u.Path == "/"):
		return "tcp", net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), "443")), nil
	default:
		return "", "", errAddress
	}
}

// Registry tells the nodes of each other. [Static] and [Dir] are registries, package
// redisbus has one on Redis. All methods are safe for concurrent use.
//
// Security: nodes send the requests of users where a registry says. Who can write to it
// is trusted with them, as far as [Options.Networks] allows.
type Registry interface {
	// Register enters a node, or replaces what was known of it. A registry in which entries
	// expire renews this one until Unregister.
	Register(ctx context.Context, node Node) error
	// Unregister takes a node out. It is no error if there is none of that id.
	Unregister(ctx context.Context, id string) error
	// Lookup returns a node. It is called for each request and answers from memory.
	Lookup(id string) (Node, bool)
	// Nodes returns all nodes, in the order of their ids. It is called for many requests and
	// answers from memory; the slice is shared and must not be changed.
	Nodes() []Node
}

// Static is a [Registry] in memory, for nodes that are known beforehand, and for tests. The
// zero value is ready and knows nobody.
type Static struct {
	mu    sync.RWMutex // protects nodes
	nodes []Node       // by id; replaced, never changed
}

var _ Registry = (*Static)(nil)

// NewStatic returns a registry of these nodes. It fails with an [ErrNode] if one of them
// cannot be part of a cluster, or is there twice.
func NewStatic(nodes ...Node) (*Static, error) {
	s := new(Static)
	for _, node := range nodes {
		if _, twice := s.Lookup(node.ID); twice {
			return nil, fmt.Errorf("%w: ID %q is there twice", ErrNode, node.ID)
		}
		if err := s.Register(context.Background(), node); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// Register implements [Registry].
func (s *Static) Register(_ context.Context, node Node) error {
	if err := node.Check(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.nodes = sorted(append(without(s.nodes, node.ID), node))
	return nil
}

// Unregister implements [Registry].
func (s *Static) Unregister(_ context.Context, id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.nodes = without(s.nodes, id)
	return nil
}

// Lookup implements [Registry].
func (s *Static) Lookup(id string) (Node, bool) { return find(s.Nodes(), id) }

// Nodes implements [Registry].
func (s *Static) Nodes() []Node {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.nodes
}

func find(nodes []Node, id string) (Node, bool) {
	i, ok := slices.BinarySearchFunc(nodes, id, func(n Node, id string) int { return cmp.Compare(n.ID, id) })
	if !ok {
		return Node{}, false
	}
	return nodes[i], true
}

// without returns a new slice.
func without(nodes []Node, id string) []Node {
	return slices.DeleteFunc(slices.Clone(nodes), func(n Node) bool { return n.ID == id })
}

func sorted(nodes []Node) []Node {
	slices.SortFunc(nodes, func(a, b Node) int { return cmp.Compare(a.ID, b.ID) })
	return nodes
}
