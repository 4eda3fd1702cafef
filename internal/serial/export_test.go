package serial

// Idle is how many goroutines wait for work.
func (g *Group) Idle() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.workers)
}
