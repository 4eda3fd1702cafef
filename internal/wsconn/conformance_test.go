package wsconn_test

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"iter"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws/e2e/variant"
	"github.com/seed-ce09063a/thinkws/internal/wsconn"
)

// exchange is what a client sends and what an echo server has to send back (RFC 6455).
type exchange struct {
	name string
	send []byte
	want []frame
	code int // of the close frame at the end; 0: the connection goes on, noStatus: it has no code
}

// noStatus stands for a close frame without a payload.
const noStatus = -1

func join(frames ...[]byte) []byte { return bytes.Join(frames, nil) }

// exchanges are all of them. The limit of a message is maxExchange.
func exchanges() (all []exchange) {
	return slices.Concat(lengths(), reserved(), masking(), controls(), fragments(), goodText(), badText(), closes(), limits())
}

const maxExchange = 1 << 17

// lengths: section 5.2, in the three forms of a length.
func lengths() (all []exchange) {
	for _, kind := range []byte{opText, opBinary} {
		for _, n := range []int{0, 1, 2, 124, 125, 126, 127, 128, 4095, 4096, 16383, 16384, 65534, 65535, 65536, 65537} {
			payload := strings.Repeat("*", n)
			all = append(all, exchange{fmt.Sprintf("5.2 opcode %d of %d bytes", kind, n), masked(fin|kind, payload), []frame{{fin | kind, payload}}, 0})
		}
	}
	huge := func(n uint64) []byte {
		return append(binary.BigEndian.AppendUint64([]byte{fin | opBinary, 0x80 | 127}, n), 0, 0, 0, 0)
	}
	for _, n := range []uint64{1 << 63, 1<<64 - 1} { // section 5.2: the most significant bit is 0
		all = append(all, exchange{fmt.Sprintf("5.2 length %#x", n), huge(n), nil, 1002})
	}
	for _, n := range []uint64{1 << 40, 1<<63 - 1} {
		all = append(all, exchange{fmt.Sprintf("7.4.1 length %#x", n), huge(n), nil, 1009})
	}
	return all
}

// reserved: section 5.2, bits and opcodes that nobody has given a meaning.
func reserved() (all []exchange) {
	for rsv := byte(1); rsv < 8; rsv++ {
		for _, op := range []byte{opText, opBinary, opPing, opPong, opClose, opCont} {
			all = append(all, exchange{fmt.Sprintf("5.2 RSV %d on opcode %d", rsv, op), masked(fin|rsv<<4|op, ""), nil, 1002})
		}
	}
	for _, op := range []byte{3, 4, 5, 6, 7, 11, 12, 13, 14, 15} {
		for _, payload := range []string{"", "x"} {
			all = append(all,
				exchange{fmt.Sprintf("5.2 opcode %d, %d bytes", op, len(payload)), masked(fin|op, payload), nil, 1002},
				exchange{fmt.Sprintf("5.2 opcode %d, %d bytes, behind a message", op, len(payload)),
					join(masked(fin|opText, "first"), masked(fin|op, payload), masked(fin|opText, "void")), []frame{{fin | opText, "first"}}, 1002})
		}
	}
	return all
}

// masking: section 5.1, a client masks.
func masking() (all []exchange) {
	for _, op := range []byte{opText, opBinary, opPing, opPong, opClose} {
		all = append(all, exchange{fmt.Sprintf("5.1 opcode %d unmasked", op), unmasked(fin|op, ""), nil, 1002})
	}
	return append(all, exchange{"5.1 unmasked within a message", join(masked(opText, "a"), unmasked(fin|opCont, "b")), nil, 1002})
}

// controls: section 5.5.
func controls() (all []exchange) {
	for _, n := range []int{0, 1, 2, 64, 124, 125} {
		payload := strings.Repeat("\xfe", n)
		all = append(all,
			exchange{fmt.Sprintf("5.5.2 ping of %d bytes", n), masked(fin|opPing, payload), []frame{{fin | opPong, payload}}, 0},
			exchange{fmt.Sprintf("5.5.3 pong of %d bytes", n), masked(fin|opPong, payload), nil, 0})
	}
	for _, op := range []byte{opPing, opPong, opClose} {
		for _, n := range []int{126, 127, 200, 65536} {
			all = append(all, exchange{fmt.Sprintf("5.5 opcode %d of %d bytes", op, n), masked(fin|op, strings.Repeat("x", n)), nil, 1002})
		}
		all = append(all,
			exchange{fmt.Sprintf("5.5 opcode %d in fragments", op), join(masked(op, ""), masked(fin|opCont, "")), nil, 1002},
			exchange{fmt.Sprintf("5.5 opcode %d that is continued, within a message", op), join(masked(opText, "a"), masked(op, "b"), masked(fin|opCont, "c")), nil, 1002})
	}
	var pings []byte
	var pongs []frame
	for i := range 20 {
		payload := fmt.Sprint("ping ", i)
		pings = append(pings, masked(fin|opPing, payload)...)
		pongs = append(pongs, frame{fin | opPong, payload})
	}
	return append(all, exchange{"5.5.2 twenty pings", pings, pongs, 0})
}

