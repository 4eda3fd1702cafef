package thinkws_test

import (
	"bufio"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws"
)

// TestHostileUpgradeHeaders sends handshakes of WebSocket that are odd: to a session
// that polls, which goes on whatever the answer.
func TestHostileUpgradeHeaders(t *testing.T) {
	const violation = "400 WebSocket protocol violation: "
	const key = "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
	spaces := strings.Repeat(" ", 500_000)
	for _, tt := range []struct{ row, name, replace, by, want string }{
		{"GHSA-5v72-xg48-5rpm", "extension constructor", key, key + "Sec-WebSocket-Extensions: constructor\r\n", "101"},
		{"GHSA-5v72-xg48-5rpm", "extension __proto__", key, key + "Sec-WebSocket-Extensions: __proto__; constructor=1; =; ;,;\"\r\n", "101"},
		{"GHSA-5v72-xg48-5rpm", "deflate with junk", key, key + "Sec-WebSocket-Extensions: permessage-deflate; constructor; client_max_window_bits=99999999999\r\n", "101"},
		{"CVE-2021-32640", "protocols far apart", key, key + "Sec-WebSocket-Protocol: a" + spaces + "b\r\n", "101"},
		{"CVE-2021-32640", "extensions far apart", key, key + "Sec-WebSocket-Extensions: a;" + spaces + ";b\r\n", "101"},
		{"CVE-2024-37890", "10,000 headers", key, key + strings.Repeat("X: y\r\n", 10_000), "101"},
		{"5", "key missing", key, "", violation + "missing Sec-WebSocket-Key\n"},
		{"5", "key too short", key, "Sec-WebSocket-Key: AAAA\r\n", violation + "invalid Sec-WebSocket-Key \"AAAA\", must be a 16 byte base64 encoded string\n"},
		{"5", "two keys", key, key + key, violation + "multiple Sec-WebSocket-Key headers\n"},
		{"5", "version missing", "Sec-WebSocket-Version: 13\r\n", "", "400 unsupported WebSocket protocol version (only 13 is supported): \"\"\n"},
		{"5", "version 8", "Version: 13", "Version: 8", "400 unsupported WebSocket protocol version (only 13 is supported): \"8\"\n"},
		{"5", "another protocol", "Upgrade: websocket", "Upgrade: h2c", badRequest},
		{"5", "Connection without Upgrade", "Connection: Upgrade", "Connection: keep-alive", badRequest},
		{"5", "POST", "GET ", "POST ", "405 "},
	} {
		t.Run(tt.row+" "+tt.name, func(t *testing.T) {
			s := newSite(t, thinkws.WithLimits(thinkws.Limits{Header: 1 << 20})) // so that large ones are read
			p := s.open(4, "")
			got, header := s.exchange(strings.Replace(upgradeRequest(p.upgradeTarget(), ""), tt.replace, tt.by, 1))
			assert.Equal(t, tt.want, got)
			assert.Empty(t, header.Get("Sec-WebSocket-Extensions"))
			assert.Empty(t, header.Get("Sec-WebSocket-Protocol"))
			p.alive()
		})
	}
}

