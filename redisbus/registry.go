package redisbus

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-ce09063a/thinkws/internal/guard"
	"github.com/seed-ce09063a/thinkws/internal/quiet"
	"github.com/seed-ce09063a/thinkws/stickiness"
)

const (
	lease      = 10 * time.Second // after which a node that does not renew its entry is gone
	renewEvery = 3 * time.Second
	readEvery  = time.Second
)

// Scripts, because the clock that leases end by is Redis's: those of nodes may differ.
var (
	//nolint:dupword // Lua ends its blocks by that word
	registerScript = redis.NewScript(`
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local old = redis.call('HGET', KEYS[1], ARGV[1])
if old then
	local till, entry = string.match(old, '^(%d+) (.*)$')
	if till and tonumber(till) > now and ARGV[4] ~= '' and not string.find(entry, ARGV[4], 1, true) then
		return entry
	end
end
redis.call('HSET', KEYS[1], ARGV[1], string.format('%d', now + ARGV[3]) .. ' ' .. ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3] * 6)
return false`)
	//nolint:dupword // Lua ends its blocks by that word
	readScript = redis.NewScript(`
local t = redis.call('TIME')
local all = redis.call('HGETALL', KEYS[1])
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local live = {}
for i = 1, #all, 2 do
	local till = tonumber(string.match(all[i + 1], '^(%d+) ') or '0')
	if till > now then
		live[#live + 1] = all[i]
		live[#live + 1] = string.match(all[i + 1], '^%d+ (.*)$')
	elseif till + ARGV[1] < now then
		redis.call('HDEL', KEYS[1], all[i])
	end
end
return live`)
)

// Registry is a [stickiness.Registry] on Redis: a node that is registered holds a lease of ten
// seconds, which is renewed until it is unregistered or the process ends. What others
// change is known within milliseconds, a node that has died after its lease. While Redis is
// away the nodes stay that were known last. It is safe for concurrent use.
type Registry struct {
	redis   *connections
	key     string // of the hash: id to when its lease ends, in milliseconds, and the entry
	changes string // the channel on which changes are told
	alone   string // a channel of this registry, see connections.watch
	log     *slog.Logger
	stop    context.CancelFunc
	tasks   sync.WaitGroup
	hurry   chan struct{}
	turn    chan struct{}     // holds one while something is asked of Redis: answers do not overtake each other
	bad     map[string]string // entries that are no nodes, by id; protected by turn

	mu    sync.Mutex // protects what follows
	own   map[string]stickiness.Node
	seen  map[string]time.Time // when each of nodes had a lease last
	nodes []stickiness.Node    // by id; replaced, never changed
	left  map[string]bool      // nodes that have said goodbye while nodes are being read
	fails map[string]bool      // what Redis does not do for us, and it has been logged
}

var _ stickiness.Registry = (*Registry)(nil)

// NewRegistry returns the registry of all nodes that use the same Redis and [WithPrefix]. It
// fails if an option is wrong, or Redis does not answer until ctx is done. Close ends it.
func NewRegistry(ctx context.Context, client redis.UniversalClient, log *slog.Logger, options ...Option) (*Registry, error) {
	cfg := configOf(options)
	if err := cfg.check(client); err != nil {
		return nil, err
	}
	r := &Registry{key: cfg.prefix + "-thinkws-nodes", changes: cfg.prefix + "-thinkws-changes", log: quiet.New(cmp.Or(log, slog.Default())),
		own: map[string]stickiness.Node{}, seen: map[string]time.Time{}, left: map[string]bool{}, fails: map[string]bool{},
		hurry: make(chan struct{}, 1), turn: make(chan struct{}, 1)}
	r.alone = r.changes + "#" + rand.Text()[:16]
	r.redis = connect(client, r.key)
	if err := r.read(ctx); err != nil {
		return nil, errors.Join(err, r.redis.close())
	}
	ctx, r.stop = context.WithCancel(context.WithoutCancel(ctx))
	s := newSubscriber(r.redis.subscribe, r.changed, func(err error) { r.subscription(ctx, err) })
	ended, end := context.WithCancel(ctx)
	end()
	_ = s.add(ended, topic{r.changes, false}, topic{r.alone, false})
	r.tasks.Go(func() { guard.Keep(ctx, r.log, func() { s.run(ctx) }) })
	r.tasks.Go(func() { guard.Keep(ctx, r.log, func() { r.run(ctx) }) })
	r.tasks.Go(func() { guard.Keep(ctx, r.log, func() { r.redis.watch(ctx, s, r.alone) }) })
	return r, nil
}

