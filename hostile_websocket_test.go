package thinkws_test

import (
	"bufio"
	"encoding/binary"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws"
)

// enter opens a hostile WebSocket and enters "/". The kind is "v4", "v3" or "plain",
// or "probe" and "probe3": one that is about to take over from polling.
func (s *site) enter(kind string) (*rawWS, *poller) {
	s.t.Helper()
	switch kind {
	case "plain":
		ws := s.upgrade("/ws")
		ws.send(`{"event":"echo","cid":0}`) // who leaves before it is in was never there
		ws.expect(`{"rid":0}`)
		return ws, nil
	case "v4":
		ws := s.upgrade(io4 + "websocket")
		ws.expect("0{")
		ws.send("40")
		ws.expect(`40{"sid":`)
		return ws, nil
	case "v3":
		ws := s.upgrade(io3 + "websocket")
		ws.expect("0{", "40")
		return ws, nil
	}
	p := s.open(map[string]int{"probe": 4, "probe3": 3}[kind], "")
	ws := s.upgrade(p.upgradeTarget(), "2probe")
	ws.expect("3probe")
	return ws, p
}

func (s *site) upgrade(target string, frames ...string) *rawWS {
	s.t.Helper()
	return upgrade(s.t, s.dial(), target, frames...)
}

func (p *poller) upgradeTarget() string {
	return strings.Replace(p.target, "transport=polling", "transport=websocket", 1)
}

// alive says that the WebSocket works, and ends it.
func (s *site) alive(ws *rawWS, kind string) {
	s.t.Helper()
	say, answer := `4277["echo","here"]`, `4377["here"]`
	if kind == "plain" {
		say, answer = `{"event":"echo","data":"here","cid":77}`, `{"rid":77,"data":"here"}`
	}
	ws.send(say)
	require.Equal(s.t, answer, ws.read())
	require.NoError(s.t, ws.conn.Close())
	s.verify(thinkws.ReasonTransportClose)
}

// leave answers the server's close frame, sees the end, and closes: what every client
// has some seconds for.
func (s *site) leave(ws *rawWS) {
	s.t.Helper()
	_, _ = ws.conn.Write(maskedFrame(opClose, "")) // the server may have hung up already
	assert.Equal(s.t, "gone", ws.read())
	require.NoError(s.t, ws.conn.Close())
}

// frame is a frame as a client should not write it: the first byte is all flags and
// the opcode, the mask may be missing.
func frame(first byte, masked bool, payload string) string {
	f := maskedFrame(first&0x0f, payload)
	f[0] = first
	if !masked {
		f[1] &^= 0x80
		f = append(f[:len(f)-len(payload)-4], payload...)
	}
	return string(f)
}

// giant is the beginning of a frame that says it is n bytes long.
func giant(first byte, n uint64) string {
	return string(binary.BigEndian.AppendUint64([]byte{first, 0xff}, n)) + "\x00\x00\x00\x00xxxx"
}

// Bits of a frame's first byte.
const (
	fin, rsv1, rsv2, rsv3                    = 0x80, 0x40, 0x20, 0x10
	opContinue, opText, opBinary             = 0, 1, 2
	opClose, opPing, opPong                  = 8, 9, 10
	violated, invalid, policy, large, normal = "close 1002", "close 1007", "close 1008", "close 1009", "close 1000"
)

// kinds are those of enter.
var kinds = []string{"v4", "v3", "plain", "probe", "probe3"}

