package thinkws

import (
	"context"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/seed-ce09063a/thinkws/internal/session"
)

// Shutdown disconnects all clients with [ReasonServerShutdown], lets no new ones
// in, and waits until their actions "close" have run and everything that was sent to them
// is written, or until ctx is done, whose error it returns then.
//
//  1. [Handler.Health] fails, and who wants to connect is answered 503 with Retry-After.
//  2. The clients are told, in no order and in small batches with pauses in between, for all of
//     them will connect to another node: as many in a second as Limits.Departures says, or faster,
//     so that this takes no more than half of the time until ctx's deadline.
//  3. What waits for them goes out, then the end: close code 1001 for WebSockets,
//     c[1001,"server shutting down"] for SockJS, a close packet as the answer to a poll of
//     Socket.IO. Polling clients that are between two requests have a second to come for it.
//     A client that does not answer the close frame, or does not read, is cut off after 5 and 10 seconds, or
//     a quarter of the time until ctx's deadline if that is less.
//  4. All goroutines have ended when it returns.
//
// http.Server.Shutdown does not know of WebSockets: call both, this one first.
func (h *Handler) Shutdown(ctx context.Context) error {
	h.hub.close()
	if deadline, ok := ctx.Deadline(); ok {
		h.grace.Shorten(time.Until(deadline) / 4)
	}
	h.sendAway(ctx, slices.Concat(
		h.socketio.Close(session.ReasonServerShutdown),
		h.plain.Close(session.ReasonServerShutdown),
		h.sockjs.Close(session.ReasonServerShutdown),
	))
	h.socketio.WaitForPolls()
	h.sockjs.WaitForPolls()
	if err := h.tasks.Wait(ctx); err != nil {
		return err
	}
	if h.hub.link != nil {
		return h.hub.link.Close(ctx)
	}
	return nil
}

// pace is the time between two batches of clients that are sent away, on average.
const pace = 20 * time.Millisecond

// sendAway ends sessions in batches. Once ctx is done the rest of them is one batch.
func (h *Handler) sendAway(ctx context.Context, ends []func()) {
	rand.Shuffle(len(ends), func(i, j int) { ends[i], ends[j] = ends[j], ends[i] }) //nolint:gosec // no secret
	size := batchSize(ctx, len(ends), h.cfg.limits.Departures)
	for batch := range slices.Chunk(ends, size) {
		for _, end := range batch {
			end()
		}
		if len(batch) == size { // others may follow
			pause(ctx, pace/2+rand.N(pace)) //nolint:gosec // no secret
		}
	}
}

// batchSize returns how many clients to send away at a time.
func batchSize(ctx context.Context, clients, perSecond int) int {
	if deadline, ok := ctx.Deadline(); ok {
		left := max(time.Until(deadline)/2, pace)
		perSecond = max(perSecond, int(float64(clients)/left.Seconds()))
	}
	return 1 + int(float64(perSecond)*pace.Seconds())
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
