package soak

import (
	"context"
	"sync"
	"time"
)

// visits are what honest clients have met with that connect, get an echo and leave.
type visits struct {
	took   []time.Duration
	failed int
	err    error // the first
}

// visit sends honest clients of all kinds by turns, so many a second.
func (d door) visit(ctx context.Context, rate int, length time.Duration) (all visits) {
	var mu sync.Mutex
	var group sync.WaitGroup
	began := time.Now()
	for i := range int(length.Seconds() * float64(rate)) {
		if pause(ctx, time.Until(began.Add(time.Duration(i)*time.Second/time.Duration(rate)))) != nil {
			break
		}
		group.Go(func() {
			began := time.Now()
			err := d.callOn(ctx, kind(i)%kinds)
			took := time.Since(began)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				all.took = append(all.took, took)
				return
			}
			all.failed++
			if all.err == nil {
				all.err = err
			}
		})
	}
	group.Wait()
	return all
}

// callOn is one visit.
func (d door) callOn(ctx context.Context, k kind) error {
	c, err := d.enter(ctx, k)
	if err != nil {
		return err
	}
	defer c.leave()
	return c.echo("hello")
}
