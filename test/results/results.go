// Package results keeps test/RESULTS.md: the long runs write down themselves what they found, when, and on which commit.
// Each run owns one section, a table with a row for each of its last runs.
package results

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// kept is how many runs a section shows.
const kept = 10

const introduction = `# Results of the long runs

Written by the commands themselves, newest first, each row on the commit it names ("+": with changes that were not committed).
The machine is in the rows where it matters: figures of a noisy one are no promise, verdicts are.
`

// Figure is one column of a run.
type Figure struct{ Name, Value string }

// Add writes a run on top of its section. The section's table begins anew when the columns change.
func Add(section, command string, figures ...Figure) error {
	root, err := moduleRoot()
	if err != nil {
		return err
	}
	path := filepath.Join(root, "test", "RESULTS.md")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		return fmt.Errorf("lock %s: %w", path, err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	all := append([]Figure{{"date", time.Now().UTC().Format("2006-01-02 15:04")}, {"commit", commit(root)}}, figures...)
	return os.WriteFile(path, []byte(added(string(text), section, command, all)), 0o644)
}

// added is the text of the file with one more run.
func added(text, section, command string, figures []Figure) string {
	if text == "" {
		text = introduction
	}
	heading := "## " + section
	parts := strings.Split(text, "\n## ")
	var names, rule, values []string
	for _, f := range figures {
		names, rule, values = append(names, f.Name), append(rule, "---"), append(values, strings.NewReplacer("|", "\\|", "\n", " ").Replace(f.Value))
	}
	rows := []string{line(values)}
	at := slices.IndexFunc(parts, func(p string) bool { return p == section || strings.HasPrefix(p, section+"\n") })
	if at > 0 {
		rows = append(rows, rowsUnder(parts[at], line(names))...)
	}
	body := strings.TrimPrefix(heading, "## ") + "\n\n`" + command + "`\n\n" + line(names) + line(rule) + strings.Join(rows[:min(len(rows), kept)], "")
	if at > 0 {
		parts[at] = body
	} else {
		parts = append(parts, body)
	}
	for i := range parts {
		parts[i] = strings.TrimRight(parts[i], "\n") + "\n"
	}
	return strings.Join(parts, "\n## ")
}

func line(cells []string) string { return "| " + strings.Join(cells, " | ") + " |\n" }

// rowsUnder are the rows of a section's table, when it has this head.
func rowsUnder(section, head string) []string {
	_, rest, found := strings.Cut(section, head)
	if !found {
		return nil
	}
	var rows []string
	for row := range strings.Lines(rest) {
		if strings.HasPrefix(row, "| ") && !strings.HasPrefix(row, "| ---") {
			rows = append(rows, strings.TrimRight(row, "\n")+"\n")
		}
	}
	return rows
}

// commit is what the working tree is at.
func commit(root string) string {
	id, err := exec.Command("git", "-C", root, "rev-parse", "--short", "HEAD").Output()
	if err != nil {
		return "unknown"
	}
	changed, err := exec.Command("git", "-C", root, "status", "--porcelain", "--", ".", ":!test/RESULTS.md").Output()
	if err != nil || len(changed) > 0 {
		return strings.TrimSpace(string(id)) + "+"
	}
	return strings.TrimSpace(string(id))
}

// moduleRoot is the directory of go.mod above the current one.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	for err == nil {
		if _, statErr := os.Stat(filepath.Join(dir, "go.mod")); statErr == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("no go.mod above the current directory: run this inside the repository")
		}
		dir = filepath.Dir(dir)
	}
	return "", err
}
