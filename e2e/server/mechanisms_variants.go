//go:build variants

package main

import (
	"os"

	"github.com/seed-ce09063a/thinkws"
	"github.com/seed-ce09063a/thinkws/e2e/variant"
)

// mechanisms has connections do without what THINKWS_WITHOUT names.
func mechanisms() ([]thinkws.Option, error) {
	noWatch, coolAfter, err := variant.Without(os.Getenv("THINKWS_WITHOUT"))
	return []thinkws.Option{thinkws.WithMechanisms(noWatch, coolAfter)}, err
}
