package thinkws

import (
	"iter"
	"slices"
)

// fewSeats is how many rooms are found by looking at each. Most clients are in one or two,
// for which a map takes ten times the memory.
const fewSeats = 8

// seats are the rooms a socket is in, with its place in each.
type seats struct {
	few  []seat
	many map[*room]int // nil as long as few is enough
}

type seat struct {
	room *room
	at   int
}

func (s *seats) len() int { return len(s.few) + len(s.many) }

// at returns the place in r, and false if there is none.
func (s *seats) at(r *room) (int, bool) {
	if s.many != nil {
		at, ok := s.many[r]
		return at, ok
	}
	if i := s.find(r); i >= 0 {
		return s.few[i].at, true
	}
	return 0, false
}

func (s *seats) find(r *room) int {
	return slices.IndexFunc(s.few, func(one seat) bool { return one.room == r })
}

// take sets the place in r, which may be a new room.
func (s *seats) take(r *room, at int) {
	switch i := s.find(r); {
	case s.many != nil:
		s.many[r] = at
	case i >= 0:
		s.few[i].at = at
	case len(s.few) < fewSeats:
		s.few = append(s.few, seat{r, at})
	default:
		s.many = make(map[*room]int, 2*fewSeats)
		for _, one := range s.few {
			s.many[one.room] = one.at
		}
		s.few, s.many[r] = nil, at
	}
}

func (s *seats) leave(r *room) {
	if s.many != nil {
		delete(s.many, r)
		s.shrink()
		return
	}
	if i, last := s.find(r), len(s.few)-1; i >= 0 {
		s.few[i] = s.few[last]
		s.few[last] = seat{}
		s.few = s.few[:last]
	}
}

// shrink gives the map back once half of few is enough: a map keeps its memory.
func (s *seats) shrink() {
	if len(s.many) > fewSeats/2 {
		return
	}
	for r, at := range s.many {
		s.few = append(s.few, seat{r, at})
	}
	s.many = nil
}

// rooms may leave the room that it is at.
func (s *seats) rooms() iter.Seq[*room] {
	return func(yield func(*room) bool) {
		for _, one := range slices.Backward(s.few) {
			if !yield(one.room) {
				return
			}
		}
		for r := range s.many {
			if !yield(r) {
				return
			}
		}
	}
}
