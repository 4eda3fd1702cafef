package stickiness_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"
)

// poller is a client of Socket.IO 4 that polls, each request through whatever pick says.
// Its methods may run on any goroutine.
type poller struct {
	http   *http.Client
	pick   func() string
	sid    string
	header http.Header // of the last answer
	extra  http.Header // of each request
	asked  int
}

const io4 = "/socket.io/?EIO=4&transport=polling"

// request returns status and body, separated by a blank.
func (p *poller) request(method, target, body string) (string, error) {
	req, err := http.NewRequest(method, p.pick()+target, strings.NewReader(body))
	if err != nil {
		return "", err
	}
	maps.Copy(req.Header, p.extra)
	res, err := p.http.Do(req)
	if err != nil {
		return "", err
	}
	defer func() { _ = res.Body.Close() }()
	p.header = res.Header
	text, err := io.ReadAll(res.Body)
	return fmt.Sprint(res.StatusCode, " ", string(text)), err
}

func (p *poller) target() string { return io4 + "&sid=" + p.sid }

// open does the handshake and enters "/".
func (p *poller) open() error {
	answer, err := p.request(http.MethodGet, io4, "")
	if err != nil {
		return err
	}
	var open struct{ SID string }
	text, ok := strings.CutPrefix(answer, "200 0")
	if !ok {
		return errors.New("handshake: " + answer)
	}
	if err := json.Unmarshal([]byte(text), &open); err != nil {
		return err
	}
	p.sid = open.SID
	if err := p.post("40"); err != nil {
		return err
	}
	answer, err = p.request(http.MethodGet, p.target(), "")
	if err == nil && !strings.HasPrefix(answer, "200 40{") {
		err = errors.New("enter: " + answer)
	}
	return err
}

func (p *poller) post(body string) error {
	answer, err := p.request(http.MethodPost, p.target(), body)
	if err == nil && answer != "200 ok" {
		err = errors.New("POST: " + answer)
	}
	return err
}

// echo asks the server something and returns the node that has answered.
func (p *poller) echo() (node string, err error) {
	p.asked++
	if err := p.post(fmt.Sprintf(`42%d["echo",%d]`, p.asked, p.asked)); err != nil {
		return "", err
	}
	answer, err := p.poll()
	if err != nil {
		return "", err
	}
	var values []any
	text, ok := strings.CutPrefix(answer, fmt.Sprintf("200 43%d", p.asked))
	if !ok || json.Unmarshal([]byte(text), &values) != nil || len(values) != 2 || values[1] != float64(p.asked) {
		return "", errors.New("poll: " + answer)
	}
	node, _ = values[0].(string)
	return node, nil
}

// poll polls until something else than a ping comes, and answers pings. On a busy machine a test takes longer than the
// ping interval.
func (p *poller) poll() (string, error) {
	for {
		answer, err := p.request(http.MethodGet, p.target(), "")
		text, ok := strings.CutPrefix(answer, "200 ")
		if err != nil || !ok {
			return answer, err
		}
		packets := strings.Split(text, "\x1e")
		others := slices.DeleteFunc(slices.Clone(packets), func(packet string) bool { return packet == "2" })
		if len(others) < len(packets) {
			if err := p.post("3"); err != nil {
				return "", err
			}
		}
		if len(others) > 0 {
			return "200 " + strings.Join(others, "\x1e"), nil
		}
	}
}

// live opens a session and polls it times often.
func (p *poller) live(times int) error {
	if err := p.open(); err != nil {
		return err
	}
	for range times {
		if _, err := p.echo(); err != nil {
			return err
		}
	}
	return nil
}

// upgrade changes to WebSocket and asks there.
func (p *poller) upgrade(t testing.TB) (*websocket.Conn, error) {
	conn, res, err := websocket.Dial(t.Context(), p.pick()+"/socket.io/?EIO=4&transport=websocket&sid="+p.sid, nil)
	if err != nil {
		return nil, err
	}
	if res.Body != nil {
		_ = res.Body.Close()
	}
	steps := []struct{ say, hear string }{{"2probe", "3probe"}, {"5", ""}, {`4299["echo",7]`, `4399[`}}
	for _, step := range steps {
		if err := conn.Write(t.Context(), websocket.MessageText, []byte(step.say)); err != nil {
			return nil, err
		}
		if step.hear == "" {
			continue
		}
		_, got, err := conn.Read(t.Context())
		if err != nil {
			return nil, err
		}
		if !strings.HasPrefix(string(got), step.hear) {
			return nil, fmt.Errorf("%q, not %q", got, step.hear)
		}
	}
	return conn, nil
}

// sock is a client of SockJS over xhr-polling, each request through whatever pick says.
type sock struct {
	poller
	path  string // server and session
	asked int
}

func newSock(client *http.Client, pick func() string, id string) *sock {
	return &sock{poller: poller{http: client, pick: pick}, path: "/sockjs/000/" + id}
}

func (s *sock) open() error {
	answer, err := s.request(http.MethodPost, s.path+"/xhr", "")
	if err == nil && answer != "200 o\n" {
		err = errors.New("open: " + answer)
	}
	return err
}

func (s *sock) echo() (node string, err error) {
	s.asked++
	text, _ := json.Marshal([]string{fmt.Sprintf(`{"event":"echo","data":%d,"cid":%d}`, s.asked, s.asked)})
	answer, err := s.request(http.MethodPost, s.path+"/xhr_send", string(text))
	if err == nil && answer != "204 " {
		err = errors.New("send: " + answer)
	}
	if err != nil {
		return "", err
	}
	answer = "200 h\n"
	for err == nil && answer == "200 h\n" { // heartbeats
		answer, err = s.request(http.MethodPost, s.path+"/xhr", "")
	}
	if err != nil {
		return "", err
	}
	var frames []string
	var frame struct {
		RID  int
		Data []any
	}
	body, ok := strings.CutPrefix(answer, "200 a")
	if !ok || json.Unmarshal([]byte(body), &frames) != nil || len(frames) != 1 ||
		json.Unmarshal([]byte(frames[0]), &frame) != nil || frame.RID != s.asked || len(frame.Data) != 2 {
		return "", errors.New("poll: " + answer)
	}
	node, _ = frame.Data[0].(string)
	return node, nil
}

func (s *sock) live(times int) error {
	if err := s.open(); err != nil {
		return err
	}
	for range times {
		if _, err := s.echo(); err != nil {
			return err
		}
	}
	return nil
}

// survivors runs n clients, some at a time, and returns how many of them did well.
func survivors(t *testing.T, n int, live func(i int) error) int {
	t.Helper()
	errs := make(chan error, n)
	places := make(chan struct{}, 16)
	for i := range n {
		go func() {
			places <- struct{}{}
			errs <- live(i)
			<-places
		}()
	}
	well := n
	for range n {
		if err := <-errs; err != nil {
			if well == n {
				t.Log("the first that failed: ", err)
			}
			well--
		}
	}
	require.Equal(t, n, well, "sessions that survive")
	return well
}
