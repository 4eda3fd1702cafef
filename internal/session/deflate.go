package session

import (
	"compress/flate"
	"errors"
	"sync"
	"sync/atomic"
)

const (
	// deflateTail ends what a flush of a compressor gives. It does not go over the
	// wire: who inflates a message adds it (RFC 7692, section 7.2.1).
	deflateTail = "\x00\x00\xff\xff"
	rsv1        = 0x40 // in the first byte of a frame: the message is compressed
	// keepOutput is the largest buffer an idle compressor keeps, in bytes.
	keepOutput = 256 << 10
)

var errNoGain = errors.New("session: compressed is not shorter")

// Deflater compresses frames for clients with permessage-deflate (RFC 7692). Each
// frame is a block of its own that refers to nothing before it, so that one is good
// for all clients, whatever they were sent earlier.
//
// Compressors are large, 1.2 MB: they are made when first needed, never more
// than a few, and kept. Who finds all of them at work waits; that is a matter of CPU
// time, not of the network. A Deflater is safe for concurrent use.
type Deflater struct {
	threshold int
	idle      chan *compressor
	left      atomic.Int64  // compressors that may still be made
	runs      atomic.Uint64 // see Runs
}

// NewDeflater returns a Deflater for frames of at least threshold bytes, with at most
// compressors at work at the same time.
func NewDeflater(threshold, compressors int) *Deflater {
	d := &Deflater{threshold: threshold, idle: make(chan *compressor, compressors)}
	d.left.Store(int64(compressors))
	return d
}

// Runs says how many frames have been compressed, also those that did not get
// shorter by it.
func (d *Deflater) Runs() uint64 { return d.runs.Load() }

// mark lets the frames that are long enough be compressed once a client wants that.
// A nil Deflater marks none.
func (d *Deflater) mark(frames []Frame) {
	if d == nil {
		return
	}
	for i, f := range frames {
		if f.Len() >= d.threshold {
			frames[i].deflated = &deflated{by: d}
		}
	}
}

// deflated is what all copies of a marked frame share.
type deflated struct {
	by   *Deflater
	once sync.Once // sets wire
	wire []byte    // the whole WebSocket frame
}

func (s *deflated) frame(f Frame) []byte {
	s.once.Do(func() { s.wire = s.by.compress(f) })
	return s.wire
}

// compress returns the WebSocket frame of f, compressed if that makes it shorter.
func (d *Deflater) compress(f Frame) []byte {
	d.runs.Add(1)
	c := d.take()
	defer func() { d.idle <- c }()
	return c.compress(f)
}

// take returns a compressor nobody else works with.
func (d *Deflater) take() *compressor {
	select {
	case c := <-d.idle:
		return c
	default:
	}
	if d.left.Add(-1) >= 0 {
		return newCompressor()
	}
	d.left.Add(1)
	return <-d.idle
}

// compressor has one user at a time.
type compressor struct {
	flate *flate.Writer // writes to the compressor
	out   []byte        // room for a header, what has been written
	limit int           // of len(out)
}

func newCompressor() *compressor {
	c := new(compressor)
	c.flate, _ = flate.NewWriter(c, flate.BestSpeed) // fails for unknown levels only
	return c
}

// Write takes compressed data until there is so much that it is of no use.
func (c *compressor) Write(p []byte) (int, error) {
	if len(c.out)+len(p) > c.limit {
		return 0, errNoGain
	}
	c.out = append(c.out, p...)
	return len(p), nil
}

func (c *compressor) compress(f Frame) []byte {
	if c.out == nil {
		c.out = make([]byte, maxHeader, 4<<10)
	}
	c.out, c.limit = c.out[:maxHeader], maxHeader+f.Len()-1+len(deflateTail)
	c.flate.Reset(c)
	if c.run(f.Payload()) != nil {
		return f.WebSocket()
	}
	whole := c.out[:len(c.out)-len(deflateTail)]
	start := maxHeader - int(putHeader(whole[:maxHeader], f.Binary, len(whole)-maxHeader))
	whole[start] |= rsv1
	wire := append([]byte(nil), whole[start:]...)
	if cap(c.out) > keepOutput {
		c.out = nil
	}
	return wire
}

func (c *compressor) run(payload []byte) error {
	if _, err := c.flate.Write(payload); err != nil {
		return err
	}
	return c.flate.Flush()
}
