/*
Package stickiness brings requests to the node their session lives on, so that long-polling
works with several nodes behind any load balancer, sticky or not. One process needs
nothing of it.

Every node has an id, which thinkws.WithNode puts at the front of Socket.IO's session ids,
and enters itself into a [Registry].
*/
package stickiness
