package thinkws_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// silent are clients that go on saying nothing, whatever they are told. The connections in the tests are pipes: who
// does not read does not even get the close frame.
func silentClients() map[string]func(s *site) {
	return map[string]func(s *site){
		"WebSockets that do not answer": func(s *site) {
			for name, target := range s.webSocketTargets() {
				ws := s.upgrade(target())
				if name == "Socket.IO 4" {
					ws.expect("0{")
					ws.send("40")
				}
				go func() {
					for _, err := nextFrame(ws.in); err == nil; _, err = nextFrame(ws.in) {
						continue
					}
				}()
			}
		},
		"WebSockets that do not read": func(s *site) {
			for _, target := range s.webSocketTargets() {
				s.upgrade(target())
			}
		},
		"WebSockets that were sent away before": func(s *site) {
			ws, _ := s.enter("v4")
			ws.send(`42["kick"]`)
			ws.expect("41", "close ")
		},
		"polling clients between two polls": func(s *site) {
			s.open(4, "&hasty")
			s.open(3, "&hasty")
		},
		"SockJS clients between two polls": func(s *site) { s.sockjs("/sockjs/0/silent", "?hasty") },
		"SockJS streams that are not read": func(s *site) {
			for i, stream := range []string{post("/sockjs/0/silent%d/xhr_streaming?hasty", ""), get("/sockjs/0/silent%d/eventsource?hasty"), get("/sockjs/0/silent%d/htmlfile?hasty&c=x")} {
				conn := s.dial()
				_, err := fmt.Fprintf(conn, stream, i)
				require.NoError(s.t, err)
			}
		},
	}
}

// Shutdown waits for clients that do not answer, or do not read, for a quarter of the time that it has.
func TestShutdownDoesNotWaitForSilentClients(t *testing.T) {
	for name, connect := range silentClients() {
		for _, limit := range []time.Duration{5 * time.Second, 2 * time.Second, time.Minute} {
			t.Run(fmt.Sprint(name, " ", limit), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := newMemorySite(t)
					connect(s)
					synctest.Wait()
					s.over.Store(true)
					ctx, cancel := context.WithTimeout(t.Context(), limit)
					defer cancel()
					start := time.Now()
					require.NoError(t, s.handler.Shutdown(ctx))
					assert.LessOrEqual(t, time.Since(start), limit/2)
					assert.LessOrEqual(t, time.Since(start), 11*time.Second, "what is waited for without a shutdown")
					for range len(s.reasons) {
						<-s.reasons
					}
				})
			})
		}
	}
}

// Without a deadline clients have the time that they have at other times.
func TestShutdownWithoutADeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newMemorySite(t)
		silentClients()["WebSockets that do not answer"](s)
		synctest.Wait()
		s.over.Store(true)
		start := time.Now()
		require.NoError(t, s.handler.Shutdown(context.WithoutCancel(t.Context())))
		assert.InDelta(t, 5*time.Second, time.Since(start), float64(time.Second))
	})
}
