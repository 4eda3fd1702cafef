//go:build variants

package thinkws

import "time"

// WithMechanisms changes mechanisms of connections: noWatch has handlers never run on the goroutine that reads, and
// coolAfter is how long a connection is idle before it becomes cold; 0 for the default. It exists for the project's own
// tests.
func WithMechanisms(noWatch bool, coolAfter time.Duration) Option {
	return serverOption("WithMechanisms", func(c *config) error {
		c.noWatch, c.coolAfter = noWatch, coolAfter
		return nil
	})
}
