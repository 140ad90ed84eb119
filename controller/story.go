package controller

import (
	"bytes"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/sallyport/sallyport/extauthz/policy"
)

// Files of a story beside those with objects.
const (
	storyChecks   = "checks"
	storyOptions  = "options"
	storyProblems = "problems"
)

// Story tells the behaviour of some objects: a txtar archive of files with objects, as a Folder reads them, and of
// checks, one request a line with the answer that is right. docs/stories.md has the format. Not for concurrent use.
type Story struct {
	// Name of the file.
	Name string
	// Comment in front of the first file: why the answers are right.
	Comment string

	archive  *txtar.Archive
	options  policy.Options
	proxies  policy.Proxies
	cluster  bool
	listing  *Listing
	checks   []check
	problems *section // nil where the story expects no errors
}

// section is a file of the archive, with the line of the archive before its first.
type section struct {
	file   *txtar.File
	offset int
}

// check is one line of checks.
type check struct {
	request Request
	// left is the line up to "=>", right the answer that is expected.
	left, right string
	line        int // of the file of checks, from 0
	at          int // of the archive, from 1
}

// Difference is an answer that is not the expected one.
type Difference struct {
	// Place is "file:line".
	Place string
	// Request as the story has it; empty where problems of the compile differ.
	Request string
	// Got and Want are the answers.
	Got, Want string
}

// String is "place: request: got …, want …".
func (d Difference) String() string {
	if d.Request == "" {
		return fmt.Sprintf("%s: got %s, want %s", d.Place, d.Got, d.Want)
	}
	return fmt.Sprintf("%s: %s: got %s, want %s", d.Place, d.Request, d.Got, d.Want)
}

// ParseStory reads a story. The error is FileErrors, all errors at once.
func ParseStory(name string, data []byte) (*Story, error) {
	s := &Story{Name: name, archive: txtar.Parse(data)}
	s.Comment = strings.TrimSpace(string(s.archive.Comment))
	s.options = policy.Options{ClientAddress: policy.ClientAddressPeer, TrustDomain: "cluster.local", OwnNamespace: "default"}
	parts := s.sections()
	var errs FileErrors
	for _, part := range parts {
		if part.file.Name == storyOptions {
			errs = append(errs, s.parseOptions(part)...)
		}
	}
	var extra []kind
	if s.cluster {
		extra = routingKinds()
	}
	var files []*file
	fields := fieldIndex{}
	for _, part := range parts {
		switch ext := path.Ext(part.file.Name); {
		case ext == ".yaml" || ext == ".yml":
			// Blank lines in front make lines of the file those of the archive.
			content := slices.Concat(bytes.Repeat([]byte("\n"), part.offset), part.file.Data)
			files = append(files, newFile(seen{name: name}, content, fields, extra...))
		case part.file.Name == storyChecks:
			errs = append(errs, s.parseChecks(part)...)
		case part.file.Name == storyOptions:
		case part.file.Name == storyProblems:
			s.problems = &part
		default:
			errs = append(errs, FileError{File: name, Line: part.offset, Message: shown(part.file.Name) +
				" is no file of a story; there are *.yaml, checks, options and problems"})
		}
	}
	if len(s.checks) == 0 && len(errs) == 0 {
		errs = append(errs, FileError{File: name, Message: `has no checks; write them into a file "checks"`})
	}
	listing, more := newListing(files)
	if errs = append(errs, more...); len(errs) > 0 {
		errs.sort()
		return nil, errs
	}
	s.listing = listing
	return s, nil
}

// sections are the files of the archive, each with its place in it.
func (s *Story) sections() []section {
	var out []section
	line := bytes.Count(s.archive.Comment, []byte("\n"))
	for i := range s.archive.Files {
		part := section{&s.archive.Files[i], line + 1}
		line = part.offset + bytes.Count(part.file.Data, []byte("\n"))
		out = append(out, part)
	}
	return out
}

// Checks counts the requests of the story.
func (s *Story) Checks() int { return len(s.checks) }

// Run asks each request of the story and returns what is not as expected. Answers become the expected ones in what
// Format returns then.
func (s *Story) Run() []Difference {
	snapshot, report := new(policy.Compiler).Compile(s.listing.Objects, s.options)
	diffs := s.compareProblems(Problems(s.listing, report))
	revoked := RevokedBy(&s.listing.Objects, s.options)
	for i := range s.checks {
		c := &s.checks[i]
		c.request.Revocations = revoked
		got := s.answer(snapshot, c)
		if got == c.right {
			continue
		}
		diffs = append(diffs, Difference{
			Place: place(s.Name, c.at), Request: strings.TrimSpace(c.left), Got: got, Want: c.right,
		})
		c.right = got
	}
	return diffs
}

func (s *Story) answer(snapshot *policy.Snapshot, c *check) string {
	d, err := c.request.AskFrom(snapshot, s.proxies)
	if err != nil {
		return "error: " + err.Error()
	}
	return answer(d, partsOf(c.right))
}

// compareProblems compares the problems of the compile with those that the story expects: in its file of problems, or
// no errors where it has none.
func (s *Story) compareProblems(problems []Problem) []Difference {
	var lines []string
	var diffs []Difference
	for _, p := range problems {
		if s.problems == nil && p.Severity == policy.SeverityError {
			diffs = append(diffs, Difference{Place: place(p.File, p.Line), Got: p.Field + ": " + p.Message, Want: `no error, or one in a file "problems"`})
		}
		p.File, p.Line = "", 0
		lines = append(lines, strings.ReplaceAll(p.String(), "\n", " ")+"\n")
	}
	if s.problems == nil {
		return diffs
	}
	if got, want := strings.Join(lines, ""), string(s.problems.file.Data); got != want {
		diffs = append(diffs, Difference{Place: place(s.Name, s.problems.offset), Got: "problems\n" + got, Want: "problems\n" + want})
		s.problems.file.Data = []byte(got)
	}
	return diffs
}

// Format is the story as a file, with the answers of the last Run; byte for byte the file that was parsed where nothing
// differed.
func (s *Story) Format() []byte {
	for i := range s.archive.Files {
		f := &s.archive.Files[i]
		if f.Name != storyChecks {
			continue
		}
		lines := strings.Split(string(f.Data), "\n")
		for _, c := range s.checks {
			lines[c.line] = c.left + "=> " + c.right
		}
		f.Data = []byte(strings.Join(lines, "\n"))
	}
	return txtar.Format(s.archive)
}
