package engineio

import (
	"encoding/base64"
	"slices"

	"github.com/seed-ce09063a/thinkws/internal/session"
)

// packetType is the first character of a packet.
type packetType byte

const (
	typeOpen    packetType = '0'
	typeClose   packetType = '1'
	typePing    packetType = '2'
	typePong    packetType = '3'
	typeMessage packetType = '4'
	typeUpgrade packetType = '5'
	typeNoop    packetType = '6'
)

const (
	maxHeartbeat = 125 // bytes that come with a ping or a pong, as in WebSocket's own
	probe        = "probe"
)

// Packets that say nothing but their type. They are immutable and shared.
var (
	frameClose      = session.TextFrame([]byte{byte(typeClose)})
	framePing       = session.TextFrame([]byte{byte(typePing)})
	framePong       = session.TextFrame([]byte{byte(typePong)})
	frameNoop       = session.TextFrame([]byte{byte(typeNoop)})
	frameProbeReply = session.TextFrame([]byte{byte(typePong)}, []byte(probe))
)

// packet is what a client has sent. The data has its capacity clipped, so that
// whoever gets it may append to it.
type packet struct {
	typ    packetType
	binary bool
	data   []byte
	wire   int // bytes that it took on the wire, after inflating
}

// packet decodes one packet as it stands in a WebSocket message.
func (v Variant) packet(data []byte, binary bool) (p packet, err error) {
	switch {
	case !binary:
		p, err = v.textPacket(data)
	case v.Revision == 4:
		p = packet{typ: typeMessage, binary: true, data: data}
	default:
		p, err = binaryPacketV3(data)
	}
	p.wire = len(data)
	return p, err
}

func (v Variant) textPacket(data []byte) (packet, error) {
	if len(data) == 0 {
		return packet{}, errPacket
	}
	if data[0] == 'b' {
		return v.base64Packet(data[1:])
	}
	return newPacket(packetType(data[0]), false, data[1:])
}

// base64Packet decodes what follows the b of a binary packet in text form.
func (v Variant) base64Packet(data []byte) (packet, error) {
	typ := typeMessage
	if v.Revision == 3 {
		if len(data) == 0 {
			return packet{}, errPacket
		}
		typ, data = packetType(data[0]), data[1:]
	}
	decoded, err := base64.StdEncoding.AppendDecode([]byte{}, data)
	if err != nil {
		return packet{}, errPacket
	}
	return newPacket(typ, true, session.Fit(decoded)) // the decoder skips line ends, and counts them before
}

// binaryPacketV3 decodes a packet whose first byte is the number of its type.
func binaryPacketV3(data []byte) (packet, error) {
	if len(data) == 0 || data[0] > byte(typeNoop-typeOpen) {
		return packet{}, errPacket
	}
	return newPacket(typeOpen+packetType(data[0]), true, data[1:])
}

func newPacket(typ packetType, binary bool, data []byte) (packet, error) {
	if typ < typeOpen || typ > typeNoop {
		return packet{}, errPacket
	}
	if (typ == typePing || typ == typePong) && len(data) > maxHeartbeat {
		return packet{}, errHeartbeat
	}
	return packet{typ: typ, binary: binary, data: slices.Clip(data)}, nil
}
