package socketio

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"unicode/utf8"
	"unsafe"

	"github.com/seed-ce09063a/thinkws/internal/session"
)

// packetType is the first digit of a packet.
type packetType byte

const (
	typeConnect packetType = iota
	typeDisconnect
	typeEvent
	typeAck
	typeConnectError
	typeBinaryEvent
	typeBinaryAck
)

// Bounds of the grammar.
const (
	maxID       = 1<<53 - 1 // as far as the numbers of JavaScript count exactly
	maxIDDigits = 16        // of maxID
	maxCount    = 4         // digits of the number of attachments
)

// mainSpace is the namespace that is not written on the wire.
const mainSpace = "/"

var mainName = []byte(mainSpace)

// Errors of decode. Each is a violation of the protocol.
var (
	errType         = errors.New("socketio: unknown packet type")
	errAttachments  = errors.New("socketio: bad number of attachments")
	errTooMany      = session.Beyond(session.LimitAttachments, errors.New("socketio: too many attachments"))
	errNamespace    = errors.New("socketio: bad namespace")
	errLongName     = session.Beyond(session.LimitName, errors.New("socketio: name of the namespace is too long"))
	errID           = errors.New("socketio: bad ack id")
	errPayload      = errors.New("socketio: payload does not fit the packet type")
	errEventName    = errors.New("socketio: bad event name")
	errReserved     = errors.New("socketio: reserved event name")
	errConnectError = errors.New("socketio: CONNECT_ERROR sent by a client")
)

// packet is what a client sent, checked. Its slices share memory with the message
// it came in.
type packet struct {
	kind        packetType    // never one of the binary types: attachments tells
	attachments int           // how many binary messages follow
	namespace   []byte        // with its slash, without the query
	query       []byte        // what followed a "?" in the namespace, revision 3 only
	id          []byte        // decimal digits without leading zeros, nil if there is none
	name        string        // of an event
	args        session.Args  // of an event, without its name, or of an ack
	wire        int           // bytes that it took on the wire, with its attachments
	auth        []byte        // the payload of CONNECT, a JSON object, nil if there is none
	places      *placeholders // of the attachments; nil if there are none
}

// own makes p keep no more of the message that it came in than it needs.
func (p *packet) own(message []byte) {
	p.args.Text = session.Own(p.args.Text, message)
	p.name = session.OwnString(p.name, message)
	p.auth = session.Own(p.auth, message)
}

// grammar is what of the text form depends on the client and the configuration.
type grammar struct {
	revision       int // of Engine.IO: 3 has queries in namespaces
	maxAttachments int
	maxName        int // bytes of a namespace, without the query of revision 3
	maxDepth       int // of JSON
}

// decode reads <type>[<attachments>-][<namespace>,][<ack id>][<JSON>] into p, which is empty. It allocates nothing,
// except for names of events with escapes and for attachments. Their placeholders are cut out of the arguments, and of
// text: see assembly.
func (g *grammar) decode(text []byte, p *packet) (err error) {
	if len(text) == 0 || text[0] < '0' || text[0] > '6' {
		return errType
	}
	p.kind = packetType(text[0] - '0')
	if text, err = p.readAttachments(text[1:], g.maxAttachments); err != nil {
		return err
	}
	if text, err = p.readNamespace(text, g); err != nil {
		return err
	}
	if text, err = p.readID(text); err != nil {
		return err
	}
	return p.readPayload(text, g.maxDepth)
}

// readAttachments reads "<n>-" if p is of a binary type, which it then turns into
// the plain one.
func (p *packet) readAttachments(text []byte, most int) ([]byte, error) {
	switch p.kind {
	case typeBinaryEvent:
		p.kind = typeEvent
	case typeBinaryAck:
		p.kind = typeAck
	default:
		return text, nil
	}
	n := digits(text)
	if n == 0 || n > maxCount || text[0] == '0' || n == len(text) || text[n] != '-' {
		return nil, errAttachments
	}
	p.attachments = int(number(text[:n]))
	if p.attachments > most {
		return nil, errTooMany
	}
	return text[n+1:], nil
}

func (p *packet) readNamespace(text []byte, g *grammar) ([]byte, error) {
	if len(text) == 0 || text[0] != '/' {
		p.namespace = mainName
		return text, nil
	}
	namespace, rest, _ := bytes.Cut(text, []byte(","))
	if g.revision == 3 {
		namespace, p.query, _ = bytes.Cut(namespace, []byte("?"))
	}
	if len(namespace) > g.maxName {
		return nil, errLongName
	}
	if !printable(namespace) {
		return nil, errNamespace
	}
	p.namespace = namespace
	return rest, nil
}

