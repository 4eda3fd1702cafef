package ledger

import (
	"cmp"
	"slices"
	"time"
)

// What the keeper does.
const (
	idle int32 = iota
	working
	called // while it worked: it has to look once more
)

// call has the keeper look at what is to be done.
func (l *Ledger) call() {
	if l.state.Load() != called && l.state.Swap(called) == idle {
		l.cfg.Go(l.keep)
	}
}

// keep is the keeper.
func (l *Ledger) keep() {
	returned := false
	defer func() {
		if !returned { // an owner or a holder has panicked: another keeper goes on with the next one
			l.state.Store(idle)
			l.call()
		}
	}()
	l.work()
	returned = true
}

func (l *Ledger) work() {
	for {
		l.state.Store(working)
		l.resume()
		for l.evict() {
		}
		if l.state.CompareAndSwap(working, idle) {
			return
		}
	}
}

// resume lets those go on that may.
func (l *Ledger) resume() {
	for _, a := range l.takeResumable() {
		a.reader.Wake()
	}
}

func (l *Ledger) takeResumable() (resumable []*Account) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for a := range l.paused {
		if l.mayGoOn(a) {
			resumable = append(resumable, a)
			delete(l.paused, a)
			a.flags.And(^uint32(isPaused))
		}
	}
	l.waits.Store(int32(len(l.paused)))
	return resumable
}

// evict evicts the largest accounts, if too much is held. It returns false if there is nothing more to be done.
func (l *Ledger) evict() bool {
	if len(l.victims) == 0 && !l.choose() {
		return false
	}
	v := l.victims[0]
	l.victims = l.victims[1:]
	l.expel(v)
	return true
}

// choose chooses victims. It returns false if there are none.
func (l *Ledger) choose() bool {
	before := l.held.Load()
	if before < l.alert.Load() {
		return false
	}
	candidates, leaving := l.candidates()
	discount := leaving + shared(candidates)
	// What has come meanwhile may be shared, and what has gone meanwhile is not held.
	if excess := min(before, l.held.Load()) - discount; excess >= l.cfg.Limit {
		l.victims = l.largest(candidates, excess-l.part(relieved))
	}
	if len(l.victims) == 0 {
		l.lookLater(discount)
		return false
	}
	return true
}

// lookLater calls the keeper again after a while, if too much is held then, or as soon as much more is held.
func (l *Ledger) lookLater(discount int64) {
	l.alert.Store(max(l.cfg.Limit+discount, l.held.Load()+l.cfg.Limit/scarcely))
	l.cfg.After(patient, func() {
		l.alert.Store(l.cfg.Limit)
		if l.held.Load() >= l.cfg.Limit {
			l.call()
		}
	})
}

// candidate is an account that may be evicted.
type candidate struct {
	account *Account
	held    int64
	holders []Holder
}

// candidates returns all accounts that are listed and were not evicted, the largest first; and what others hold that
// were evicted a moment ago.
func (l *Ledger) candidates() (all []candidate, leaving int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	places := make(map[*Account]int, len(l.holders))
	for h, a := range l.holders {
		if a.is(isEvicted) {
			continue
		}
		i, ok := places[a]
		if !ok {
			i = len(all)
			places[a] = i
			all = append(all, candidate{account: a, held: a.held.Load()})
		}
		all[i].holders = append(all[i].holders, h)
	}
	slices.SortFunc(all, func(a, b candidate) int { return cmp.Compare(b.held, a.held) })
	now := time.Now()
	l.leaving = slices.DeleteFunc(l.leaving, func(d departure) bool { return !now.Before(d.until) })
	for _, d := range l.leaving {
		leaving += d.account.held.Load()
	}
	return all, leaving
}

// largest marks the first of the candidates as evicted, until they hold that many bytes together.
func (l *Ledger) largest(candidates []candidate, bytes int64) (victims []candidate) {
	l.mu.Lock()
	defer l.mu.Unlock()
	until := time.Now().Add(patient)
	for _, c := range candidates {
		if bytes <= 0 || c.held < unit {
			break
		}
		bytes -= c.held
		c.account.flags.Or(isEvicted)
		l.leaving = append(l.leaving, departure{c.account, until})
		victims = append(victims, c)
	}
	return victims
}

// expel ends an account's client, and has everything dropped that it holds.
func (l *Ledger) expel(v candidate) {
	defer func() { // also if Evict panics
		for _, h := range v.holders {
			h.Shed()
		}
	}()
	v.account.owner.Evict(l.cfg.Cause(v.held))
}

// shared returns how much of what the candidates hold is counted more than once: frames that several of them wait for.
// They are told apart by their last byte, as the beginning of a frame may have been written already.
func shared(candidates []candidate) (bytes int64) {
	seen := make(map[*byte]int)
	look := func(frame []byte) {
		if len(frame) < unit { // otherwise seen would need as much memory as the frames
			return
		}
		last := &frame[len(frame)-1]
		before := seen[last]
		bytes += int64(min(before, len(frame)))
		seen[last] = max(before, len(frame))
	}
	for _, c := range candidates {
		for _, h := range c.holders {
			if s, ok := h.(Sharer); ok {
				s.Frames(look)
			}
		}
	}
	return bytes
}
