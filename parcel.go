package thinkws

import (
	"sync"

	"github.com/seed-ce09063a/thinkws/internal/session"
)

// parcel is a message for one client, with the memory that its arguments are encoded
// into. Nobody keeps it once it is sent, as session.Conn demands, so it is used again.
type parcel struct {
	message session.Message
	text    []byte
}

// keepText is the largest text that a parcel which waits for its next use holds, in bytes.
const keepText = 4 << 10

var parcels = sync.Pool{New: func() any { return new(parcel) }}

// borrowParcel returns a parcel with encoded arguments. release must follow, unless
// there is an error.
func (h *Hub) borrowParcel(args []any) (*parcel, error) {
	p := parcels.Get().(*parcel)
	encoded, err := h.encoder.Encode(p.text[:0], args)
	if err != nil {
		parcels.Put(p)
		return nil, err
	}
	p.message.Args, p.message.Deflate, p.message.Lent = encoded, h.deflate, true
	return p, nil
}

func (p *parcel) release() {
	if p.text = p.message.Args.Text; cap(p.text) > keepText {
		p.text = nil
	}
	p.message.Reset()
	parcels.Put(p)
}
