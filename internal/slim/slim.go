// Package slim has what gives memory back when a crowd has left: maps of Go keep the room that
// they once needed, and so do slices.
package slim

import (
	"iter"
	"maps"
	"slices"
)

// Nothing gives memory back that once held few, or still holds a good part.
const (
	few  = 128
	part = 8
)

// Map is a map. The zero value is empty and ready.
type Map[K comparable, V any] struct {
	entries map[K]V
	most    int // entries since they were moved
}

// Len returns how many entries there are.
func (m *Map[K, V]) Len() int { return len(m.entries) }

// Get returns the value of k, the zero value if there is none.
func (m *Map[K, V]) Get(k K) V { return m.entries[k] }

// All returns the entries in no order. Those that have been returned may be deleted meanwhile.
func (m *Map[K, V]) All() iter.Seq2[K, V] { return maps.All(m.entries) }

// Set sets the value of k.
func (m *Map[K, V]) Set(k K, v V) {
	if m.entries == nil {
		m.entries = make(map[K]V)
	}
	m.entries[k] = v
	m.most = max(m.most, len(m.entries))
}

// Delete deletes the entry of k, if there is one. What it costs on average does not depend on how
// many there are.
func (m *Map[K, V]) Delete(k K) {
	delete(m.entries, k)
	if m.most < few || len(m.entries) > m.most/part {
		return
	}
	rest := make(map[K]V, len(m.entries))
	maps.Copy(rest, m.entries)
	m.entries, m.most = rest, len(rest)
}

// Slice returns s, in less memory if it has become much shorter than it was.
func Slice[S ~[]E, E any](s S) S {
	if cap(s) < few || len(s) > cap(s)/part {
		return s
	}
	return slices.Clone(s)
}
