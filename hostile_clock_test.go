package thinkws_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// wallClock is where the time of day is used, and for what. It may be set at any time,
// forwards and backwards, and measures nothing.
var wallClock = map[string]string{
	"internal/sockjs/header.go": "the header Expires",
	"redisbus/state.go":         "none: a duration is rounded for the log",
	"redisbus/unpack.go":        "times that other nodes have sent as arguments",
	"stickiness/dispatcher.go":  "none: an address is parsed",
	"stickiness/hop.go":         "the date of a request to another machine, which has a clock of its own; a minute is allowed for",
	"stickiness/forward.go":     "the beginning of a key that tells requests apart",
}

// Row 95: when the clock of the machine is set, or the machine sleeps, nothing is late or
// early but what it slept through. Go's times have both clocks and are subtracted by the one
// that is not set, unless they have lost it: what takes it from them must not be here.
func TestHostile95Clock(t *testing.T) {
	loses := map[string]bool{"Round": true, "Truncate": true, "UTC": true, "Local": true, "In": true, "Unix": true, "UnixMilli": true, "UnixMicro": true,
		"UnixNano": true, "AddDate": true, "Date": true, "Parse": true, "GobEncode": true, "MarshalJSON": false}
	used := map[string]bool{}
	for _, root := range []string{".", "internal", "redisbus", "stickiness"} {
		err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || path == root {
				return err
			}
			if entry.IsDir() {
				if root == "." {
					return fs.SkipDir
				}
				return nil
			}
			if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return nil
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
			if err != nil || !importsTime(file) {
				return err
			}
			ast.Inspect(file, func(n ast.Node) bool {
				call, ok := n.(*ast.CallExpr)
				if !ok {
					return true
				}
				if selector, ok := call.Fun.(*ast.SelectorExpr); ok && loses[selector.Sel.Name] && !isLongAgo(call) {
					used[path] = true
					assert.NotEmpty(t, wallClock[path], "%s uses %s", path, selector.Sel.Name)
				}
				return true
			})
			return nil
		})
		require.NoError(t, err)
	}
	for path := range wallClock {
		assert.True(t, used[path], "%s does not use it any more", path)
	}
}

func importsTime(file *ast.File) bool {
	for _, spec := range file.Imports {
		if spec.Path.Value == `"time"` {
			return true
		}
	}
	return false
}

// isLongAgo reports whether call is time.Unix(1, 0), a deadline that has passed.
func isLongAgo(call *ast.CallExpr) bool {
	if len(call.Args) != 2 {
		return false
	}
	seconds, ok := call.Args[0].(*ast.BasicLit)
	return ok && seconds.Value == "1"
}
