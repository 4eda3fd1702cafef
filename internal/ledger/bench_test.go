package ledger_test

import "testing"

// What a queue costs in which nothing has to wait.
func BenchmarkNothingWaits(b *testing.B) {
	c := newClient(newOffice(mebi))
	for b.Loop() {
		c.account.Settle(&c.share, c, 0)
	}
}

// What it costs to let something wait, and take it.
func BenchmarkSomethingWaits(b *testing.B) {
	o := newOffice(1 << 30)
	b.RunParallel(func(p *testing.PB) {
		c := newClient(o)
		for p.Next() {
			c.account.Settle(&c.share, c, 2000)
			c.account.Settle(&c.share, c, 0)
		}
	})
}

// What it costs to find the largest of 10,000.
func BenchmarkEvict(b *testing.B) {
	o := newOffice(mebi * 1024)
	for range 10_000 {
		(&queue{client: newClient(o)}).put(make([]byte, 2000))
	}
	for b.Loop() {
		newClient(o).hold(mebi * 1024)
		if err := o.group.Wait(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}