// TestHostileFrames sends what is no WebSocket to WebSockets of every protocol, and to
// those that only want to take over: these go, and their session stays.
func TestHostileFrames(t *testing.T) {
	const parse = thinkws.ReasonParseError
	const gone = thinkws.ReasonTransportClose
	long := strings.Repeat("x", 1_000_001)
	cases := []struct {
		row, name, send, want string
		ends                  thinkws.Reason
	}{
		{"40", "not masked", frame(fin|opText, false, "4"), violated, parse},
		{"40", "control not masked", frame(fin|opPing, false, ""), violated, parse},
		{"40", "RSV1", frame(fin|rsv1|opText, true, "4"), violated, parse},
		{"40", "RSV2", frame(fin|rsv2|opText, true, "4"), violated, parse},
		{"40", "RSV3", frame(fin|rsv3|opBinary, true, "4"), violated, parse},
		{"40", "RSV1 of a control", frame(fin|rsv1|opPing, true, ""), violated, parse},
		{"40", "opcode 3", frame(fin|3, true, ""), violated, parse},
		{"40", "opcode 11", frame(fin|11, true, ""), violated, parse},
		{"40", "opcode 15", frame(fin|15, true, "x"), violated, parse},
		{"40", "ping in fragments", frame(opPing, true, "x"), violated, parse},
		{"40", "close in fragments", frame(opClose, true, "\x03\xe8"), violated, parse},
		{"40", "ping of 126 bytes", frame(fin|opPing, true, strings.Repeat("x", 126)), violated, parse},
		{"40", "pong of 70,000 bytes", frame(fin|opPong, true, strings.Repeat("x", 70_000)), violated, parse},
		{"40", "continues nothing", frame(fin|opContinue, true, "x"), violated, parse},
		{"40", "text within a text", frame(opText, true, "4") + frame(fin|opText, true, "4"), violated, parse},
		{"40", "no WebSocket at all", "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", violated, parse},
		{"41", "text is not UTF-8", frame(fin|opText, true, "\xff\xfe"), invalid, parse},
		{"41", "surrogate in UTF-8", frame(fin|opText, true, "4\xed\xa0\x80"), invalid, parse},
		{"41", "character cut off", frame(opText, true, "4\xf0\x9f") + frame(fin|opContinue, true, "\x98"), invalid, parse},
		{"42", "one byte too much", frame(fin|opText, true, long), large, parse},
		{"42", "one byte too much, binary", frame(fin|opBinary, true, long), large, parse},
		{"42", "too much in fragments", frame(opText, true, long[:600_000]) + frame(opContinue, true, long[:300_000]) + frame(fin|opContinue, true, long[:200_000]), large, parse},
		{"CVE-2016-10542", "length of 2^40", giant(fin|opText, 1<<40) + long, large, parse},
		{"CVE-2016-10542", "length of 2^63", giant(fin|opText, 1<<63), violated, parse},
		{"48", "close of one byte", frame(fin|opClose, true, "x"), violated, parse},
		{"48", "close with code 999", frame(fin|opClose, true, "\x03\xe7"), violated, parse},
		{"48", "close with code 1005", frame(fin|opClose, true, "\x03\xed"), violated, parse},
		{"48", "close with code 1006", frame(fin|opClose, true, "\x03\xee"), violated, parse},
		{"48", "close with code 65535", frame(fin|opClose, true, "\xff\xff"), violated, parse},
		{"48", "close with a reason that is not UTF-8", frame(fin|opClose, true, "\x03\xe8\xff"), invalid, parse},
		{"48", "close as it should be", frame(fin|opClose, true, "\x03\xe8bye"), normal, gone},
	}
	for _, kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			s := newSite(t)
			for _, tt := range cases {
				t.Run(tt.row+" "+tt.name, func(t *testing.T) {
					s := s.within(t)
					ws, p := s.enter(kind)
					ws.write([]byte(tt.send))
					assert.Equal(t, tt.want, ws.read())
					s.leave(ws)
					if p != nil {
						p.alive()
					} else {
						s.verify(tt.ends)
					}
				})
			}
		})
	}
}

