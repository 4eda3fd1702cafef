package suite

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// lookup is the value of a row for one server.
func (res *Results) lookup(r *row, target string) (float64, bool) {
	k := key{r.workload, target}
	if r.over == "" {
		return res.value(k, r.metric)
	}
	return res.ratio(k, key{r.over, target}, r.metric)
}

// against is the ratio of ours to another server.
func (res *Results) against(r *row, target string) (float64, bool) {
	if r.over == "" {
		return res.ratio(key{r.workload, subject}, key{r.workload, target}, r.metric)
	}
	a, ok := res.lookup(r, subject)
	b, also := res.lookup(r, target)
	return a / b, ok && also && b != 0
}

// Markdown writes the figures of all servers. The last table has a line for each goal.
func (res *Results) Markdown(w io.Writer) {
	res.legend(w)
	rows := res.present()
	head := []string{"median of " + strconv.Itoa(res.cfg.Rounds)}
	for _, t := range res.targets {
		head = append(head, t.Name)
	}
	var lines [][]string
	for i := range rows {
		line := []string{rows[i].title}
		for _, t := range res.targets {
			line = append(line, res.cell(&rows[i], t.Name))
		}
		lines = append(lines, line)
	}
	writeTable(w, head, lines)
	if n, of := res.disturbed(); n > 0 {
		fmt.Fprintf(w, "\nIn %d of %d measurements of ours, the floor and Node neither the server nor the load generator\n"+
			"had its core to itself: the machine was doing something else, and rates are too low.\n", n, of)
	}
	for _, f := range res.Failed {
		fmt.Fprintf(w, "\nFailed: %s\n", f)
	}
	if goals, reached := res.goals(); len(goals) > 0 {
		fmt.Fprintf(w, "\nGoals: %d of %d are met. A ratio is the median of the rounds' ratios.\n\n", reached, len(goals))
		writeTable(w, []string{"goal", "ours", "wanted", ""}, goals)
	}
}

// enough is the share of its core that the busier side has on a quiet machine.
const enough = 0.9

// disturbed counts the measurements of rates in which both sides waited.
func (res *Results) disturbed() (n, of int) {
	for k, samples := range res.samples {
		if k.target != subject && k.target != floor && k.target != peer {
			continue // some wait by themselves
		}
		for _, f := range samples {
			if _, rated := f[busy]; !rated {
				continue
			}
			of++
			if max(f[busy], f[driver]) < enough {
				n++
			}
		}
	}
	return n, of
}

func (res *Results) legend(w io.Writer) {
	for _, t := range res.targets {
		fmt.Fprintf(w, "- **%s**: %s (%s)\n", t.Name, t.Does, t.Dialect)
	}
	fmt.Fprintln(w)
}

// present are the rows that anything was measured for.
func (res *Results) present() []row {
	var rows []row
	for _, r := range table {
		for _, t := range res.targets {
			if _, ok := res.lookup(&r, t.Name); ok {
				rows = append(rows, r)
				break
			}
		}
	}
	return rows
}

func (res *Results) cell(r *row, target string) string {
	v, ok := res.lookup(r, target)
	if !ok {
		return "–"
	}
	return number(v/r.unit, r.digits)
}

// goals returns a line for each goal whose workloads and servers were chosen, and how many are met.
func (res *Results) goals() (lines [][]string, reached int) {
	for i := range table {
		for _, g := range table[i].goals {
			if !res.asked(&table[i], g) {
				continue
			}
			line, met := res.goal(&table[i], g)
			lines = append(lines, line)
			if met {
				reached++
			}
		}
	}
	return lines, reached
}

// asked reports whether everything was to be measured that g compares.
func (res *Results) asked(r *row, g goal) bool {
	for _, name := range []string{r.workload, r.over} {
		if name != "" && !slices.ContainsFunc(res.rows, func(w *workload) bool { return w.Name == name }) {
			return false
		}
	}
	for _, name := range []string{subject, g.against} {
		if name != "" && !slices.ContainsFunc(res.targets, func(t *Target) bool { return t.Name == name }) {
			return false
		}
	}
	return true
}

// goal returns a line of the table of goals, and whether the goal is met.
func (res *Results) goal(r *row, g goal) (line []string, met bool) {
	v, ok := res.lookup(r, subject)
	title, unit, digits := strings.TrimPrefix(r.title, "– "), r.unit, r.digits
	if g.against != "" {
		v, ok = res.against(r, g.against)
		title, unit, digits = title+", ÷ "+g.against, 1, 2
	}
	wanted := fmt.Sprintf("≤ %g", g.atMost)
	if g.atLeast > 0 {
		wanted = fmt.Sprintf("≥ %g", g.atLeast)
	}
	title = r.workload + ": " + title
	switch {
	case !ok: // a measurement has failed
		return []string{title, "–", wanted, "**no figure**"}, false
	case g.met(v):
		return []string{title, number(v/unit, digits), wanted, "met"}, true
	}
	return []string{title, number(v/unit, digits), wanted, "**missed**"}, false
}

func number(v float64, digits int) string {
	s := strconv.FormatFloat(v, 'f', digits, 64)
	if digits > 0 || len(s) < 4 {
		return s
	}
	return s[:len(s)-3] + "," + s[len(s)-3:]
}

// writeTable writes Markdown that is aligned for those who read it as text.
func writeTable(w io.Writer, head []string, lines [][]string) {
	widths := make([]int, len(head))
	for _, line := range append([][]string{head}, lines...) {
		for i, cell := range line {
			widths[i] = max(widths[i], len([]rune(cell)))
		}
	}
	rule := make([]string, len(head))
	for i, n := range widths {
		rule[i] = strings.Repeat("-", max(n, 3))
		if i > 0 {
			rule[i] = rule[i][1:] + ":"
		}
	}
	for _, line := range append([][]string{head, rule}, lines...) {
		for i, cell := range line {
			pad := strings.Repeat(" ", max(0, max(widths[i], 3)-len([]rune(cell))))
			if i == 0 {
				fmt.Fprintf(w, "| %s%s ", cell, pad)
			} else {
				fmt.Fprintf(w, "| %s%s ", pad, cell)
			}
		}
		fmt.Fprintln(w, "|")
	}
}
