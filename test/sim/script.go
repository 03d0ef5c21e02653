package sim

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/tools/txtar"
)

// String is the scenario as a file, which Parse reads.
func (s Scenario) String() string {
	a := &txtar.Archive{}
	var b strings.Builder
	for _, step := range s.Steps {
		fmt.Fprintln(&b, step)
	}
	fmt.Fprintf(&b, "%s end\n", s.End)
	a.Comment = fmt.Appendf(nil, "%s\nseed %d\n", s.Name, s.Seed)
	a.Files = append(a.Files, txtar.File{Name: "script", Data: []byte(b.String())})
	for n, text := range s.Files {
		a.Files = append(a.Files, txtar.File{Name: fmt.Sprintf("compose-%d.yaml", n), Data: []byte(strings.TrimPrefix(text, "\n"))})
	}
	return string(txtar.Format(a))
}

// String is the line of a script.
func (s Step) String() string {
	return strings.TrimSpace(fmt.Sprintf("%s %s %s", s.At, s.Verb, strings.Join(s.Args, " ")))
}

// Parse reads a scenario.
func Parse(data []byte) (Scenario, error) {
	a := txtar.Parse(data)
	var s Scenario
	for line := range strings.Lines(string(a.Comment)) {
		line = strings.TrimSpace(line)
		if number, ok := strings.CutPrefix(line, "seed "); ok {
			seed, err := strconv.ParseUint(number, 10, 64)
			if err != nil {
				return s, fmt.Errorf("%q: %w", line, err)
			}
			s.Seed = seed
		} else if s.Name == "" {
			s.Name = line
		}
	}
	for _, f := range a.Files {
		if f.Name != "script" {
			s.Files = append(s.Files, string(f.Data))
			continue
		}
		for line := range strings.Lines(string(f.Data)) {
			if err := s.parse(strings.TrimSpace(line)); err != nil {
				return s, err
			}
		}
	}
	if s.End == 0 || len(s.Files) == 0 {
		return s, fmt.Errorf("a scenario needs an end and a compose file")
	}
	return s, nil
}

func (s *Scenario) parse(line string) error {
	words := strings.Fields(line)
	if len(words) == 0 || words[0] == "#" {
		return nil
	}
	at, err := time.ParseDuration(words[0])
	if err != nil || len(words) < 2 {
		return fmt.Errorf("%q: not a time and what happens then", line)
	}
	if words[1] == "end" {
		s.End = at
		return nil
	}
	if verbs[words[1]] == nil {
		return fmt.Errorf("%q: no such verb", line)
	}
	s.Steps = append(s.Steps, Step{at, words[1], words[2:]})
	return nil
}
