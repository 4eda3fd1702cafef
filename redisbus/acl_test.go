package redisbus_test

import (
	"context"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws"
	"github.com/seed-ce09063a/thinkws/redisbus"
)

// rightsOf returns the ACL line of a user in the documentation, in words.
func rightsOf(t *testing.T, user string) []string {
	t.Helper()
	text, err := os.ReadFile("doc.go")
	require.NoError(t, err)
	for line := range strings.Lines(string(text)) {
		if words := strings.Fields(line); len(words) > 3 && words[0] == "ACL" && words[2] == user {
			return words
		}
	}
	t.Fatal("the documentation has no line for ", user)
	return nil
}

// users is a Redis in which tests make users.
type users struct {
	admin *redis.Client
	addr  string
}

func startUsers(t *testing.T) *users {
	t.Helper()
	server, err := startRedis(0)
	require.NoError(t, err)
	t.Cleanup(server.kill)
	return &users{clientOf(t, "redis://"+server.addr()), server.addr()}
}

// do executes a command, given as words.
func (u *users) do(t *testing.T, words ...string) {
	t.Helper()
	args := make([]any, len(words))
	for i, word := range words {
		args[i] = word
	}
	require.NoError(t, u.admin.Do(t.Context(), args...).Err(), words)
}

// client returns a client of the user that an ACL line makes.
func (u *users) client(t *testing.T, line []string) *redis.Client {
	t.Helper()
	u.do(t, line...)
	client := redis.NewClient(&redis.Options{Addr: u.addr, Username: line[2], Password: "secret", MaxRetries: -1})
	t.Cleanup(func() { client.Close() })
	return client
}

// named returns the line for a user of another name.
func named(line []string, name string) []string {
	line = slices.Clone(line)
	line[2] = name
	return line
}

// Row D5: the documented rights are all that is needed.
func TestDocumentedRightsAreEnough(t *testing.T) {
	t.Parallel()
	u := startUsers(t)
	line := rightsOf(t, "bus")
	answer := func(e *thinkws.Envelope, reply func(*thinkws.Envelope)) {
		switch {
		case reply == nil:
		case e.Kind == thinkws.BusEmit:
			reply(&thinkws.Envelope{Kind: thinkws.BusClients, Clients: 1})
			reply(&thinkws.Envelope{Kind: thinkws.BusAnswer})
		default:
			reply(&thinkws.Envelope{Kind: thinkws.BusAnswer, Members: []thinkws.Member{{ID: "x"}}})
		}
	}
	log := &lines{}
	a := open(t, u.client(t, line), &hub{log: log.logger()}, redisbus.SurveyEvery(10*time.Millisecond))
	b := open(t, u.client(t, line), &hub{answer: answer}, redisbus.SurveyEvery(10*time.Millisecond))
	for _, e := range []*thinkws.Envelope{
		{Kind: thinkws.BusEmit, Namespace: "/", Event: "e"},
		{Kind: thinkws.BusEmit, Namespace: "/", Event: "e", Rooms: []string{"room"}},
		{Kind: thinkws.BusServerEmit, Namespace: "/", Event: "e"},
	} {
		require.NoError(t, a.Publish(e))
		b.take(t, 1)
	}
	for _, kind := range []thinkws.EnvelopeKind{thinkws.BusSockets, thinkws.BusEmit} {
		answers := 0
		require.NoError(t, a.Ask(t.Context(), &thinkws.Envelope{Kind: kind, Namespace: "/", Event: "e"}, func(*thinkws.Envelope) { answers++ }))
		assert.NotZero(t, answers)
		b.take(t, 1)
	}

	registry, err := redisbus.NewRegistry(t.Context(), u.client(t, rightsOf(t, "registry")), log.logger())
	require.NoError(t, err)
	require.NoError(t, registry.Register(t.Context(), nodeAt("n1aB", 1)))
	require.NoError(t, registry.Unregister(t.Context(), "n1aB"))

	emitter := redisbus.NewEmitter(u.client(t, rightsOf(t, "emitter")))
	require.NoError(t, emitter.To("room").Emit(t.Context(), "e"))
	require.NoError(t, emitter.ServerEmit(t.Context(), "e"))
	b.take(t, 2)

	time.Sleep(1500 * time.Millisecond) // until the next probe
	assert.NoError(t, a.Stats().Err)
	assert.NoError(t, b.Stats().Err)
	require.NoError(t, registry.Close())
	assert.NotContains(t, log.String(), "level=WARN")
}

