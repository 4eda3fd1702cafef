// Package suite has the workloads, runs them server by server, and makes tables of what
// came out, with the goals beside.
package suite
