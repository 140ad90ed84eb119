package controller

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// FileError is one thing that keeps a file from being read as objects.
type FileError struct {
	// File as it is shown: below the folder as the user named it.
	File string
	// Line counts from 1; 0 where it is about the file as a whole.
	Line int
	// Field is the path of the field, such as spec.rules[1].require; empty where it is about none.
	Field string
	// Message says what is wrong and what to do. It holds no value of a Secret.
	Message string
}

// Error is "file:line: field: message", without the parts that are not known.
func (e FileError) Error() string {
	var b strings.Builder
	b.WriteString(place(e.File, e.Line))
	if e.Field != "" {
		b.WriteString(": " + e.Field)
	}
	b.WriteString(": " + e.Message)
	return b.String()
}

// FileErrors are all errors of all files, in the order of files and lines. It is never empty as an error.
type FileErrors []FileError

// Error has one line for each error.
func (e FileErrors) Error() string {
	lines := make([]string, len(e))
	for i := range e {
		lines[i] = e[i].Error()
	}
	return strings.Join(lines, "\n")
}

func (e FileErrors) sort() {
	slices.SortStableFunc(e, func(a, b FileError) int {
		return cmp.Or(strings.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line))
	})
}

// place is "file:line", or the file alone where the line is 0.
func place(file string, line int) string {
	if line == 0 {
		return file
	}
	return file + ":" + strconv.Itoa(line)
}