// fragments: section 5.4.
func fragments() (all []exchange) {
	for _, kind := range []byte{opText, opBinary} {
		name := fmt.Sprintf("5.4 opcode %d ", kind)
		for _, n := range []int{2, 3, 10, 100} {
			send, whole := masked(kind, "0"), "0"
			for i := 1; i < n-1; i++ {
				send, whole = append(send, masked(opCont, "x")...), whole+"x"
			}
			send, whole = append(send, masked(fin|opCont, "!")...), whole+"!"
			all = append(all, exchange{fmt.Sprintf("%sin %d fragments", name, n), send, []frame{{fin | kind, whole}}, 0})
		}
		all = append(all,
			exchange{name + "in empty fragments", join(masked(kind, ""), masked(opCont, ""), masked(fin|opCont, "")), []frame{{fin | kind, ""}}, 0},
			exchange{name + "with an empty middle", join(masked(kind, "a"), masked(opCont, ""), masked(fin|opCont, "b")), []frame{{fin | kind, "ab"}}, 0},
			exchange{name + "with pings between", join(masked(kind, "a"), masked(fin|opPing, "1"), masked(opCont, "b"), masked(fin|opPing, "2"), masked(fin|opCont, "c")),
				[]frame{{fin | opPong, "1"}, {fin | opPong, "2"}, {fin | kind, "abc"}}, 0},
			exchange{name + "with a pong between", join(masked(kind, "a"), masked(fin|opPong, "1"), masked(fin|opCont, "b")), []frame{{fin | kind, "ab"}}, 0},
			exchange{name + "with a close between", join(masked(kind, "a"), masked(fin|opClose, closePayload(1000, ""))), nil, 1000},
			exchange{name + "interrupted by text", join(masked(kind, "a"), masked(fin|opText, "b")), nil, 1002},
			exchange{name + "interrupted by binary", join(masked(kind, "a"), masked(fin|opBinary, "b")), nil, 1002},
			exchange{name + "begun twice", join(masked(kind, "a"), masked(kind, "b")), nil, 1002},
			exchange{name + "continued after its end", join(masked(fin|kind, "a"), masked(fin|opCont, "b")), []frame{{fin | kind, "a"}}, 1002},
			exchange{name + "continued after its last fragment", join(masked(kind, "a"), masked(fin|opCont, "b"), masked(opCont, "c")), []frame{{fin | kind, "ab"}}, 1002},
			exchange{name + "one after another", join(masked(kind, "a"), masked(fin|opCont, "b"), masked(fin|kind, "c"), masked(kind, "d"), masked(fin|opCont, "e")),
				[]frame{{fin | kind, "ab"}, {fin | kind, "c"}, {fin | kind, "de"}}, 0})
	}
	return append(all,
		exchange{"5.4 a continuation of nothing", masked(fin|opCont, "x"), nil, 1002},
		exchange{"5.4 a first continuation of nothing", masked(opCont, "x"), nil, 1002})
}

// texts of section 8.1, each in one piece, cut at every byte into two fragments, and byte
// by byte.
func cuts(name, text string, want []frame, code int) (all []exchange) {
	all = append(all, exchange{name, masked(fin|opText, text), want, code})
	for i := range len(text) + 1 {
		all = append(all, exchange{fmt.Sprintf("%s, cut at %d", name, i), join(masked(opText, text[:i]), masked(fin|opCont, text[i:])), want, code})
	}
	send := masked(opText, "")
	for i := range len(text) {
		send = append(send, masked(opCont, text[i:i+1])...)
	}
	return append(all, exchange{name + ", byte by byte", append(send, masked(fin|opCont, "")...), want, code})
}

func goodText() (all []exchange) {
	for name, text := range map[string]string{
		"Greek":               "κόσμε",
		"the first of 2":      "\u0080",
		"the first of 3":      "\u0800",
		"the first of 4":      "\U00010000",
		"the last of 1":       "\u007f",
		"the last of 2":       "\u07ff",
		"the last of 3":       "\uffff",
		"the last of all":     "\U0010ffff",
		"before surrogates":   "\ud7ff",
		"behind surrogates":   "\ue000",
		"replacement":         "\ufffd",
		"a byte order mark":   "\ufeffx",
		"no characters":       "\ufdd0\ufffe",
		"emoji":               "a😀b",
		"NUL and controls":    "\x00\x01\x7f",
		"a combined sequence": "👩‍🚀",
	} {
		all = append(all, cuts("8.1 "+name, text, []frame{{fin | opText, text}}, 0)...)
	}
	return all
}

