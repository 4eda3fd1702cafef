// Package soak puts a server in a process of its own under abuse, has honest clients use it
// meanwhile, and compares what comes of that with bounds.
package soak
