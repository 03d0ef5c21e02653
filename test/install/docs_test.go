package install

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"composure/test/ports"
)

// tutorial is the page whose blocks marked with <!-- run --> are run, in order, in one shell. Those of the other pages are run
// on its stack, before its last section, which cleans up.
const tutorial = "test/demo/TUTORIAL.md"

var others = []string{"controller/web/API.md", "hack/MOVING.md"}

// shop is what the page calls its stack; the test calls it otherwise, on an engine that is shared.
const shop, ours = "shop", "cmpsr-inst-shop"

// command is one command of a page with what the page says that it prints.
type command struct {
	page string
	line int
	text string
	says []string
	exit string
}

var (
	runnable = regexp.MustCompile("(?ms)^<!-- run -->\n```(?:console|crontab)\n(.*?)^```$")
	schedule = regexp.MustCompile(`^(?:[*/0-9]+ ){5}`) // of cron
)

// commands are those of a text of a page. A line that begins with "$ " is typed, one of a crontab is run at once; the others are
// said: "…" stands for anything.
func commands(t *testing.T, page, text string) []command {
	t.Helper()
	var all []command
	for _, at := range runnable.FindAllStringSubmatchIndex(text, -1) {
		line := strings.Count(text[:at[2]], "\n")
		for said := range strings.Lines(text[at[2]:at[3]]) {
			line++
			said = strings.TrimSuffix(said, "\n")
			typed, isTyped := strings.CutPrefix(said, "$ ")
			if when := schedule.FindString(said); when != "" {
				typed, isTyped = said[len(when):], true
			}
			status, isStatus := strings.CutPrefix(said, "(exit status ")
			switch {
			case isTyped:
				all = append(all, command{page: page, line: line, text: typed, exit: "0"})
			case len(all) == 0:
				t.Fatalf("%s:%d: output before the first command", page, line)
			case isStatus:
				all[len(all)-1].exit = strings.TrimSuffix(status, ")")
			default:
				all[len(all)-1].says = append(all[len(all)-1].says, said)
			}
		}
	}
	if len(all) == 0 {
		t.Fatalf("%s has nothing to run", page)
	}
	return all
}

// documented are the commands of all pages, in the order in which they are run, for a project in dir.
func documented(t *testing.T, dir string) []command {
	t.Helper()
	here := strings.NewReplacer("/srv/shop", dir, "/var/log/shop.log", filepath.Join(dir, "cron.log"), shop, ours, "127.0.0.1:9180", "127.0.0.1:"+ports.Text(t))
	read := func(page string) string {
		data, err := os.ReadFile(filepath.Join("../..", page))
		if err != nil {
			t.Fatal(err)
		}
		return here.Replace(string(data))
	}
	text := read(tutorial)
	end := strings.LastIndex(text, "\n## ")
	all := commands(t, tutorial, text[:end])
	for _, page := range others {
		all = append(all, commands(t, page, read(page))...)
	}
	return append(all, commands(t, tutorial, strings.Repeat("\n", strings.Count(text[:end], "\n"))+text[end:])...)
}

// TestDocumentation types what the pages say, on the real engine, and holds the answers to them.
func TestDocumentation(t *testing.T) {
	dir := copyOfDemo(t)
	all := documented(t, dir)
	sweep := func() {
		_ = exec.Command("sh", "-c", `docker rm -fv $(docker ps -aq --filter label=com.docker.compose.project=`+ours+`)
			docker network rm `+ours+`_default; docker volume rm `+ours+`_pgdata
			docker rmi $(docker images --format '{{.Repository}}:{{.Tag}}' 'composure-kept/`+ours+`-*')`).Run()
	}
	sweep()
	t.Cleanup(sweep)

	bin, results, state := t.TempDir(), t.TempDir(), t.TempDir()
	build := exec.Command("go", "build", "-o", filepath.Join(bin, "composure.bin"), "composure/cmd/composure")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build composure: %v\n%s", err, out)
	}
	wrapper := fmt.Sprintf("#!/bin/sh\nexec %s --state-dir %s \"$@\"\n", filepath.Join(bin, "composure.bin"), state)
	if err := os.WriteFile(filepath.Join(bin, "composure"), []byte(wrapper), 0o755); err != nil {
		t.Fatal(err)
	}
	var script strings.Builder
	script.WriteString("set -m\n") // jobs, as in a terminal
	for i, c := range all {
		fmt.Fprintf(&script, "{ %s\n} >%s/%d 2>&1; echo $? >%s/%d.status\n", c.text, results, i, results, i)
	}
	shell := exec.Command("bash", "-c", script.String())
	shell.Dir = dir
	shell.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "NO_COLOR=1", "DEMO_API_PORT="+ports.Text(t), "DEMO_FRONTEND_PORT="+ports.Text(t))
	shell.Cancel = nil
	timer := time.AfterFunc(8*time.Minute, func() { _ = shell.Process.Kill() })
	defer timer.Stop()
	if out, err := shell.CombinedOutput(); err != nil {
		t.Errorf("the shell: %v\n%s", err, out)
	}
	for i, c := range all {
		said, _ := os.ReadFile(filepath.Join(results, fmt.Sprint(i)))
		status, _ := os.ReadFile(filepath.Join(results, fmt.Sprint(i)+".status"))
		if got := string(bytes.TrimSpace(status)); got != c.exit {
			t.Errorf("%s:%d: %s: exit status %q, the page says %s\n%s", c.page, c.line, c.text, got, c.exit, said)
			return
		}
		for _, want := range c.says {
			if !says(string(said), want) {
				t.Errorf("%s:%d: %s does not say %q:\n%s", c.page, c.line, c.text, want, said)
			}
		}
	}
}

// says looks for a line; "…" in it stands for anything, and a run of blanks for any other.
func says(said, want string) bool {
	pattern := regexp.QuoteMeta(strings.TrimSpace(want))
	pattern = regexp.MustCompile(`\s*…\s*`).ReplaceAllString(pattern, `.*`)
	pattern = regexp.MustCompile(` +`).ReplaceAllString(pattern, `\s+`)
	return regexp.MustCompile(`(?m)^\s*` + pattern + `\s*$`).MatchString(said)
}

// copyOfDemo is a directory with the files that the page works on.
func copyOfDemo(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(filepath.Join(dir, "test", "demo"), os.DirFS("../demo")); err != nil {
		t.Fatal(err)
	}
	return dir
}
