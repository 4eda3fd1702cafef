package thinkws_test

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const module = "github.com/seed-ce09063a/thinkws"

// mayImport is the architecture: who knows whom among our packages.
var mayImport = map[string][]string{
	"":                     {"internal/alarm", "internal/arguments", "internal/body", "internal/clientip", "internal/door", "internal/engineio", "internal/excerpt", "internal/guard", "internal/headers", "internal/jsonws", "internal/ledger", "internal/quiet", "internal/serial", "internal/session", "internal/socketio", "internal/sockjs", "internal/wsconn"},
	"internal/alarm":       {},
	"internal/bucket":      {},
	"internal/clientip":    {},
	"internal/credentials": {},
	"internal/door":        {"internal/bucket", "internal/clientip", "internal/session"},
	"internal/excerpt":     {},
	"internal/guard":       {},
	"internal/headers":     {},
	"internal/quiet":       {"internal/excerpt", "internal/guard"},
	"internal/session":     {"internal/bucket", "internal/ledger"},
	"internal/arguments":   {"internal/guard", "internal/session"},
	"internal/serial":      {"internal/guard"},
	"internal/ledger":      {},
	"internal/body":        {"internal/guard", "internal/ledger", "internal/session"},
	"internal/wsconn":      {"internal/headers", "internal/ledger", "internal/serial", "internal/session"},
	"internal/engineio":    {"internal/alarm", "internal/credentials", "internal/door", "internal/guard", "internal/headers", "internal/ledger", "internal/serial", "internal/session", "internal/wsconn"},
	"internal/socketio":    {"internal/alarm", "internal/engineio", "internal/ledger", "internal/serial", "internal/session"},
	"internal/heartbeat":   {"internal/alarm"},
	"internal/jsonevent":   {"internal/serial", "internal/session"},
	"internal/jsonws":      {"internal/alarm", "internal/door", "internal/heartbeat", "internal/jsonevent", "internal/session", "internal/wsconn"},
	"stickiness":           {"internal/clientip", "internal/guard", "internal/headers", "internal/quiet", "internal/session"},
	"redisbus":             {"", "internal/arguments", "internal/guard", "internal/quiet", "internal/session", "stickiness"},
	"internal/sockjs":      {"internal/alarm", "internal/body", "internal/credentials", "internal/door", "internal/guard", "internal/headers", "internal/jsonevent", "internal/jsonws", "internal/ledger", "internal/session"},
}

func TestImportsPointOneWay(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Imports", ".", "./internal/...", "./redisbus", "./stickiness").Output()
	require.NoError(t, err)
	seen := 0
	for decoder := json.NewDecoder(strings.NewReader(string(out))); decoder.More(); {
		var pkg struct {
			ImportPath string
			Imports    []string
		}
		require.NoError(t, decoder.Decode(&pkg))
		name := strings.TrimPrefix(strings.TrimPrefix(pkg.ImportPath, module), "/")
		allowed, known := mayImport[name]
		require.True(t, known, "package %q is not part of the architecture", name)
		seen++
		for _, imported := range pkg.Imports {
			if ours, ok := strings.CutPrefix(imported, module); ok {
				assert.Contains(t, allowed, strings.TrimPrefix(ours, "/"), "%q imports it", name)
			}
		}
	}
	assert.Equal(t, len(mayImport), seen)
}

// Only middleware.go puts protocols and hub together.
func TestOnlyMiddlewareNamesProtocols(t *testing.T) {
	protocols := []string{"engineio", "jsonws", "socketio", "sockjs", "wsconn"}
	for name, file := range parseRoot(t) {
		for _, spec := range file.Imports {
			if slices.Contains(protocols, path.Base(strings.Trim(spec.Path.Value, `"`))) {
				assert.Equal(t, "middleware.go", name)
			}
		}
	}
}

func TestPublicSurface(t *testing.T) {
	names := 0
	for _, file := range parseRoot(t) {
		for _, decl := range file.Decls {
			switch d := decl.(type) {
			case *ast.FuncDecl:
				if d.Recv == nil && d.Name.IsExported() {
					names++
				}
				if d.Name.IsExported() {
					assert.NotEmpty(t, d.Doc.Text(), d.Name.Name)
				}
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					names += exported(t, d, spec)
				}
			}
		}
	}
	assert.LessOrEqual(t, names, 112, "exported names of the package")
	t.Logf("%d exported names", names)
}

// exported counts the exported names of a declaration and checks their comments.
func exported(t *testing.T, d *ast.GenDecl, spec ast.Spec) (n int) {
	switch s := spec.(type) {
	case *ast.TypeSpec:
		if s.Name.IsExported() {
			n++
			assert.NotEmpty(t, d.Doc.Text()+s.Doc.Text(), s.Name.Name)
		}
	case *ast.ValueSpec:
		for _, name := range s.Names {
			if name.IsExported() {
				n++
				assert.NotEmpty(t, s.Doc.Text()+s.Comment.Text(), name.Name)
			}
		}
	}
	return n
}

func parseRoot(t *testing.T) map[string]*ast.File {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-f", "{{range .GoFiles}}{{.}} {{end}}", ".").Output()
	require.NoError(t, err)
	files := map[string]*ast.File{}
	for name := range strings.FieldsSeq(string(out)) {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		require.NoError(t, err)
		files[name] = file
	}
	require.NotEmpty(t, files)
	return files
}