func badText() (all []exchange) {
	for name, text := range map[string]string{
		"a continuation":             "\x80",
		"two continuations":          "a\x80\xbfb",
		"a start alone":              "\xc3",
		"a start and a space":        "\xe1\x80 ",
		"an overlong slash of 2":     "\xc0\xaf",
		"an overlong slash of 3":     "\xe0\x80\xaf",
		"an overlong slash of 4":     "\xf0\x80\x80\xaf",
		"an overlong end of 2":       "\xc1\xbf",
		"an overlong end of 3":       "\xe0\x9f\xbf",
		"an overlong NUL":            "\xc0\x80",
		"a high surrogate":           "\xed\xa0\x80",
		"a low surrogate":            "\xed\xbf\xbf",
		"a pair of surrogates":       "\xed\xa0\x80\xed\xb0\x80",
		"beyond the last":            "\xf4\x90\x80\x80",
		"five bytes":                 "\xf8\x88\x80\x80\x80",
		"six bytes":                  "\xfc\x84\x80\x80\x80\x80",
		"byte FE":                    "\xfe",
		"byte FF":                    "a\xffb",
		"an end within a character":  "κόσμ\xce",
		"a break within a character": "κό\xcf\xffμε",
	} {
		all = append(all, cuts("8.1 "+name, text, nil, 1007)...)
	}
	return all
}

// closes: sections 5.5.1 and 7.4.
func closes() (all []exchange) {
	for _, code := range []int{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999} {
		for _, reason := range []string{"", "why", strings.Repeat("x", 123), "κόσμε"} {
			all = append(all, exchange{fmt.Sprintf("7.4 code %d, reason of %d", code, len(reason)), masked(fin|opClose, closePayload(code, reason)), nil, code})
		}
	}
	for _, code := range []int{0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535} {
		all = append(all, exchange{fmt.Sprintf("7.4 code %d", code), masked(fin|opClose, closePayload(code, "")), nil, 1002})
	}
	for _, reason := range []string{"\xff", "κόσμ\xce", "\xed\xa0\x80"} {
		all = append(all, exchange{fmt.Sprintf("5.5.1 reason %q", reason), masked(fin|opClose, closePayload(1000, reason)), nil, 1007})
	}
	return append(all,
		exchange{"5.5.1 without a code", masked(fin|opClose, ""), nil, noStatus},
		exchange{"5.5.1 half a code", masked(fin|opClose, "\x03"), nil, 1002},
		exchange{"5.5.1 more behind it", join(masked(fin|opText, "a"), masked(fin|opClose, closePayload(1000, "")), masked(fin|opText, "b"), masked(fin|opPing, "c")),
			[]frame{{fin | opText, "a"}}, 1000},
		exchange{"5.5.1 more behind it: another", join(masked(fin|opClose, closePayload(1000, "")), masked(fin|opClose, closePayload(1001, ""))), nil, 1000})
}

// limits of our own: section 7.4.1, code 1009.
func limits() (all []exchange) {
	for _, kind := range []byte{opText, opBinary} {
		name := fmt.Sprintf("7.4.1 opcode %d ", kind)
		most := strings.Repeat("x", maxExchange)
		all = append(all,
			exchange{name + "of the most", masked(fin|kind, most), []frame{{fin | kind, most}}, 0},
			exchange{name + "of one more", masked(fin|kind, most+"x"), nil, 1009},
			exchange{name + "of the most in two", join(masked(kind, most[:100]), masked(fin|opCont, most[100:])), []frame{{fin | kind, most}}, 0},
			exchange{name + "of one more in two", join(masked(kind, most), masked(fin|opCont, "x")), nil, 1009})
	}
	return all
}

// Every exchange is sent whole: over TCP with and without each mechanism, and over each other network. Over TCP the
// short ones are sent byte by byte, too; for the frame reader see TestConformanceOfTheFrameReader.
func TestConformance(t *testing.T) {
	t.Logf("%d exchanges", len(exchanges()))
	require.Greater(t, len(exchanges()), 500)
	everyWay(t, func(t *testing.T, cfg *wsconn.Config) { conform(t, cfg, listen(t, variant.TCP), whole) })
	for _, name := range variant.Networks()[1:] {
		t.Run(name, func(t *testing.T) { conform(t, config(), listen(t, name), whole) })
	}
	t.Run("byte by byte", func(t *testing.T) { conform(t, config(), listen(t, variant.TCP), 1) })
}

