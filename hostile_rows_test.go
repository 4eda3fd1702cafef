package thinkws_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// lastRow is how many rows the catalogue of hostile input has.
const lastRow = 95

// notApplicable are the rows that have no test, and why.
var notApplicable = map[int]string{
	73: "there is no recovery of a session after its connection: a client that comes back is a new one, and what it says of an old one is its auth like any other",
}

// advisories are those of other implementations whose trigger is tried here.
var advisories = []string{
	"CVE-2017-16031", "CVE-2020-28481", "CVE-2024-38355", "CVE-2020-36048", "CVE-2022-21676", "CVE-2022-41940", "CVE-2023-31125",
	"CVE-2026-59725", "CVE-2020-36049", "CVE-2022-2421", "CVE-2023-32695", "CVE-2026-33151", "CVE-2026-69185", "CVE-2016-10542",
	"GHSA-5v72-xg48-5rpm", "CVE-2021-32640", "CVE-2024-37890", "CVE-2026-45736", "CVE-2026-48779", "CVE-2016-10518", "GHSA-pxg6-pf52-xh8x",
}

// noTrigger are the advisories that nothing on the wire can set off, and why.
var noTrigger = map[string]string{
	"CVE-2026-45736": "uninitialised memory by misuse of an API of Node's Buffer: memory of Go is never uninitialised, and the API has no counterpart",
	"CVE-2016-10518": "a ping whose payload is a number, given by the service: our pings have no payload, and nobody can give them one",
}

// defects are those seen in other servers of Go, and the tests that hold ours to it.
var defects = map[string][]string{
	"listeners before the reader starts":                    {"TestConnectRightBehindTheHandshake", "TestMessageRightBehindTheOpen"},
	"CONNECT right behind OPEN":                             {"TestConnectRightBehindTheHandshake"},
	"probe right behind the 101":                            {"TestProbeRightBehindTheHandshake", "TestProbeRightBehindTheUpgrade"},
	"who is kicked is told so, on both transports":          {"TestDefectKick"},
	"a poll that waits is answered on Close, kick, drain":   {"TestDefectKick", "TestClose", "TestCloseByTheServer", "TestShutdownWhilePolling"},
	"octet-stream by POST on revision 4":                    {"TestHostileRequest", "TestBadPosts"},
	"a chunked body over the limit":                         {"TestHostileRequest", "TestChunkedPosts"},
	"two GETs, POSTs or upgrades of one session at once":    {"TestRaceOfPolls", "TestRaceOfPosts", "TestRaceOfUpgrades", "TestHostile50UpgradesAtOnce"},
	"a storm of joins and leaves keeps membership":          {"TestMembershipStorm", "TestStress"},
	"a join after the end is refused":                       {"TestJoinLimits", "TestHostile90EmitAfterClose"},
	"an answer comes once: from client, time or the end":    {"TestDefectAnswers", "TestEmitAckOfMany", "TestHostile63AnswerTwice"},
	"goroutines after many connects, closes and questions":  {"TestDefectGoroutines", "TestIdleClientsCostOneGoroutine", "TestGoroutines"},
	"evil origins by WebSocket, XHR and SockJS":             {"TestHostileOrigin", "TestHostileSockJSOrigins", "TestOriginGateOnEveryTransport"},
	"answers about nobody have their keys":                  {"TestAnswersToOthers"},
	"broadcasts to none, two and numeric rooms, and binary": {"TestBroadcastsAsNodeWritesThem", "TestBroadcastsOfOthers", "TestBinaryForSocketIO2", "TestHostile77Rooms"},
	"a slow reader takes no more memory than its bound":     {"TestHostile47SlowReader", "TestQueueIsBoundedInBytes", "TestSlowPolicies", "TestSlowPoliciesWhilePolling"},
	"chained calls and Set are free of races":               {"TestTargetIsImmutable", "TestDefectSharedCalls", "TestStress"},
}

// catalogue is what the tests of the repository say of hostile input.
type catalogue struct {
	rows  map[int][]string // the tests of each row
	ids   map[string]bool  // the advisories that tests name
	tests map[string]bool  // the names of all tests
}

