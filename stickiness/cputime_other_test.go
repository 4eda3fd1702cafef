//go:build !unix

package stickiness_test

import "time"

func cpuTime() time.Duration { return 0 }