// Row D5: each right that is missing is reported, with the command that needs it.
func TestMissingRightsOfTheBusAreReported(t *testing.T) {
	t.Parallel()
	u := startUsers(t)
	line := rightsOf(t, "bus")
	for right, want := range map[string]struct {
		text string
		up   bool
	}{
		"&socket.io#/#*":        {"PSUBSCRIBE socket.io#/#*", false},
		"&socket.io-request#*":  {"SUBSCRIBE socket.io-request#/#", false},
		"&socket.io-response#*": {"SUBSCRIBE socket.io-response#/#", false},
		"&socket.io-thinkws#*":  {"SUBSCRIBE socket.io-thinkws#", false},
		"+publish":              {"PUBLISH", false},
		"+subscribe":            {"SUBSCRIBE", false},
		"+psubscribe":           {"PSUBSCRIBE", false},
		"+unsubscribe":          {"'unsubscribe'", false},
		"+punsubscribe":         {"'punsubscribe'", false},
		"+ping":                 {"'ping'", false},
		"+pubsub|numsub":        {"PUBSUB NUMSUB", true},
		"+pubsub|channels":      {"PUBSUB CHANNELS", true},
		"+pubsub|shardchannels": {"", true},
	} {
		t.Run(right, func(t *testing.T) {
			t.Parallel()
			i := slices.Index(line, right)
			require.Positive(t, i, "the documentation has it")
			log := &lines{}
			client := u.client(t, named(slices.Delete(slices.Clone(line), i, i+1), "without"+right))
			a := openLate(t, client, &hub{log: log.logger()})
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			subscribed := a.Subscribe(ctx, "/")
			require.Eventually(t, func() bool { return a.Stats().Up == want.up }, time.Minute, time.Millisecond)
			if want.text == "" {
				assert.NoError(t, a.Stats().Err)
				return
			}
			require.Eventually(t, func() bool {
				err := a.Stats().Err
				return err != nil && strings.Contains(err.Error(), "NOPERM") && strings.Contains(err.Error(), want.text)
			}, time.Minute, time.Millisecond, "%v", a.Stats().Err)
			assert.ErrorIs(t, a.Stats().Err, thinkws.ErrBus)
			assert.Equal(t, want.up, a.Stats().Up)
			began := time.Now()
			err := a.Ask(t.Context(), &thinkws.Envelope{Kind: thinkws.BusRooms, Namespace: "/"}, func(*thinkws.Envelope) {})
			assert.ErrorContains(t, err, "NOPERM", "requests fail at once")
			t.Logf("after %v: %v", time.Since(began), err)
			if want.up {
				assert.NoError(t, subscribed)
				assert.NoError(t, a.Publish(&thinkws.Envelope{Kind: thinkws.BusEmit, Namespace: "/", Event: "e"}))
			}
			time.Sleep(1500 * time.Millisecond) // some attempts more
			assert.Equal(t, 1, log.count("bus is down")+log.count("bus is limited"), log.String())

			u.do(t, named(line, "without"+right)...)
			require.Eventually(t, func() bool { return a.Stats().Up && a.Stats().Err == nil }, time.Minute, time.Millisecond, "%v", a.Stats().Err)
			assert.Equal(t, 1, log.count("bus is down")+log.count("bus is limited\""), log.String())
		})
	}
	assert.Len(t, line, 7+13, "each of them has a row here")
}

// A right that is missing for one namespace, which a client may have named, concerns no other.
func TestRightsOfOneNamespace(t *testing.T) {
	t.Parallel()
	u := startUsers(t)
	line := rightsOf(t, "bus")
	log := &lines{}
	a := open(t, u.client(t, line), &hub{log: log.logger()})
	b := open(t, u.client(t, line), &hub{})
	assert.ErrorContains(t, a.Subscribe(t.Context(), "/other"), "PSUBSCRIBE socket.io#/other#*: NOPERM")
	assert.True(t, a.Stats().Up)
	assert.ErrorContains(t, a.Stats().Err, "PSUBSCRIBE socket.io#/other#*: NOPERM")
	require.NoError(t, b.Publish(&thinkws.Envelope{Kind: thinkws.BusEmit, Namespace: "/", Event: "e"}))
	a.take(t, 1)
	to := func(room string) *thinkws.Envelope {
		return &thinkws.Envelope{Kind: thinkws.BusEmit, Namespace: "/other", Rooms: []string{room}, Event: "e"}
	}
	require.NoError(t, a.Publish(to("a client")))
	require.Eventually(t, func() bool { return a.Stats().Lost == 1 }, time.Minute, time.Millisecond, "Redis does not let it out")
	assert.Equal(t, 1, log.count("PUBLISH socket.io#/other#a client#: NOPERM"))
	assert.True(t, a.Stats().Up)

	u.do(t, "ACL", "SETUSER", "bus", "&socket.io#/other#*")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	require.Eventually(t, func() bool { return a.Subscribe(ctx, "/other") == nil }, time.Minute, 10*time.Millisecond)
	require.NoError(t, a.Publish(to("another")), "which shows that the client's room would work, too")
	require.Eventually(t, func() bool { return a.Stats().Err == nil }, time.Minute, time.Millisecond, "%v", a.Stats().Err)
	assert.Zero(t, log.count("bus is down"))
}

