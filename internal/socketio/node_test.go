//go:build node

package socketio_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws/e2e/parsers"
	"github.com/seed-ce09063a/thinkws/internal/socketio"
)

// nodePacket is what Node makes of a packet, with attachments that are the bytes of their
// numbers. Data is JSON in which they are {"attachment": base64}.
type nodePacket struct {
	Failed    bool
	Why       string
	Type      int
	Namespace string
	ID        string
	Name      string
	Data      string
}

// FuzzNodeDecode compares what we and Node make of a packet and its attachments.
func FuzzNodeDecode(f *testing.F) {
	add := func(text string) {
		f.Add([]byte(text[:min(len(text), 2000)]), false)
		f.Add([]byte(text[:min(len(text), 2000)]), true)
	}
	for _, test := range goodPackets {
		add(test.text)
	}
	for _, text := range badPackets {
		add(text)
	}
	for _, test := range binaryPackets {
		add(test.text)
	}
	for _, text := range badPlaceholders {
		add(text)
	}
	for _, test := range strict {
		add(test.text)
	}
	node := parsers.Start(f)
	f.Fuzz(func(t *testing.T, text []byte, revision3 bool) {
		if !utf8.Valid(text) {
			return // neither package engineio nor package wsconn lets any through
		}
		revision := 4
		if revision3 {
			revision = 3
		}
		got, value, err := decodeWhole(revision, text)
		var want nodePacket
		node.Ask(t, parsers.Question{Ask: "decode", Revision: revision, Data: text}, &want)
		switch {
		case err != nil && want.Failed:
		case err != nil:
			require.NotEmpty(t, deliberate(string(text), revision3, want), "%q: we say %v, and Node makes of it %+v", text, err, want)
		case resembles(value) && got.Attachments > 0:
			// What only resembles a placeholder is data to us. Node puts an attachment in
			// its place, or refuses it.
		default:
			require.False(t, want.Failed, "%q: we make of it %+v, and Node says %s", text, got, want.Why)
			require.Equal(t, want.Type, got.Kind, "%q", text)
			require.Equal(t, want.ID, got.ID, "%q", text)
			require.Equal(t, want.Name, got.Name, "%q", text)
			namespace, query := want.Namespace, ""
			if revision3 {
				namespace, query, _ = strings.Cut(namespace, "?")
			}
			require.Equal(t, namespace, got.Namespace, "%q", text)
			require.Equal(t, query, got.Query, "%q", text)
			require.Equal(t, plain(t, want.Data), value, "%q", text)
		}
	})
}

// What Node takes and we do not: one example for each reason, and the revisions it is of.
var strict = []struct {
	text      string
	revisions []int
}{
	{``, []int{3, 4}}, {` `, []int{3, 4}}, // no text, and white space, are the number 0 in JavaScript
	{`501-["e",{"_placeholder":true,"num":0}]`, []int{3, 4}}, {`51.0-["e",{"_placeholder":true,"num":0}]`, []int{3, 4}}, {`50x1-["e",{"_placeholder":true,"num":0}]`, []int{3, 4}},
	{`0/` + strings.Repeat("x", 256), []int{3, 4}}, {"0/a\x1eb,", []int{3, 4}},
	{`2 ["e"]`, []int{3, 4}}, {"31\u00a0[]", []int{3, 4}},
	{`29007199254740992["e"]`, []int{3, 4}}, {`200000000000000001["e"]`, []int{3, 4}},
	{`01{}`, []int{3, 4}}, {`12`, []int{3, 4}},
	{`4"x"`, []int{3, 4}}, {`4{"message":"x"}`, []int{3, 4}},
	{`2`, []int{3, 4}}, {`3/a`, []int{3, 4}}, {`21`, []int{3, 4}},
	{`0[]`, []int{3}}, {`0null`, []int{3}}, {`2["connect"]`, []int{3}}, {`51-["\u0063onnect",{"_placeholder":true,"num":0}]`, []int{3}},
	{`2[1e400]`, []int{3, 4}},
	{`2["e",` + strings.Repeat("[", 512) + strings.Repeat("]", 512) + `]`, []int{3, 4}},
	{`2["e",` + strings.Repeat("1", 1025) + `]`, []int{3, 4}},
	{`51-["e"]`, []int{3, 4}}, {`51-["e",{"_placeholder":true,"num":0},{"_placeholder":true,"num":0}]`, []int{3, 4}},
	{`51-["e",{"_placeholder":true,"num":0,"x":1}]`, []int{3, 4}}, {`51-["e",{"\u005fplaceholder":true,"num":0}]`, []int{3, 4}}, {`51-["e",{"_placeholder":true,"num":0.0}]`, []int{3, 4}},
}

func TestNodeTakesMore(t *testing.T) {
	node := parsers.Start(t)
	for _, test := range strict {
		for _, revision := range test.revisions {
			_, _, err := decodeWhole(revision, []byte(test.text))
			require.Error(t, err, "%q", test.text)
			var want nodePacket
			node.Ask(t, parsers.Question{Ask: "decode", Revision: revision, Data: []byte(test.text)}, &want)
			require.False(t, want.Failed, "%q: %s", test.text, want.Why)
			require.NotEmpty(t, deliberate(test.text, revision == 3, want), "%q", test.text)
		}
	}
}

