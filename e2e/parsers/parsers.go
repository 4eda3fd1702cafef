// Package parsers asks Node's own parsers what they make of a text, for tests that compare
// them with ours.
package parsers

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"sync"
	"testing"
)

// script is where the tests that ask find it: they are in packages two levels below the
// root.
const script = "../../e2e/parsers/parsers.js"

// Node is a process that runs parsers.js. It is safe for concurrent use.
type Node struct {
	mu  sync.Mutex // protects what follows
	in  *json.Encoder
	out *bufio.Reader
}

// Question is a text to be decoded.
type Question struct {
	Ask      string `json:"ask"` // "payload" or "packet" of Engine.IO, or "decode" of Socket.IO
	Revision int    `json:"revision"`
	Binary   bool   `json:"binary"`
	Data     []byte `json:"data"`
}

// Start starts the process. It ends with the test, which fails if there is no Node, or if
// the modules of e2e/ are not installed.
func Start(tb testing.TB) *Node {
	tb.Helper()
	cmd := exec.Command("node", script)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		tb.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		tb.Fatalf("no Node to compare with: %v; scripts/install.sh node modules installs it", err)
	}
	tb.Cleanup(func() {
		_ = stdin.Close() // which ends it
		_, _ = io.Copy(io.Discard, stdout)
		_ = cmd.Wait()
	})
	return &Node{in: json.NewEncoder(stdin), out: bufio.NewReader(stdout)}
}

// Ask puts what Node says into answer.
func (n *Node) Ask(tb testing.TB, q Question, answer any) {
	tb.Helper()
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := n.in.Encode(q); err != nil {
		tb.Fatalf("Node does not listen: %v; scripts/install.sh node modules installs what it needs", err)
	}
	line, err := n.out.ReadBytes('\n')
	if err != nil {
		tb.Fatalf("Node does not answer: %v; scripts/install.sh node modules installs what it needs", err)
	}
	if err := json.Unmarshal(line, answer); err != nil {
		tb.Fatalf("Node says %s: %v", line, err)
	}
}
