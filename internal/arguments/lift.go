package arguments

import (
	"encoding"
	"encoding/json"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// traits describe the values that a type may hold, at any depth.
type traits struct {
	binary  bool // a []byte that encoding/json would write as base64
	foreign bool // JSON text that encoding/json takes over as it is, from a json.Marshaler
}

func (t traits) or(other traits) traits {
	return traits{binary: t.binary || other.binary, foreign: t.foreign || other.foreign}
}

// traitsOf returns the traits of t, which is found inside of the types above.
func (e *Encoder) traitsOf(t reflect.Type, above []reflect.Type) traits {
	if known, ok := e.types.Load(t); ok {
		return known.(traits)
	}
	if slices.Contains(above, t) {
		return traits{} // a recursive type: the other branches decide
	}
	found := e.examine(t, append(above, t))
	if len(above) == 0 {
		e.types.Store(t, found)
	}
	return found
}

// examine is traitsOf for a type that is not known. Types that marshal themselves hold no binary.
func (e *Encoder) examine(t reflect.Type, above []reflect.Type) (found traits) {
	if implements[json.Marshaler](t) {
		return traits{foreign: true}
	}
	if implements[encoding.TextMarshaler](t) { // whose strings encoding/json checks, where it can call the method
		return traits{foreign: !t.Implements(reflect.TypeFor[encoding.TextMarshaler]())}
	}
	switch t.Kind() {
	case reflect.Interface:
		return traits{binary: true, foreign: true}
	case reflect.Slice:
		if isBytes(t) {
			return traits{binary: true}
		}
		return e.traitsOf(t.Elem(), above)
	case reflect.Pointer, reflect.Array, reflect.Map:
		return e.traitsOf(t.Elem(), above)
	case reflect.Struct:
		for f := range t.Fields() {
			if encoded(f) {
				found = found.or(e.traitsOf(f.Type, above))
			}
		}
	}
	return found
}

// encoded reports whether encoding/json looks at the field.
func encoded(f reflect.StructField) bool {
	return (f.IsExported() || f.Anonymous) && f.Tag.Get("json") != "-"
}

func isBytes(t reflect.Type) bool {
	return t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Uint8 && !marshalsItself(t.Elem())
}

func marshalsItself(t reflect.Type) bool {
	return implements[json.Marshaler](t) || implements[encoding.TextMarshaler](t)
}

// implements reports whether t, or a pointer to it, implements the interface I.
func implements[I any](t reflect.Type) bool {
	if t.Kind() != reflect.Interface && t.Kind() != reflect.Pointer {
		t = reflect.PointerTo(t)
	}
	return t.Implements(reflect.TypeFor[I]())
}

// lifter copies a value as far as it holds binary, with a marker in place of each
// []byte. It serves one value.
type lifter struct {
	encoder *Encoder
	found   [][]byte
}

// marker is what encoding/json sees in place of a []byte.
type marker struct{ text string }

// MarshalJSON returns the mark.
func (m marker) MarshalJSON() ([]byte, error) { return []byte(m.text), nil }

// maxLift is how deep binary is looked for. Cycles end here and are left to
// encoding/json, which reports them.
const maxLift = 100

// lift returns a value that marshals like v but for the markers, and whether it
// differs from v.
func (l *lifter) lift(v reflect.Value, depth int) (any, bool) {
	if depth > maxLift || !v.IsValid() || !l.encoder.traitsOf(v.Type(), nil).binary {
		return nil, false
	}
	switch v.Kind() {
	case reflect.Interface, reflect.Pointer:
		return l.lift(v.Elem(), depth+1)
	case reflect.Slice:
		if isBytes(v.Type()) {
			return l.mark(v)
		}
		return l.liftList(v, depth)
	case reflect.Array:
		return l.liftList(v, depth)
	case reflect.Map:
		return l.liftMap(v, depth)
	case reflect.Struct:
		copied, changed := l.copyStruct(v, depth)
		if v.CanAddr() { // then encoding/json would call methods with pointer receivers
			copied = copied.Addr()
		}
		return copied.Interface(), changed
	}
	return nil, false
}

func (l *lifter) mark(v reflect.Value) (any, bool) {
	if v.IsNil() {
		return nil, false
	}
	l.found = append(l.found, v.Bytes())
	return marker{l.encoder.mark + strconv.Itoa(len(l.found)-1) + `"`}, true
}

func (l *lifter) liftList(v reflect.Value, depth int) (any, bool) {
	list, any1 := make([]any, v.Len()), false
	for i := range list {
		lifted, changed := l.lift(v.Index(i), depth+1)
		if !changed {
			lifted = original(v.Index(i))
		}
		list[i], any1 = lifted, any1 || changed
	}
	return list, any1
}

func (l *lifter) liftMap(v reflect.Value, depth int) (any, bool) {
	copied := reflect.MakeMapWithSize(reflect.MapOf(v.Type().Key(), reflect.TypeFor[any]()), v.Len())
	any1 := false
	for entries := v.MapRange(); entries.Next(); {
		lifted, changed := l.lift(entries.Value(), depth+1)
		if !changed {
			lifted = original(entries.Value())
		}
		value := reflect.New(reflect.TypeFor[any]()).Elem()
		if lifted != nil {
			value.Set(reflect.ValueOf(lifted))
		}
		copied.SetMapIndex(entries.Key(), value)
		any1 = any1 || changed
	}
	return copied.Interface(), any1
}

// copyStruct copies v into a struct type made for it: the same names and tags, but
// the fields that hold binary are of type any. So encoding/json goes on to decide
// what every tag means. Embedded structs are copied in any case, since a named type
// with methods cannot be embedded in a made one.
func (l *lifter) copyStruct(v reflect.Value, depth int) (_ reflect.Value, changed bool) {
	var fields []reflect.StructField
	var values []reflect.Value
	for i := range v.NumField() {
		f := v.Type().Field(i)
		value, lifted, ok := l.field(f, v.Field(i), depth)
		if !ok {
			continue
		}
		if embeds(f) {
			f.Name = "Embedded" + strconv.Itoa(i) + f.Name // exported and unique; it does not show in JSON
		}
		fields = append(fields, reflect.StructField{Name: f.Name, Type: value.Type(), Tag: f.Tag, Anonymous: embeds(f)})
		values = append(values, value)
		changed = changed || lifted
	}
	copied := reflect.New(reflect.StructOf(fields)).Elem()
	for i, value := range values {
		copied.Field(i).Set(value)
	}
	return copied, changed
}

// field returns the value for one field of the copy; not ok means that encoding/json
// leaves the field out.
func (l *lifter) field(f reflect.StructField, v reflect.Value, depth int) (_ reflect.Value, changed, ok bool) {
	if !encoded(f) || depth > maxLift {
		return v, false, false
	}
	if embeds(f) {
		if v.Kind() == reflect.Pointer {
			if v.IsNil() {
				return v, false, false
			}
			v = v.Elem()
		}
		v, changed = l.copyStruct(v, depth+1)
		return v, changed, true
	}
	if isBytes(f.Type) && v.Len() == 0 && strings.Contains(f.Tag.Get("json"), ",omitempty") {
		return v, false, f.IsExported()
	}
	lifted, changed := l.lift(v, depth+1)
	if !changed {
		return v, false, f.IsExported()
	}
	value := reflect.New(reflect.TypeFor[any]()).Elem()
	value.Set(reflect.ValueOf(lifted))
	return value, true, true
}

// embeds reports whether encoding/json lifts the field's own fields one level up.
func embeds(f reflect.StructField) bool {
	if !f.Anonymous {
		return false
	}
	t := f.Type
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	return t.Kind() == reflect.Struct && name == ""
}

// original is v as encoding/json would find it in place: by pointer where that
// lets it call methods with pointer receivers.
func original(v reflect.Value) any {
	if v.CanAddr() && v.Kind() != reflect.Pointer && v.Kind() != reflect.Interface {
		return v.Addr().Interface()
	}
	return v.Interface()
}