// decodeWhole returns a packet, and the JSON value that it carries.
func decodeWhole(revision int, text []byte) (p socketio.Packet, value any, err error) {
	p, err = socketio.Decode(revision, bytes.Clone(text))
	if err != nil || p.Kind < event {
		return p, plain(nil, p.Auth), err
	}
	m, err := socketio.Assemble(revision, bytes.Clone(text), func(i int) []byte { return []byte{byte(i)} })
	if err != nil {
		return p, nil, err
	}
	args := m.Args.AppendJSON([]byte("["), func(dst []byte, _ int, data []byte) []byte {
		return fmt.Appendf(dst, `{"attachment":%q}`, base64.StdEncoding.EncodeToString(data))
	})
	return p, plain(nil, string(args)+"]"), nil
}

// plain is what a JSON text says, nil for no text. As in JavaScript, numbers are floating
// point, and those beyond all bounds are written as null.
func plain(t *testing.T, text string) any {
	if text == "" {
		return nil
	}
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		if t == nil {
			panic(fmt.Sprintf("we let through %q: %v", text, err))
		}
		require.NoError(t, err, "of Node")
	}
	return rounded(v)
}

func rounded(v any) any {
	switch v := v.(type) {
	case json.Number:
		if n, err := strconv.ParseFloat(string(v), 64); err == nil {
			return n
		}
		return nil
	case []any:
		for i := range v {
			v[i] = rounded(v[i])
		}
	case map[string]any:
		for key := range v {
			v[key] = rounded(v[key])
		}
	}
	return v
}

// resembles reports whether there is an object in v that Node takes for a placeholder.
func resembles(v any) bool {
	switch v := v.(type) {
	case []any:
		return slices.ContainsFunc(v, resembles)
	case map[string]any:
		return v["_placeholder"] == true || slices.ContainsFunc(slices.Collect(maps.Values(v)), resembles)
	}
	return false
}

// Parts of packets, as Node sees them.
var (
	countPart   = regexp.MustCompile(`^[1-9][0-9]{0,3}$`)
	idPart      = regexp.MustCompile(`^[0-9\s\v\p{Z}\x{feff}]*`)
	numberPart  = regexp.MustCompile(`[0-9.eE+-]{1000}[0-9.eE+-]{25}`)
	placeholder = regexp.MustCompile(`\{\s*(?:"_placeholder"\s*:\s*true\s*,\s*"num"\s*:\s*(?:0|[1-9][0-9]*)|"num"\s*:\s*(?:0|[1-9][0-9]*)\s*,\s*"_placeholder"\s*:\s*true)\s*\}`)
	reserved    = regexp.MustCompile(`^(connect|connect_error|disconnect|disconnecting|newListener|removeListener)$`)
)

// deliberate is why we refuse a packet that Node takes, "" if there is no reason.
func deliberate(text string, revision3 bool, node nodePacket) string {
	if text == "" || text[0] < '0' || text[0] > '6' {
		return "no text, and white space, are the number 0 in JavaScript, and so CONNECT"
	}
	kind, text := text[0], text[1:]
	attachments := 0
	if kind >= '5' {
		count, rest, _ := strings.Cut(text, "-")
		if !countPart.MatchString(count) {
			return "Node takes any number for that of the attachments: 01, 1.0, 1e0, 0x1"
		}
		attachments, _ = strconv.Atoi(count)
		text = rest
	}
	if strings.HasPrefix(text, "/") {
		namespace, rest, _ := strings.Cut(text, ",")
		if revision3 {
			namespace, _, _ = strings.Cut(namespace, "?")
		}
		if len(namespace) > 256 || strings.ContainsFunc(namespace, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			return "a namespace has 256 bytes at most, and no control characters"
		}
		text = rest
	}
	id := idPart.FindString(text)
	text = text[len(id):]
	n, err := strconv.ParseUint(id, 10, 64)
	switch {
	case strings.Trim(id, "0123456789") != "":
		return "Node reads white space as part of an ack id"
	case id != "" && (len(id) > 16 || err != nil || n > 1<<53-1):
		return "an ack id counts exactly in JavaScript, and has 16 digits at most"
	case id != "" && kind < '2':
		return "CONNECT and DISCONNECT have no ack id"
	case kind == '4':
		return "clients send no CONNECT_ERROR"
	case text == "" && kind >= '2':
		return "an event has a name, and an answer its values"
	case kind == '0' && revision3 && text[0] != '{':
		return "CONNECT carries an object; the parser of 2.x takes an array or null for one"
	case kind%3 == 2 && revision3 && reserved.MatchString(node.Name): // '2' and '5'
		return "reserved names are refused; the parser of 2.x takes them"
	case kind%3 == 2 && strings.Contains(node.Name, "Infinity"):
		return "the name of an event is a string or a number, and Infinity is none"
	case depth(text) > 512:
		return "JSON is nested 512 deep at most"
	case numberPart.MatchString(text):
		return "a number has 1,024 bytes at most"
	case attachments > 0 && !eachOnce(text, attachments, node.Data):
		return "there is one placeholder for each attachment, as encoders write it"
	}
	return ""
}

// depth is how deep the brackets of valid JSON are nested, those in strings counted too.
func depth(text string) (most int) {
	now := 0
	for _, c := range text {
		switch c {
		case '[', '{':
			now++
			most = max(most, now)
		case ']', '}':
			now--
		}
	}
	return most
}

// eachOnce reports whether there is just what encoders write for n attachments, and Node has
// put each of them in one place.
func eachOnce(text string, n int, data string) bool {
	found := placeholder.FindAllString(text, -1)
	for _, one := range found {
		if len(one) > 96 {
			return false
		}
	}
	for i := range n {
		if strings.Count(data, fmt.Sprintf(`{"attachment":%q}`, base64.StdEncoding.EncodeToString([]byte{byte(i)}))) != 1 {
			return false
		}
	}
	return len(found) == n
}
