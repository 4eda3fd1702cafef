package stickiness_test

import (
	"fmt"
	"net/http"
	"net/netip"

	"github.com/go-chi/chi/v5"

	"github.com/seed-ce09063a/thinkws"
	"github.com/seed-ce09063a/thinkws/stickiness"
)

// A node of two. The other one differs in its id only.
func ExampleForward() {
	registry, err := stickiness.NewStatic(
		stickiness.Node{ID: "n1aB", URL: "http://10.0.0.5:8360"},
		stickiness.Node{ID: "n2aB", URL: "http://10.0.0.6:8360"},
	)
	if err != nil {
		panic(err)
	}
	ws, err := thinkws.New(thinkws.WithNode("n1aB"))
	if err != nil {
		panic(err)
	}
	forward, err := stickiness.Forward(registry, stickiness.Options{
		Node: "n1aB", Secret: []byte("from the service's configuration"), Local: ws.Holds,
	})
	if err != nil {
		panic(err)
	}
	r := chi.NewRouter()
	r.Use(forward.Middleware)
	r.Mount("/socket.io", ws)
	r.Mount("/sockjs", ws.SockJS())
	// http.ListenAndServe(":8360", r)
}

// A front in Go: what belongs to a session goes to its node, new clients go by the hash
// that ThinkJS's stickyCluster has.
func ExampleNewDispatcher() {
	registry, err := stickiness.NewStatic(
		stickiness.Node{ID: "n1aB", URL: "http://10.0.0.5:8360"},
		stickiness.Node{ID: "n2aB", URL: "http://10.0.0.6:8360"},
	)
	if err != nil {
		panic(err)
	}
	proxies := netip.MustParsePrefix("10.0.1.0/24")
	front, err := stickiness.NewDispatcher(registry, stickiness.DispatcherOptions{
		Policies: []stickiness.Policy{stickiness.BySession("", ""), stickiness.BySource(proxies)},
		Trusted:  []netip.Prefix{proxies},
	})
	if err != nil {
		panic(err)
	}
	defer front.Close()
	// http.ListenAndServe(":80", front)
}

func ExampleRendezvous() {
	nodes := []stickiness.Node{{ID: "n1aB"}, {ID: "n2aB"}, {ID: "n3aB"}}
	// Who was not on the third node stays when that goes.
	for _, key := range []string{"alice", "bob", "carol", "dave"} {
		with, _ := stickiness.Rendezvous(key, nodes)
		without, _ := stickiness.Rendezvous(key, nodes[:2])
		fmt.Println(key, with.ID, without.ID)
	}
	// Output:
	// alice n3aB n2aB
	// bob n3aB n1aB
	// carol n2aB n2aB
	// dave n1aB n1aB
}

func ExampleClientIP() {
	proxies := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	r := &http.Request{RemoteAddr: "10.0.0.1:4711", Header: http.Header{"X-Forwarded-For": {"192.0.2.66, 203.0.113.9, 10.0.0.2"}}}
	fmt.Println(stickiness.ClientIP(r, proxies)) // what stands further left, the client may have written
	// Output: 203.0.113.9
}
