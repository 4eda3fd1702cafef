package door

// Sources is how many addresses are remembered.
func (d *Door) Sources() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.sources)
}

// GuessSources returns how many sources of guesses are counted.
func (d *Door) GuessSources() int {
	d.guesses.mu.Lock()
	defer d.guesses.mu.Unlock()
	return len(d.guesses.sources) + len(d.guesses.prefixes)
}
