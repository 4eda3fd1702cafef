package soak

import "time"

// SockJSStrings is for tests of it.
var SockJSStrings = sockJSStrings

// Note and AtMost are for tests of reports.
func (r *Report) Note(name string, value any)                    { r.note(name, value) }
func (r *Report) AtMost(name string, value, bound time.Duration) { atMost(r, name, value, bound) }
