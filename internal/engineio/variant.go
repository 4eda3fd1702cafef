package engineio

import (
	"encoding/base64"

	"github.com/seed-ce09063a/thinkws/internal/session"
)

// Variant is what the messages of a session look like on the wire. It is
// comparable, so that it can be the key under which encoded frames are kept.
type Variant struct {
	Revision uint8 // of the protocol: 3 or 4
	Base64   bool  // the client cannot take binary data
}

// TextSize is how much room a message packet with a text of n bytes takes.
func (v Variant) TextSize(n int) int { return 1 + n }

// Text starts a message packet in memory from session.Room: append the text, and give it
// to session.TextOf.
func (v Variant) Text(room []byte) []byte { return append(room, byte(typeMessage)) }

// BinarySize is how much more room is worth having for a message packet of n bytes.
func (v Variant) BinarySize(n int) int {
	if v.Base64 {
		return 0 // it goes elsewhere
	}
	return session.RoomBehind(1 + n)
}

// Binary returns a message packet of binary data, that follows the packet before.
func (v Variant) Binary(before session.Frame, data []byte) session.Frame {
	switch {
	case v.Base64:
		return session.TextFrame(v.appendBase64(nil, data))
	case v.Revision == 3:
		return session.BinaryBehind(before, []byte{byte(typeMessage - typeOpen)}, data)
	default:
		return session.BinaryBehind(before, data)
	}
}

// appendBase64 appends a binary message in its text form: b<base64>, with the type
// in between in revision 3.
func (v Variant) appendBase64(dst, data []byte) []byte {
	dst = append(dst, 'b')
	if v.Revision == 3 {
		dst = append(dst, byte(typeMessage))
	}
	return base64.StdEncoding.AppendEncode(dst, data)
}
