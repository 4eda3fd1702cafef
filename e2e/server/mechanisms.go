//go:build !variants

package main

import (
	"errors"
	"os"

	"github.com/seed-ce09063a/thinkws"
)

// mechanisms are for builds with the tag variants.
func mechanisms() ([]thinkws.Option, error) {
	if os.Getenv("THINKWS_WITHOUT") != "" {
		return nil, errors.New("THINKWS_WITHOUT needs the build tag variants")
	}
	return nil, nil
}
