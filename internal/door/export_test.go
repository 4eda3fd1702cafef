package door

// Sources is how many addresses are remembered.
func (d *Door) Sources() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.sources.Len()
}