// whole is a chunk that has all of an exchange.
const whole = 1 << 20

// conform has so many bytes at a time of every exchange sent, of the short ones if that is few.
func conform(t *testing.T, cfg *wsconn.Config, link link, chunk int) {
	cfg.MaxMessage = maxExchange
	for _, e := range exchanges() {
		if chunk == whole || len(e.send) < 1000 {
			t.Run(e.name, func(t *testing.T) { e.run(t, cfg, link, chunk) })
		}
	}
	wait(t, cfg)
}

// run sends so many bytes at a time.
func (e exchange) run(t *testing.T, cfg *wsconn.Config, link link, chunk int) {
	conn, server := link.ends(t)
	defer conn.Close()
	c := accept(t, cfg, server, nil)
	c.Serve(&echo{newRecorder(), c})
	require.NoError(t, conn.SetDeadline(time.Now().Add(time.Minute)))
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		for some := range slices.Chunk(e.send, chunk) {
			if _, err := conn.Write(some); err != nil {
				return // the server has seen enough
			}
		}
		if e.code == 0 {
			_, _ = conn.Write(masked(fin|opText, "alive"))
		}
	}()
	defer func() { <-sent }()
	r := bufio.NewReader(conn)
	expect(t, r, e.want...)
	if e.code == 0 {
		expect(t, r, frame{fin | opText, "alive"})
		return
	}
	got, err := readFrame(r)
	require.NoError(t, err)
	require.Equal(t, byte(fin|opClose), got.first, "want a close frame, got %q", got.payload)
	assert.Equal(t, e.code, codeOf(t, got.payload))
	half(conn)
	_, err = io.Copy(io.Discard, r)
	if !strings.Contains(e.name, "more behind it") { // which may meet an end
		assert.NoError(t, err, "the server ends the connection")
	}
}

// codeOf returns the code of a close frame.
func codeOf(t *testing.T, payload string) int {
	t.Helper()
	if payload == "" {
		return noStatus
	}
	require.GreaterOrEqual(t, len(payload), 2)
	return int(binary.BigEndian.Uint16([]byte(payload)))
}

// half ends the client's side.
func half(conn net.Conn) { _ = conn.(*net.TCPConn).CloseWrite() }

// The frame reader gets every exchange whole, byte by byte, and cut in two at each byte.
func TestConformanceOfTheFrameReader(t *testing.T) {
	for _, e := range exchanges() {
		t.Run(e.name, func(t *testing.T) {
			e.read(t, false, slices.Collect(slices.Chunk(e.send, 1))...)
			for _, direct := range []bool{false, true} {
				e.read(t, direct, e.send)
				for cut := range cutsOf(len(e.send)) {
					e.read(t, direct, e.send[:cut], e.send[cut:])
				}
			}
		})
	}
}

// cutsOf yields where to cut n bytes: everywhere if they are few, else at each of the first and the last bytes, where
// frames begin and end, and at some between.
func cutsOf(n int) iter.Seq[int] {
	const few, edge = 300, 14
	return func(yield func(int) bool) {
		for cut := 1; cut < n; cut++ {
			if n > few && cut > edge && cut < n-edge {
				cut = min(cut+n/edge, n-edge)
			}
			if !yield(cut) {
				return
			}
		}
	}
}

// read gives the frame reader what is sent in pieces, direct ones into the memory of their message, and compares what
// comes of them.
func (e exchange) read(t *testing.T, direct bool, pieces ...[]byte) {
	t.Helper()
	r := wsconn.NewFrameReader(maxExchange, false)
	var got []frame
	code := 0
	for _, p := range pieces {
		for len(p) > 0 && code == 0 {
			if room := r.Room(); direct && len(room) > 0 {
				n := copy(room, p)
				r.Filled(n)
				p = p[n:]
			}
			var opcode byte
			var data []byte
			var err error
			if p, opcode, data, err = r.Next(p); err != nil {
				require.NotZero(t, wsconn.CodeOf(err), err)
				code = wsconn.CodeOf(err)
				break
			}
			switch opcode {
			case opText, opBinary:
				got = append(got, frame{fin | opcode, string(data)})
			case opPing:
				got = append(got, frame{fin | opPong, string(data)})
			case opClose:
				code = codeOf(t, string(data))
			}
		}
	}
	require.Equal(t, e.code, code)
	require.Equal(t, e.want, got)
	if code == 0 {
		require.True(t, r.Between())
	}
}
