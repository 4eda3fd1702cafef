// Package wsconn is a WebSocket connection that costs little while it is idle and whose writes never block the caller.
//
// coder/websocket does the handshake: it checks the request, writes the answer and takes the connection over. The
// answer names the subprotocol and the compression that are chosen here: by its own rules it would accept offers of
// compression that RFC 7692 has a server decline. Frames are read and written here. A connection of coder/websocket
// would read well, too, but it keeps a third of all that an idle connection costs, writes each message to each client
// by itself, and holds its caller while it does so.
//
// # Reading
//
// The goroutine that reads owns stream and, in it, the frameReader. It is one at a time, but not always the same:
//
//	Serve -> reader: waits for bytes, hands messages to the Handler, runs the tasks that come of them
//	           | nothing for a second (deadline.go)    | a task takes long (watch.go)
//	           v                                       v
//	         coldReader: a new, small goroutine      another reader goes on; this one ends after its task
//	           | bytes
//	           v
//	         reader
//
// Before the reader reads more it asks the session.Flow that the connection has been given. If that says so, the reader
// waits, and so does the peer: what it sends stays in the network.
//
//	reads ------> waits       a queue is full, the peer is beyond its rate, or holds much where all hold much
//	  ^  <---------'          there is room, or the rate allows it
//	  |            '---> reads to the close handshake: Close, or the connection is cut
//	  |
//	  +-- a task that awaits an answer of the peer has another reader go on: session.Flow.Listen
//
// The goroutine that reads sets the read deadline, until limit is called. What it is for:
//
//	       a message is waited for           MessageTime
//	idling ----------------------> a message ----------> nothing, and the connection is closed
//	 |  ^ <----------------------------'
//	 |  |     it is there, or the peer is not read for a while
//	 |  |
//	 |  +-- nothing <-- coldReader: bytes
//	 | CoolAfter, and nothing was read         ^
//	 '-----------------------------------------'
//
// # Writing
//
// Any goroutine may send. The outbox has the send queue and decides who writes:
//
//	  +----------------------------- empty <----------------------------+
//	  | a frame of a round            | another frame                   |
//	  v                               |                                 |
//	collecting ---- Flush, or ----> attempt: the sender writes what ----+ all of it is taken
//	until Flush     another frame   the socket takes without waiting    |
//	                                  | some is left, or it is no TCP   |
//	                                  v                                 |
//	                                writing: a goroutine writes pieces -+
//	                                each with a deadline
//
// A close frame is the last one, from any of these states: nothing is queued behind it. cut empties the queue, and
// nothing is queued any more. A piece has at most 64 KiB. If the peer does not take one within WriteTimeout the
// connection is cut. The peer is slow if its queue exceeds the bound, and lost otherwise. session.Waiting decides what
// finds room in the queue.
//
// # The end
//
// The goroutine that reads does all of the tear-down, whatever ends the connection, and calls Handler.Closed last:
//
//	open -> closing -> sent -----> over      our close frame is queued; written
//	 |                  ^ |
//	 |  received -------+ |                  the peer's close frame was read, and answered
//	 |  draining ---------+                  what came is no WebSocket, or the server holds too much: the peer gets our
//	 |                                       close frame, and is read to its end
//	 +-> cut -----------------> over         the network, CloseNow, or a deadline
package wsconn