// subscription takes that changes are heard, or why not. While Redis is away, run says so.
func (r *Registry) subscription(ctx context.Context, err error) {
	if err == nil || isDenied(err) {
		r.said(ctx, "SUBSCRIBE", err)
	}
	if err != nil {
		r.redis.failed()
	}
	r.look()
}

// Register implements [stickiness.Registry]. It fails if a node of that id, and another URL,
// is there.
func (r *Registry) Register(ctx context.Context, node stickiness.Node) error {
	if err := node.Check(); err != nil {
		return err
	}
	if err := r.inTurn(ctx, func() error { return r.begin(ctx, node) }); err != nil {
		return err
	}
	return errors.Join(r.tell(ctx, "+"+node.ID), r.read(ctx))
}

// begin has a node in Redis, and keeps it there.
func (r *Registry) begin(ctx context.Context, node stickiness.Node) error {
	if err := r.enter(ctx, node); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.own[node.ID] = node
	return nil
}

// inTurn asks something of Redis while nothing else of this registry does.
func (r *Registry) inTurn(ctx context.Context, ask func() error) error {
	var err error
	select {
	case r.turn <- struct{}{}:
		err = guard.Do(ask)
		<-r.turn
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		return fmt.Errorf("redisbus: registry: %w", err)
	}
	return nil
}

// enter gives the node a lease.
func (r *Registry) enter(ctx context.Context, node stickiness.Node) error {
	entry, url := marshal(node), marshal(node.URL)
	reply, err := registerScript.Run(ctx, r.redis.client, []string{r.key}, node.ID, entry, lease.Milliseconds(), url).Result()
	_, taken := reply.(string)
	switch {
	case errors.Is(err, redis.Nil):
		return nil
	case err != nil:
		return fmt.Errorf("EVALSHA, EVAL, TIME, HGET, HSET or PEXPIRE: %w", err)
	case !taken:
		return fmt.Errorf("%w: %T to a registration", errReply, reply)
	default:
		return fmt.Errorf("%w: ID %q is in use", stickiness.ErrNode, node.ID)
	}
}

// Unregister implements [stickiness.Registry].
func (r *Registry) Unregister(ctx context.Context, id string) error {
	r.mu.Lock()
	delete(r.own, id) // whatever becomes of the rest, it is not renewed
	r.mu.Unlock()
	if err := r.inTurn(ctx, func() error { return r.remove(ctx, id) }); err != nil {
		return err
	}
	r.forget(id)
	return errors.Join(r.tell(ctx, "-"+id), r.read(ctx))
}

func (r *Registry) remove(ctx context.Context, id string) error {
	if err := r.redis.client.HDel(ctx, r.key, id).Err(); err != nil {
		return fmt.Errorf("HDEL: %w", err)
	}
	return nil
}

// Lookup implements [stickiness.Registry].
func (r *Registry) Lookup(id string) (stickiness.Node, bool) {
	nodes := r.Nodes()
	i, ok := slices.BinarySearchFunc(nodes, id, func(n stickiness.Node, id string) int { return strings.Compare(n.ID, id) })
	if !ok {
		return stickiness.Node{}, false
	}
	return nodes[i], true
}

// Nodes implements [stickiness.Registry].
func (r *Registry) Nodes() []stickiness.Node {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.nodes
}

// Close stops to renew the leases of this process and to look at others. It takes no node
// out: see Unregister.
func (r *Registry) Close() error {
	r.stop()
	r.tasks.Wait()
	return r.redis.close()
}

// run renews and reads.
func (r *Registry) run(ctx context.Context) {
	read, renew := time.NewTicker(readEvery), time.NewTicker(renewEvery)
	defer read.Stop()
	defer renew.Stop()
	for {
		select {
		case <-renew.C:
			r.said(ctx, "renew", r.renew(ctx))
		case <-read.C:
			r.said(ctx, "read", r.read(ctx))
		case <-r.hurry:
			r.said(ctx, "renew", r.renew(ctx))
			r.said(ctx, "read", r.read(ctx))
		case <-ctx.Done():
			return
		}
	}
}

// look lets run do its work now: something has changed, or Redis is back, perhaps empty.
func (r *Registry) look() {
	select {
	case r.hurry <- struct{}{}:
	default:
	}
}

