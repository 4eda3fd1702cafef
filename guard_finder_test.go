package thinkws_test

import (
	"encoding/json"
	"fmt"
	"go/importer"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// exposed finds everything exported by which code of a service gets into ours: parameters,
// fields, and methods of interfaces that have a func or an interface in their type, and types
// that are one. Type parameters count as interfaces, since values of theirs have methods.
func exposed(t *testing.T) map[string]bool {
	t.Helper()
	f := &finder{found: map[string]bool{}}
	scope := importRoot(t).Scope()
	for _, name := range scope.Names() {
		switch object := scope.Lookup(name); {
		case !object.Exported():
		case isFunc(object):
			f.signature(name, object.Type().(*types.Signature))
		default:
			if named, ok := object.(*types.TypeName); ok {
				f.typeName(name, named)
			}
		}
	}
	return f.found
}

func isFunc(object types.Object) bool { _, ok := object.(*types.Func); return ok }

// importRoot returns the root package as the compiler sees it.
func importRoot(t *testing.T) *types.Package {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-export", "-deps", "-json=ImportPath,Export", ".").Output()
	require.NoError(t, err)
	files := map[string]string{}
	for decoder := json.NewDecoder(strings.NewReader(string(out))); decoder.More(); {
		var pkg struct{ ImportPath, Export string }
		require.NoError(t, decoder.Decode(&pkg))
		files[pkg.ImportPath] = pkg.Export
	}
	root, err := importer.ForCompiler(token.NewFileSet(), "gc", func(path string) (io.ReadCloser, error) {
		return os.Open(files[path])
	}).Import(module)
	require.NoError(t, err)
	return root
}

type finder struct{ found map[string]bool }

func (f *finder) signature(name string, s *types.Signature) {
	for p := range s.Params().Variables() {
		if foreign(p.Type(), map[types.Type]bool{}) {
			f.found[fmt.Sprintf("%s(%s)", name, p.Name())] = true
		}
	}
	for p := range s.TypeParams().TypeParams() {
		f.found[fmt.Sprintf("%s[%s]", name, p.Obj().Name())] = true
	}
}

func (f *finder) typeName(name string, object *types.TypeName) {
	for m := range methods(object.Type()) {
		if m.Exported() {
			f.signature(name+"."+m.Name(), m.Type().(*types.Signature))
		}
	}
	switch under := object.Type().Underlying().(type) {
	case *types.Struct:
		for field := range under.Fields() {
			if field.Exported() && foreign(field.Type(), map[types.Type]bool{}) {
				f.found[name+"."+field.Name()] = true
			}
		}
	case *types.Interface:
		for m := range under.Methods() { // that a service may implement
			f.found[name+"."+m.Name()] = true
		}
	default:
		if foreign(object.Type(), map[types.Type]bool{}) {
			f.found[name] = true
		}
	}
}

// methods iterates over the methods of t and of *t.
func methods(t types.Type) func(func(*types.Func) bool) {
	return func(yield func(*types.Func) bool) {
		set := types.NewMethodSet(types.NewPointer(t))
		if types.IsInterface(t) {
			set = types.NewMethodSet(t)
		}
		for selection := range set.Methods() {
			if !yield(selection.Obj().(*types.Func)) {
				return
			}
		}
	}
}

// foreign reports whether a value of type t may bring code of the service. Structs of ours do
// not: the service cannot make them, or their fields are looked at one by one.
func foreign(t types.Type, seen map[types.Type]bool) bool {
	t = types.Unalias(t)
	if seen[t] {
		return false
	}
	seen[t] = true
	switch t := t.(type) {
	case *types.Named:
		_, isStruct := t.Underlying().(*types.Struct)
		if pkg := t.Obj().Pkg(); isStruct && pkg != nil && strings.HasPrefix(pkg.Path(), module) {
			return false
		}
		return foreign(t.Underlying(), seen)
	case *types.Signature, *types.Interface, *types.TypeParam:
		return true
	case *types.Map:
		return foreign(t.Key(), seen) || foreign(t.Elem(), seen)
	case interface{ Elem() types.Type }: // pointers, slices, arrays and channels
		return foreign(t.Elem(), seen)
	case *types.Struct:
		for field := range t.Fields() {
			if foreign(field.Type(), seen) {
				return true
			}
		}
	}
	return false
}
