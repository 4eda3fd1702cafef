package suite

// row is a line of the table: a metric of a workload, or its ratio to the same metric
// of another workload. Its goals are those of connection.md, and of performance.md where that is older
// and asks for more or for something else.
type row struct {
	workload string
	metric   metric
	over     string // the other workload, "" for none
	title    string
	unit     float64 // what 1 in the table stands for
	digits   int
	goals    []goal
}

// goal is what ours has to reach, at least or at most.
type goal struct {
	against string // another server, "" for the figure itself
	atLeast float64
	atMost  float64
}

func least(against string, v float64) goal { return goal{against: against, atLeast: v} }
func most(against string, v float64) goal  { return goal{against: against, atMost: v} }

// met reports whether v reaches the goal.
func (g goal) met(v float64) bool {
	if g.atLeast > 0 {
		return v >= g.atLeast
	}
	return v <= g.atMost
}

// flat is how much of a rise still counts as none. What is left of it is the caches of
// the processor, which hold less of more clients.
const flat = 1.1

// flatRooms is the same for rooms, whose map 100,000 of them spread over all caches.
const flatRooms = 1.25

var table = []row{
	{"echo100", rate, "", "echo, 100 clients, messages/s (thousands)", 1e3, 1, []goal{least(peer, 1.9), least(floor, 0.80)}},
	{"echo100", user, "", "– user-space CPU a message, µs", 1, 2, []goal{most(floor, 2.2)}},
	{"echo100", total, "", "– all CPU a message, µs", 1, 2, nil},
	// The second decimal is what the server allocates besides, for its answers to commands.
	{"echo100", allocs, "", "– allocations a message", 1, 2, []goal{most("", 4.04)}},
	{"echo1000", rate, "", "echo, 1,000 clients, messages/s (thousands)", 1e3, 1, []goal{least(peer, 2), least(floor, 0.72)}},
	{"echo1000", user, "", "– user-space CPU a message, µs", 1, 2, []goal{most(floor, 2.2)}},
	{"single1000", rate, "", "broadcast to 1,000, one under way, deliveries/s (thousands)", 1e3, 1, []goal{least(floor, 0.95), least(peer, 1.9)}},
	{"single1000", user, "", "– user-space CPU a delivery, µs", 1, 2, nil},
	{"single1000", total, "", "– all CPU a delivery, µs", 1, 2, nil},
	{"single5000", rate, "", "broadcast to 5,000, one under way, deliveries/s (thousands)", 1e3, 1, []goal{least(floor, 0.95), least(peer, 1.9)}},
	{"single5000", user, "", "– user-space CPU a delivery, µs", 1, 2, nil},
	{"broadcast1000", rate, "", "broadcast to 1,000, two under way, deliveries/s (thousands)", 1e3, 1, []goal{least(peer, 2), least(floor, 1.58)}},
	{"broadcast1000", user, "", "– user-space CPU a delivery, µs", 1, 2, []goal{most("", 0.5)}},
	{"broadcast1000", total, "", "– all CPU a delivery, µs", 1, 2, nil},
	// What a broadcast allocates once is shared by 1,000 deliveries.
	{"broadcast1000", allocs, "", "– allocations a delivery", 1, 3, []goal{most("", 0.05)}},
	{"broadcast5000", rate, "", "broadcast to 5,000, two under way, deliveries/s (thousands)", 1e3, 1, []goal{least(peer, 2), least(floor, 2.87)}},
	{"broadcast5000", user, "", "– user-space CPU a delivery, µs", 1, 2, []goal{most("", 0.5)}},
	{"rooms2cores", rate, "", "broadcast in 4 rooms of 250 at once, both cores, deliveries/s (thousands)", 1e3, 1, []goal{least(peer, 3), least(floor, 0.9)}},
	{"binary", rate, "", "binary echo, 10 KiB, 100 clients, messages/s (thousands)", 1e3, 1, []goal{least(peer, 2.4), least(floor, 0.75), least(rival, 1)}},
	{"polling", rate, "", "long-polling echo, 100 clients, messages/s (thousands)", 1e3, 1, []goal{least(peer, 2.7), least(floor, 0.5)}},
	{"polling", user, "", "– user-space CPU a message, µs", 1, 1, nil},
	{"connects", rate, "", "connects/s (thousands)", 1e3, 2, []goal{least(peer, 5), least(floor, 0.60)}},
	{"connects", user, "", "– user-space CPU a connect, µs", 1, 1, []goal{most("", 60)}},
	{"deflate", rate, "", "compressed broadcast of 1 KB to 1,000, deliveries/s (thousands)", 1e3, 1, []goal{least(peer, 15.9)}},
	{"idle", size, "", "idle client, 10,000 of them, bytes of RSS", 1, 0, []goal{most(peer, 0.44), most(floor, 1.4)}},
	{"idlepolling", size, "", "idle polling client, 10,000 of them, bytes of RSS", 1, 0, []goal{most(bare, 1.1)}},
	{"tlsecho100", rate, "", "echo over TLS, 100 clients, messages/s (thousands)", 1e3, 1, nil},
	{"tlsecho100", user, "", "– user-space CPU a message, µs", 1, 2, nil},
	{"tlsecho100", total, "", "– all CPU a message, µs", 1, 2, nil},
	{"tlsecho100", rate, "echo100", "– over TLS ÷ without", 1, 2, nil},
	{"tlssingle1000", rate, "", "broadcast over TLS to 1,000, one under way, deliveries/s (thousands)", 1e3, 1, nil},
	{"tlssingle1000", total, "", "– all CPU a delivery, µs", 1, 2, nil},
	{"tlssingle1000", rate, "single1000", "– over TLS ÷ without", 1, 2, nil},
	{"broadcast15000", rate, "", "broadcast to 15,000, two under way, deliveries/s (thousands)", 1e3, 1, []goal{least(floor, 2.8)}},
	{"broadcast15000", user, "", "– user-space CPU a delivery, µs", 1, 2, nil},
	{"broadcast15000", total, "", "– all CPU a delivery, µs", 1, 2, nil},
	// The kernel's own cost rises with the number of sockets, so flat means: as the floor.
	{"broadcast15000", total, "broadcast1000", "– the same at 15,000 ÷ at 1,000", 1, 2, []goal{most(floor, flat)}},
	{"memory", size, "", "idle client, 15,000 of them, bytes of RSS above the first 500", 1, 0, nil},
	{"memory", growth, "", "– the same at 15,000 ÷ at 1,000", 1, 2, []goal{most("", flat)}},
	{"rooms10", rejoin, "", "a leave and a join, 10,000 clients in 10 rooms, ns", 1, 0, nil},
	{"rooms100k", rejoin, "", "– with 100,000 rooms besides, ns", 1, 0, nil},
	{"rooms100k", rejoin, "rooms10", "– leave and join, 100,000 rooms ÷ 10", 1, 2, []goal{most("", flatRooms)}},
	{"rooms10", parted, "", "a disconnect, 10,000 clients in 10 rooms, µs of CPU", 1, 1, nil},
	{"rooms100k", parted, "", "– with 100,000 rooms besides, µs of CPU", 1, 1, nil},
	{"rooms100k", parted, "rooms10", "– disconnect, 100,000 rooms ÷ 10", 1, 2, []goal{most("", flatRooms)}},
	{"heard", tail, "", "p99 of delivery to 900 of 1,000, 1 KB, 50 broadcasts/s, ms", 1, 2, nil},
	{"unheard", tail, "", "– while the other 100 never read, ms", 1, 2, nil},
	{"unheard", tail, "heard", "– never reading ÷ reading", 1, 2, []goal{most("", 1.5)}},
}