// said logs one line when something begins to fail, and one when nothing does any more.
func (r *Registry) said(ctx context.Context, what string, err error) {
	if ctx.Err() != nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	failed := len(r.fails) > 0
	if r.fails[what] = true; err == nil {
		delete(r.fails, what)
	}
	switch {
	case err != nil && !failed:
		r.log.Warn("registry of nodes is not reached, the last known are used", "error", err)
	case failed && len(r.fails) == 0:
		r.log.Info("registry of nodes is reached again")
	}
}

func (r *Registry) renew(ctx context.Context) (failed error) {
	ctx, cancel := context.WithTimeout(ctx, execTimeout)
	defer cancel()
	r.mu.Lock()
	own := slices.Collect(maps.Keys(r.own))
	r.mu.Unlock()
	for _, id := range own {
		if err := r.inTurn(ctx, func() error { return r.renewOne(ctx, id) }); err != nil {
			failed = err
		}
	}
	return failed
}

// renewOne renews a lease, unless the node has been taken out meanwhile.
func (r *Registry) renewOne(ctx context.Context, id string) error {
	r.mu.Lock()
	node, ok := r.own[id]
	r.mu.Unlock()
	if !ok {
		return nil
	}
	return r.enter(ctx, node)
}

// tell lets the others look.
func (r *Registry) tell(ctx context.Context, change string) error {
	err := guard.Do(func() error {
		client, err := r.redis.node(ctx)
		if err != nil {
			return err
		}
		return client.Publish(ctx, r.changes, change).Err()
	})
	if err != nil {
		return fmt.Errorf("redisbus: registry: PUBLISH: %w", err)
	}
	return nil
}

// changed takes what another has told.
func (r *Registry) changed(m *redis.Message) {
	if m.Channel == r.alone {
		return
	}
	if id, gone := strings.CutPrefix(m.Payload, "-"); gone {
		r.forget(id)
	}
	r.look()
}

func (r *Registry) forget(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.left[id] = true
	r.nodes = slices.DeleteFunc(slices.Clone(r.nodes), func(n stickiness.Node) bool { return n.ID == id })
}

// read takes over what is registered.
func (r *Registry) read(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, execTimeout)
	defer cancel()
	return r.inTurn(ctx, func() error {
		r.mu.Lock()
		clear(r.left)
		r.mu.Unlock()
		live, err := readScript.Run(ctx, r.redis.client, []string{r.key}, lease.Milliseconds()).StringSlice()
		switch {
		case err != nil:
			return fmt.Errorf("EVALSHA, EVAL, TIME, HGETALL or HDEL: %w", err)
		case len(live)%2 != 0:
			return fmt.Errorf("%w: %d elements of ids and entries", errReply, len(live))
		}
		r.takeOver(r.parse(live))
		return nil
	})
}

// parse returns the nodes of ids and entries, without the entries that are no nodes. Each of
// those is logged once.
func (r *Registry) parse(live []string) map[string]stickiness.Node {
	nodes := map[string]stickiness.Node{}
	bad := map[string]string{}
	for pair := range slices.Chunk(live, 2) {
		id, entry := pair[0], pair[1]
		var node stickiness.Node
		if err := json.Unmarshal([]byte(entry), &node); err == nil && node.ID == id && node.Check() == nil {
			nodes[id] = node
			continue
		}
		bad[id] = entry
		if known, ok := r.bad[id]; !ok || known != entry {
			r.log.Warn("registry: entry is no node", "id", strconv.Quote(id))
		}
	}
	r.bad = bad
	return nodes
}

// takeOver makes nodes the known ones, without those that have said goodbye since Redis was asked.
// One that is missing without a goodbye stays for as long as its last lease may: Redis may have lost
// everything, and the node may be about to renew it.
func (r *Registry) takeOver(nodes map[string]stickiness.Node) {
	r.mu.Lock()
	defer r.mu.Unlock()
	maps.DeleteFunc(nodes, func(id string, _ stickiness.Node) bool { return r.left[id] })
	now := time.Now()
	for id := range nodes {
		r.seen[id] = now
	}
	for _, node := range r.nodes {
		if _, ok := nodes[node.ID]; !ok && now.Sub(r.seen[node.ID]) < lease {
			nodes[node.ID] = node
		}
	}
	maps.DeleteFunc(r.seen, func(id string, _ time.Time) bool { _, known := nodes[id]; return !known })
	r.nodes = slices.SortedFunc(maps.Values(nodes), func(a, b stickiness.Node) int { return strings.Compare(a.ID, b.ID) })
}