// TestHostileUpgradeSteps changes from polling to WebSocket in ways that no client does.
func TestHostileUpgradeSteps(t *testing.T) {
	for _, kind := range []string{"probe", "probe3"} {
		wire := map[string]string{"probe": "v4", "probe3": "v3"}[kind]
		for name, attack := range map[string]func(t *testing.T, s *site, ws *rawWS, p *poller){
			"50 second upgrade while the first is on": func(t *testing.T, s *site, ws *rawWS, p *poller) {
				second := upgrade(t, s.dial(), p.upgradeTarget(), "2probe", `41["echo",1]`)
				assert.Equal(t, "close 1005", second.read())
				ws.send("5")
				s.alive(ws, wire)
			},
			"50 upgrade after the upgrade": func(t *testing.T, s *site, ws *rawWS, p *poller) {
				ws.send("5")
				ws.send(`421["echo",1]`)
				ws.expect(`431[1]`)
				second := upgrade(t, s.dial(), p.upgradeTarget(), "2probe", `41["echo",1]`)
				assert.Equal(t, "close 1005", second.read())
				s.alive(ws, wire)
			},
			"50 upgrade of a session that is closing": func(t *testing.T, s *site, ws *rawWS, p *poller) {
				require.NoError(t, ws.conn.Close())
				require.Equal(t, "200 ok", p.post(`42["kick"]`))
				require.Equal(t, thinkws.ReasonServerDisconnect, <-s.reasons)
				got, _ := s.exchange(upgradeRequest(p.upgradeTarget(), ""))
				assert.Equal(t, badRequest, got)
				packets := append(p.get(), p.get()...)
				assert.Equal(t, []string{"41", "6", "1"}, packets, "the end waits to be fetched")
				s.verify()
			},
			"53 polling after the upgrade": func(t *testing.T, s *site, ws *rawWS, p *poller) {
				ws.send("5")
				ws.send(`421["echo",1]`)
				ws.expect(`431[1]`)
				assert.Equal(t, badRequest, p.post(`42["echo",1]`))
				assert.Equal(t, badRequest, p.do(http.MethodGet, ""))
				s.alive(ws, wire)
			},
			"53 polling during the upgrade": func(t *testing.T, s *site, ws *rawWS, p *poller) {
				assert.Equal(t, []string{"6"}, p.get())
				assert.Equal(t, "200 ok", p.post(`421["echo",1]`), "a POST is in time")
				ws.send("5")
				assert.Equal(t, `431[1]`, ws.read())
				s.alive(ws, wire)
			},
			"52 message before the upgrade": func(t *testing.T, s *site, ws *rawWS, p *poller) {
				ws.send(`42["kick"]`)
				assert.Equal(t, violated, ws.read())
				s.leave(ws)
				p.alive()
			},
			"52 noise before the upgrade": func(t *testing.T, s *site, ws *rawWS, p *poller) {
				require.NoError(t, ws.conn.Close())
				p.alive()
				for _, noise := range []string{frame(fin|opText, true, "2prob"), frame(fin|opText, true, "6"), frame(fin|opText, true, "1"), frame(fin|opText, true, "0"),
					frame(fin|opText, true, ""), frame(fin|opText, true, "x"), frame(fin|opBinary, true, "5"), frame(fin|opBinary, true, "2probe")} {
					ws, p := s.enter(kind)
					ws.write([]byte(noise))
					assert.Equal(t, violated, ws.read(), "%q", noise)
					s.leave(ws)
					p.alive()
				}
			},
			"52 close in place of the upgrade": func(t *testing.T, s *site, ws *rawWS, p *poller) {
				ws.write(maskedFrame(opClose, "\x03\xe8"))
				assert.Equal(t, normal, ws.read())
				p.alive()
			},
		} {
			t.Run(name+", "+kind, func(t *testing.T) {
				s := newSite(t)
				ws, p := s.enter(kind)
				attack(t, s, ws, p)
			})
		}
	}
}

// Row 50: of many upgrades at once, one is used. The others are closed.
func TestHostile50UpgradesAtOnce(t *testing.T) {
	s := newSite(t)
	p := s.open(4, "")
	const tries = 20
	answers := make(chan string, tries)
	for range tries {
		conn := s.dial()
		go func() {
			_, _ = io.WriteString(conn, upgradeRequest(p.upgradeTarget(), ""))
			in := bufio.NewReader(conn)
			if _, err := http.ReadResponse(in, nil); err != nil {
				answers <- err.Error()
				return
			}
			_, _ = conn.Write(maskedFrame(opText, "2probe"))
			frame, _ := nextFrame(in)
			answers <- frame
		}()
	}
	count := map[string]int{}
	for range tries {
		count[<-answers]++
	}
	assert.Equal(t, map[string]int{"3probe": 1, "close 1005": tries - 1}, count)
	p.alive()
}
