package heartbeat_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"go.uber.org/goleak"

	"github.com/seed-ce09063a/thinkws/internal/alarm"
	"github.com/seed-ce09063a/thinkws/internal/heartbeat"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// reader is one that has been paused, or not.
type reader struct{ until time.Time }

func (r *reader) PausedWithin(d time.Duration) bool { return time.Since(r.until) < d }

// A client that is not read cannot answer. It is pinged on, and has its time once it is read again.
func TestHeartbeatOfAClientThatIsNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		events := make(chan string, 10)
		note := func(what string) func() {
			return func() { events <- what + " " + time.Since(start).String() }
		}
		r := &reader{until: start.Add(75 * time.Second)}
		h := heartbeat.New(new(alarm.Clock), r, 25*time.Second, 20*time.Second, note("ping"), note("lost"))
		h.Start()
		for _, want := range []string{"ping 25s", "ping 45s", "ping 1m5s", "ping 1m25s", "lost 1m45s"} {
			assert.Equal(t, want, <-events)
		}
	})
}

func TestHeartbeatThatIsStopped(t *testing.T) {
	tests := map[string]func(*heartbeat.Heartbeat){
		"before the start": func(h *heartbeat.Heartbeat) { h.Stop(); h.Start() },
		"at once":          func(h *heartbeat.Heartbeat) { h.Start(); h.Stop(); h.Stop() },
		"in the wait":      func(h *heartbeat.Heartbeat) { h.Start(); <-time.After(30 * time.Second); h.Stop() },
	}
	for name, use := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				pings, lost := 0, 0
				h := heartbeat.New(new(alarm.Clock), new(reader), 25*time.Second, 20*time.Second, func() { pings++ }, func() { lost++ })
				use(h)
				assert.True(t, h.Stopped())
				synctest.Wait()
				before := pings
				<-time.After(time.Hour)
				assert.Equal(t, before, pings)
				assert.Zero(t, lost)
			})
		})
	}
}

func TestHeartbeatThatIsNotHeard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		events := make(chan string, 10)
		note := func(what string) func() {
			return func() { events <- what + " " + time.Since(start).String() }
		}
		h := heartbeat.New(new(alarm.Clock), new(reader), 25*time.Second, 20*time.Second, note("ping"), note("lost"))
		h.Start()
		<-time.After(30 * time.Second)
		h.Hear()
		<-time.After(time.Hour)
		var got []string
		for len(events) > 0 {
			got = append(got, <-events)
		}
		assert.Equal(t, []string{"ping 25s", "ping 50s", "lost 1m10s"}, got)
		assert.True(t, h.Stopped())
	})
}