// Row D5, of the registry and the emitter.
func TestMissingRightsOfOthersAreReported(t *testing.T) {
	t.Parallel()
	u := startUsers(t)
	line := rightsOf(t, "registry")
	optional := []string{"+eval"} // needed as long as Redis does not have the script
	for _, right := range line[7:] {
		t.Run(right, func(t *testing.T) {
			if slices.Contains(optional, right) {
				u.do(t, "SCRIPT", "FLUSH")
			}
			i := slices.Index(line, right)
			log := &lines{}
			client := u.client(t, named(slices.Delete(slices.Clone(line), i, i+1), "without"+right))
			registry, err := redisbus.NewRegistry(t.Context(), client, log.logger())
			if err == nil {
				defer registry.Close()
				err = registry.Register(t.Context(), nodeAt("n1aB", 1))
			}
			if err == nil {
				err = registry.Unregister(t.Context(), "n1aB")
			}
			if err == nil {
				require.Eventually(t, func() bool { return log.count("NOPERM") == 1 }, time.Minute, 10*time.Millisecond, log.String())
				return
			}
			t.Log(err)
			command := strings.ToLower(strings.TrimLeft(right, "+~&"))
			if right[0] == '+' {
				assert.Contains(t, strings.ToLower(err.Error()), command)
			}
		})
	}
	line = rightsOf(t, "emitter")
	for _, right := range line[7:] {
		i := slices.Index(line, right)
		emitter := redisbus.NewEmitter(u.client(t, named(slices.Delete(slices.Clone(line), i, i+1), "without"+right)))
		err := emitter.Emit(t.Context(), "e")
		if right == "&socket.io-request#*" {
			err = emitter.ServerEmit(t.Context(), "e")
		}
		assert.ErrorContains(t, err, "PUBLISH socket.io", right)
		assert.ErrorContains(t, err, "NOPERM", right)
	}
}

// Row 3, passwords: a new one leaves connections as they are. New connections get it from the
// service's provider; where the service has only the old one, Health has the error until it is right
// again.
func TestPasswordIsChanged(t *testing.T) {
	t.Parallel()
	u := startUsers(t)
	u.do(t, rightsOf(t, "bus")...)
	var password atomic.Value
	password.Store("secret")
	provided := redis.NewClient(&redis.Options{Addr: u.addr, CredentialsProvider: func() (string, string) { return "bus", password.Load().(string) }})
	defer provided.Close()
	static := redis.NewClient(&redis.Options{Addr: u.addr, Username: "bus", Password: "secret"})
	defer static.Close()
	tr := startTraffic(t, []redis.UniversalClient{provided, provided, static})
	u.do(t, "ACL", "SETUSER", "bus", "resetpass", ">new")
	password.Store("new")
	t.Logf("password changed: traffic flows after %v", tr.flows(t))
	assert.Zero(t, tr.losses())

	u.do(t, "CLIENT", "KILL", "TYPE", "pubsub")
	u.do(t, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
	require.Eventually(t, func() bool { return tr.nodes[0].Stats().Up && tr.nodes[1].Stats().Up && !tr.nodes[2].Stats().Up },
		time.Minute, time.Millisecond)
	require.Eventually(t, func() bool { return strings.Contains(tr.nodes[2].Stats().Err.Error(), "WRONGPASS") }, time.Minute, time.Millisecond)
	last := tr.nodes[1].last[0].Load()
	require.Eventually(t, func() bool { return tr.nodes[1].last[0].Load() > last }, time.Minute, time.Millisecond, "the others go on")

	u.do(t, "ACL", "SETUSER", "bus", ">secret")
	t.Logf("the old password is right again: traffic flows after %v", tr.flows(t))
	tr.check(t)
	tr.checkChanges(t, 1)
}