func (p *packet) readID(text []byte) ([]byte, error) {
	n := digits(text)
	if n == 0 {
		return text, nil
	}
	if n > maxIDDigits || number(text[:n]) > maxID {
		return nil, errID
	}
	start := n - 1 - len(bytes.TrimLeft(text[:n-1], "0"))
	p.id = text[start:n]
	return text[n:], nil
}

func (p *packet) readPayload(text []byte, depth int) error {
	switch p.kind {
	case typeConnect:
		return p.readAuth(text, depth)
	case typeDisconnect:
		if len(text) > 0 || p.id != nil {
			return errPayload
		}
		return nil
	case typeConnectError:
		return errConnectError
	default:
		return p.readArgs(text, depth)
	}
}

func (p *packet) readAuth(text []byte, depth int) error {
	if p.id != nil {
		return errPayload
	}
	if len(text) == 0 {
		return nil
	}
	if text[0] != '{' {
		return errPayload
	}
	if err := session.CheckJSON(text, depth); err != nil {
		return fmt.Errorf("socketio: payload: %w", err)
	}
	p.auth = bytes.TrimRight(text, " \t\r\n")
	return nil
}

func (p *packet) readArgs(text []byte, depth int) error {
	if len(text) == 0 || text[0] != '[' {
		return errPayload
	}
	var err error
	if p.attachments == 0 {
		p.args, err = session.ParseArray(text, depth)
	} else {
		p.places = newPlaceholders(p.attachments)
		p.args, err = session.CutArray(text, depth, p.places.take)
	}
	if err != nil {
		return fmt.Errorf("socketio: payload: %w", err)
	}
	if p.kind == typeAck {
		return nil
	}
	p.name, err = eventName(bytes.TrimRight(p.args.TakeFirst(), " \t\r\n"))
	return err
}

// eventName returns the name of an event that text, a JSON value, stands for: a
// string, or a number as JavaScript writes it.
func eventName(text []byte) (string, error) {
	if len(text) == 0 { // no value, or a binary one
		return "", errEventName
	}
	if text[0] != '"' {
		return numericName(text)
	}
	name := unquote(text)
	if name != "" && session.ReservedEvent(name) { // Node.js reads the empty name, which nobody can register
		return "", errReserved
	}
	return name, nil
}

func numericName(text []byte) (string, error) {
	var n float64
	if json.Unmarshal(text, &n) != nil || text[0] == 'n' { // null leaves n alone
		return "", errEventName
	}
	if n == 0 {
		return "0", nil // and not -0
	}
	name, err := json.Marshal(n) // writes numbers as JavaScript does
	return string(name), err
}

// unquote returns what the JSON string text stands for. Lone surrogates become U+FFFD.
func unquote(text []byte) string {
	inner := text[1 : len(text)-1]
	if bytes.IndexByte(inner, '\\') < 0 {
		// A message belongs to its packet, and nobody writes to it: a copy of each
		// name would be the only garbage of decoding.
		return unsafe.String(unsafe.SliceData(inner), len(inner)) //nolint:gosec // G103: inner is never written to again
	}
	var s string
	_ = json.Unmarshal(text, &s) // text was checked before
	return s
}

// digits counts the decimal digits that text starts with.
func digits[T string | []byte](text T) int {
	n := 0
	for n < len(text) && '0' <= text[n] && text[n] <= '9' {
		n++
	}
	return n
}

// number returns the value of at most maxIDDigits digits.
func number(digits []byte) uint64 {
	n := uint64(0)
	for _, d := range digits {
		n = n*10 + uint64(d-'0')
	}
	return n
}

// printable reports whether name is valid UTF-8 without control characters, so that
// it can go back to the client on any transport.
func printable(name []byte) bool {
	for _, b := range name {
		if b < ' ' || b == 0x7f {
			return false
		}
	}
	return utf8.Valid(name)
}

// appendHeader appends the part of a packet before its payload. The attachments
// are written if there are any.
func appendHeader(dst []byte, kind packetType, attachments int, namespace, id string) []byte {
	dst = append(dst, '0'+byte(kind))
	if attachments > 0 {
		dst = strconv.AppendInt(dst, int64(attachments), 10)
		dst = append(dst, '-')
	}
	if namespace != mainSpace {
		dst = append(dst, namespace...)
		dst = append(dst, ',')
	}
	return append(dst, id...)
}
