package slim_test

import (
	"maps"
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/seed-ce09063a/thinkws/internal/slim"
)

func TestMap(t *testing.T) {
	var m slim.Map[int, string]
	assert.Zero(t, m.Len())
	assert.Empty(t, m.Get(1))
	assert.Empty(t, maps.Collect(m.All()))
	m.Delete(1)
	m.Set(1, "a")
	m.Set(2, "b")
	m.Set(1, "c")
	assert.Equal(t, map[int]string{1: "c", 2: "b"}, maps.Collect(m.All()))
	m.Delete(1)
	assert.Equal(t, 1, m.Len())
	assert.Equal(t, "b", m.Get(2))
}

// However many there were, those that are left are all there, and those that are gone are gone.
func TestMapShrinks(t *testing.T) {
	const many = 100_000
	var m slim.Map[int, int]
	for round := range 3 {
		for i := range many {
			m.Set(i, i+round)
		}
		full := heap()
		for i := range many - 100 {
			m.Delete(i)
		}
		assert.Equal(t, 100, m.Len())
		for i := range many {
			want := i + round
			if i < many-100 {
				want = 0
			}
			if got := m.Get(i); got != want {
				assert.Equal(t, want, got, i)
			}
		}
		assert.Less(t, heap(), full-1<<20, "of 2 MB and more")
	}
	runtime.KeepAlive(&m)
}

func TestDeletingInTheLoop(t *testing.T) {
	var m slim.Map[int, int]
	for i := range 5000 {
		m.Set(i, i)
	}
	seen := 0
	for k := range m.All() {
		m.Delete(k)
		seen++
	}
	assert.Equal(t, 5000, seen, "each once, though they have been moved")
	assert.Zero(t, m.Len())
}

func TestSlice(t *testing.T) {
	s := make([]int, 5000)
	for i := range s {
		s[i] = i
	}
	assert.Equal(t, 5000, cap(slim.Slice(s[:626])), "more than an eighth")
	s = slim.Slice(s[:625])
	assert.Less(t, cap(s), 1024)
	for i, v := range s {
		assert.Equal(t, i, v)
	}
	assert.Equal(t, 100, cap(slim.Slice(make([]int, 1, 100))), "not worth it")
	assert.NotPanics(t, func() { slim.Slice([]int(nil)) })
}

func heap() int {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

func BenchmarkMap(b *testing.B) {
	var m slim.Map[int, int]
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		m.Set(i, i)
		if i >= 10_000 {
			m.Delete(i - 10_000)
		}
	}
}