// TestHostilePackets sends packets that are none of Engine.IO's.
func TestHostilePackets(t *testing.T) {
	const text, bin = fin | opText, fin | opBinary
	broken := thinkws.ReasonTransportError
	for _, tt := range []struct {
		row, name, kind, send, want string
		ends                        thinkws.Reason // "" if it stays
	}{
		{"54", "ping from the client", "v4", frame(text, true, "2"), violated, broken},
		{"54", "pong from the client", "v3", frame(text, true, "3"), violated, broken},
		{"54", "huge ping", "v3", frame(text, true, "2"+strings.Repeat("x", 126)), violated, thinkws.ReasonParseError},
		{"54", "huge pong", "v4", frame(text, true, "3"+strings.Repeat("x", 126)), violated, thinkws.ReasonParseError},
		{"54", "ping of 125 bytes", "v3", frame(text, true, "2"+strings.Repeat("x", 125)), "3", ""},
		{"54", "ping of WebSocket", "plain", frame(fin|opPing, true, strings.Repeat("x", 125)), "binary:" + strings.Repeat("x", 125), ""},
		{"55", "empty packet", "v4", frame(text, true, ""), violated, thinkws.ReasonParseError},
		{"55", "empty packet", "v3", frame(text, true, ""), violated, thinkws.ReasonParseError},
		{"55", "empty binary packet", "v3", frame(bin, true, ""), violated, thinkws.ReasonParseError},
		{"55", "packet of no type", "v4", frame(text, true, "7"), violated, thinkws.ReasonParseError},
		{"55", "packet of no type", "v3", frame(text, true, "x"), violated, thinkws.ReasonParseError},
		{"55", "binary packet of no type", "v3", frame(bin, true, "\x07"), violated, thinkws.ReasonParseError},
		{"22", "bad base64", "v4", frame(text, true, "b!"), violated, thinkws.ReasonParseError},
		{"22", "bad base64", "v3", frame(text, true, "b4!"), violated, thinkws.ReasonParseError},
		{"52", "probe again", "v4", frame(text, true, "5"), "", ""},
		{"CVE-2026-48779", "5,000 empty fragments", "v4", frame(opText, true, "4277[") + strings.Repeat(frame(opContinue, true, ""), 5_000) + frame(fin|opContinue, true, `"echo",1]`), "4377[1]", ""},
		{"CVE-2026-48779", "fragments of a byte", "plain", frame(opText, true, "") + fragments(`{"event":"echo","cid":"`+strings.Repeat("y", 62)+`"}`), `{"rid":"` + strings.Repeat("y", 62) + `"}`, ""},
	} {
		t.Run(tt.row+" "+tt.name+", "+tt.kind, func(t *testing.T) {
			s := newSite(t)
			ws, _ := s.enter(tt.kind)
			ws.write([]byte(tt.send))
			if tt.want != "" {
				assert.Equal(t, tt.want, ws.read())
			}
			if tt.ends == "" {
				s.alive(ws, tt.kind)
				return
			}
			s.leave(ws)
			s.verify(tt.ends)
		})
	}
}

// fragments is a text in fragments of a byte each.
func fragments(text string) string {
	var all strings.Builder
	for i := range len(text) {
		all.WriteString(frame(opContinue, true, text[i:i+1]))
	}
	return all.String() + frame(fin|opContinue, true, "")
}

// CVE-2026-48779: a message in writes of a byte each.
func TestHostileBytewise(t *testing.T) {
	s := newSite(t)
	ws, _ := s.enter("v4")
	for _, b := range maskedFrame(opText, `421["echo","slowly"]`) {
		ws.write([]byte{b})
	}
	assert.Equal(t, `431["slowly"]`, ws.read())
	s.alive(ws, "v4")
}

// CVE-2016-10542: no memory is set aside for what a frame says it will bring.
func TestHostileGiantLength(t *testing.T) {
	s := newSite(t)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for _, kind := range []string{"v4", "v3", "plain"} {
		for _, n := range []uint64{1 << 40, 1<<63 - 1, 1_000_000} {
			ws, _ := s.enter(kind)
			ws.write([]byte(giant(fin|opBinary, n)))
			if n > 1_000_000 {
				assert.Equal(t, large, ws.read())
				s.leave(ws)
				s.verify(thinkws.ReasonParseError)
				continue
			}
			require.NoError(t, ws.conn.(*net.TCPConn).CloseWrite())
			assert.Equal(t, "gone", ws.read())
			s.verify(thinkws.ReasonTransportClose)
		}
	}
	runtime.ReadMemStats(&after)
	assert.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(20<<20))
}

// CVE-2022-21676: an invalid frame right behind the handshake, in the same write.
func TestHostileFrameBehindTheHandshake(t *testing.T) {
	for _, target := range []string{io4 + "websocket&hasty", io3 + "websocket&hasty", "/ws?hasty", "sid"} {
		s := newSite(t)
		p := s.open(4, "")
		if target == "sid" {
			target = p.upgradeTarget()
		}
		conn := s.dial()
		ws := &rawWS{t: t, conn: conn, in: bufio.NewReader(conn)}
		ws.write([]byte(upgradeRequest(target, "") + frame(fin|rsv1|rsv2|opText, true, "40")))
		res, err := http.ReadResponse(ws.in, nil)
		require.NoError(t, err)
		require.Equal(t, http.StatusSwitchingProtocols, res.StatusCode)
		got := ws.read()
		for strings.HasPrefix(got, "0{") || got == "40" {
			got = ws.read()
		}
		require.Equal(t, violated, got, target)
		s.leave(ws)
		p.alive()
	}
}
