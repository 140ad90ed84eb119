package controller

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/extauthz/policy"
)

// Problem is a problem of the compile, with the place of what it is about.
type Problem struct {
	policy.Problem
	// Object that it is about.
	Object policy.ObjectRef
	// File and Line of it; empty for objects that are from no file.
	File string
	Line int
}

// String is "file:line: field: message", with "warning: " behind the place of what is no error. Objects that are from
// no file are named instead.
func (p Problem) String() string {
	s := place(p.File, p.Line)
	if s == "" {
		s = p.Object.String()
	}
	if p.Severity == policy.SeverityWarning {
		s += ": warning"
	}
	if p.Field != "" {
		s += ": " + p.Field
	}
	return s + ": " + p.Message
}

// Problems are those of a report, with their places in the listing that was compiled, in the order of files and lines.
func Problems(l *Listing, r policy.Report) []Problem {
	var out []Problem
	for _, o := range r.Objects {
		for _, p := range o.Problems {
			file, line := l.Locate(o.ObjectRef, p.Field)
			out = append(out, Problem{Problem: p, Object: o.ObjectRef, File: file, Line: line})
		}
	}
	slices.SortStableFunc(out, func(a, b Problem) int {
		return cmp.Or(strings.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line))
	})
	return out
}

// told is one thing that the log may say, and what makes it the same thing at the next reload: its line may have moved.
type told struct {
	key, text string
}

// problemLog knows what was told, so that each problem is told once when it appears and once when it is gone. The zero
// problemLog has told nothing.
type problemLog struct {
	open map[string]string // texts by key
}

func (l *problemLog) update(now []told, appeared, gone func(text string)) {
	next := make(map[string]string, len(now))
	for _, p := range now {
		if _, known := l.open[p.key]; !known && next[p.key] == "" {
			appeared(p.text)
		}
		next[p.key] = p.text
	}
	maps.DeleteFunc(l.open, func(key, _ string) bool { _, still := next[key]; return still })
	for _, key := range slices.Sorted(maps.Keys(l.open)) {
		gone(l.open[key])
	}
	l.open = next
}
