package thinkws_test

import (
	"context"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws"
)

// Everything exported by which code of a service gets into ours is in the table, and nothing
// else is.
func TestGuardTableIsComplete(t *testing.T) {
	covered := map[string]bool{}
	for _, row := range table() {
		for _, name := range row.covers {
			covered[name] = true
		}
	}
	for name := range maps.Keys(harmless) {
		assert.False(t, covered[name], "%s is said to be harmless", name)
		covered[name] = true
	}
	for name := range maps.Keys(elsewhere) {
		covered[name] = true
	}
	found := exposed(t)
	for _, name := range slices.Sorted(maps.Keys(found)) {
		assert.True(t, covered[name], "%s takes a func or an interface of the service: it needs a row", name)
	}
	for _, name := range slices.Sorted(maps.Keys(covered)) {
		assert.True(t, found[name], "%s does not exist any more", name)
	}
}

// A mistake of the service costs what the table says and nothing else: its client stays, clients
// next to it are served, and Shutdown returns, which the site sees to. The bubble ends only if
// no goroutine is left.
func TestMistakesOfTheService(t *testing.T) {
	for _, row := range table() {
		for _, m := range lapses {
			if m.isNil() && row.noNil != "" {
				continue
			}
			t.Run(row.name+", "+m.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { row.run(t, m) })
			})
		}
	}
}

func (row lapse) run(t *testing.T, m mistake) {
	if row.fails {
		_, err := thinkws.New(row.options(m)...)
		assert.Error(t, err)
		return
	}
	action := answer
	if row.action != nil {
		action = row.action(m)
	}
	var options []thinkws.Option
	if row.options != nil {
		options = row.options(m)
	}
	if row.action != nil {
		options = append(options, thinkws.On("attack", action))
	}
	s := newMemorySite(t, options...)
	s.router.Handle("/attack", s.handler.Action(action))
	n := 0
	for _, name := range slices.Sorted(maps.Keys(wires)) {
		n++
		row.visit(t, s, m, name, n)
	}
	row.call(t, s, m)
	s.verify()
	row.check(t, s, m)
	time.Sleep(time.Second) // for the goroutines of other servers
	if row.name == "BusLink.Close" {
		s.over.Store(true)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		assert.Error(t, s.handler.Shutdown(ctx))
	}
}

// check looks at the log: a mistake is reported once, with its stack.
func (row lapse) check(t *testing.T, s *site, m mistake) {
	if row.wants(m) != internalError || row.name == "WithOnError" || strings.HasPrefix(row.name, "WithLogger") {
		return
	}
	calls := 2 * len(wires)
	if row.http == "" || row.http == internalError {
		calls += 2
	}
	log := s.log.String()
	assert.Equal(t, calls, strings.Count(log, "level=ERROR"), log)
	if !m.isNil() && row.http == "" && !row.elusive {
		assert.Equal(t, calls, strings.Count(log, `stack="goroutine `))
	}
}

// visit lets a guest come by a wire.
func (row lapse) visit(t *testing.T, s *site, m mistake, wire string, n int) {
	namespace := row.namespace
	if namespace == "" {
		namespace = "/"
	}
	g := wires[wire](s, namespace, n)
	if row.enter != "" {
		assert.Equal(t, row.enter, g.enter(), wire)
		if g.end != nil {
			g.end()
		}
		return
	}
	require.Equal(t, "in", g.enter(), wire)
	for range 2 {
		require.Equal(t, row.wants(m), g.ask("attack"), wire)
	}
	require.Equal(t, "ok", g.ask("echo"), "%s: its next event runs", wire)
	g.end()
	if namespace == "/" {
		select {
		case reason := <-s.reasons:
			require.Equal(t, thinkws.ReasonTransportClose, reason, wire)
		case <-time.After(time.Minute):
			require.Fail(t, "its action close does not run", wire)
		}
	} else {
		time.Sleep(7 * time.Second) // for a client of SockJS over HTTP to be missed
	}
	s.verify()
}

func (row lapse) wants(m mistake) string {
	if m.isNil() && row.nilWant != "" {
		return row.nilWant
	}
	return row.want
}

// call calls the action over plain HTTP.
func (row lapse) call(t *testing.T, s *site, m mistake) {
	want := row.wants(m)
	switch row.http {
	case "-":
		return
	case "":
	default:
		want = row.http
	}
	for range 2 {
		assert.Equal(t, want, s.call(), "plain HTTP")
	}
}