func TestEveryRowHasATest(t *testing.T) {
	c := readCatalogue(t)
	for row := 1; row <= lastRow; row++ {
		reason, exempt := notApplicable[row]
		assert.NotEqual(t, exempt, len(c.rows[row]) > 0, "row %d: %v, not applicable: %q", row, c.rows[row], reason)
	}
	for row, tests := range c.rows {
		assert.True(t, 1 <= row && row <= lastRow, "there is no row %d: %v", row, tests)
	}
	for _, id := range advisories {
		assert.NotEqual(t, noTrigger[id] != "", c.ids[id], "%s: %q", id, noTrigger[id])
	}
	for defect, tests := range defects {
		for _, name := range tests {
			assert.True(t, c.tests[name], "%s: there is no %s", defect, name)
		}
	}
}

func readCatalogue(t *testing.T) *catalogue {
	t.Helper()
	c := &catalogue{rows: map[int][]string{}, ids: map[string]bool{}, tests: map[string]bool{}}
	err := filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (entry.Name() == "node_modules" || len(path) > 1 && entry.Name()[0] == '.' || path == "build"):
			return fs.SkipDir
		case strings.HasSuffix(path, "_test.go"):
			return c.readFile(path)
		}
		return nil
	})
	require.NoError(t, err)
	return c
}

func (c *catalogue) readFile(path string) error {
	source, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	file, err := parser.ParseFile(token.NewFileSet(), path, source, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	for _, decl := range file.Decls {
		fn, ok := decl.(*ast.FuncDecl)
		if !ok || fn.Recv != nil || !strings.HasPrefix(fn.Name.Name, "Test") {
			continue
		}
		c.tests[fn.Name.Name] = true
		if strings.HasPrefix(fn.Name.Name, "TestHostile") {
			c.readTest(fn)
		}
	}
	return nil
}

var (
	inName    = regexp.MustCompile(`^TestHostile(\d+)(?:And(\d+))?[A-Z]`)
	inSubtest = regexp.MustCompile(`^(\d{1,2}) [A-Za-z]`)
	inTable   = regexp.MustCompile(`^(\d{1,2})(?:, [A-Z]+-[\w-]+)?$`)
	anID      = regexp.MustCompile(`(?:CVE|GHSA)-[\w-]+`)
)

// readTest finds rows in the name of a test, in those of its subtests, and in tables: what
// comes first in a line, is the field row, or the first argument of a function that makes
// a line.
func (c *catalogue) readTest(fn *ast.FuncDecl) {
	name := fn.Name.Name
	c.add(name, inName.FindStringSubmatch(name))
	for _, id := range anID.FindAllString(fn.Doc.Text(), -1) {
		c.ids[id] = true
	}
	ast.Inspect(fn, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CompositeLit:
			if n.Type == nil && len(n.Elts) > 2 { // of a struct
				c.add(name, inTable.FindStringSubmatch(text(n.Elts[0])))
			}
		case *ast.KeyValueExpr:
			if key, ok := n.Key.(*ast.Ident); ok && key.Name == "row" {
				c.add(name, inTable.FindStringSubmatch(text(n.Value)))
			}
		case *ast.CallExpr:
			if _, ok := n.Fun.(*ast.Ident); ok && len(n.Args) > 2 {
				c.add(name, inTable.FindStringSubmatch(text(n.Args[0])))
			}
		case *ast.BasicLit:
			c.add(name, inSubtest.FindStringSubmatch(text(n)))
			for _, id := range anID.FindAllString(text(n), -1) {
				c.ids[id] = true
			}
		}
		return true
	})
}

func (c *catalogue) add(test string, match []string) {
	for _, number := range match[min(1, len(match)):] {
		if row, err := strconv.Atoi(number); err == nil {
			c.rows[row] = append(c.rows[row], test)
		}
	}
}

// text is what a string is in the source, "" if it is none.
func text(e ast.Expr) string {
	lit, ok := e.(*ast.BasicLit)
	if !ok || lit.Kind != token.STRING {
		return ""
	}
	s, _ := strconv.Unquote(lit.Value)
	return s
}
