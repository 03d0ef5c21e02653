package main

import (
	"bufio"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"
)

// tests is how the containers and projects of the tests begin, so that nobody else's is touched.
const tests = "cmpsr-"

// anonymous is the name that the engine gives to a volume without one.
var anonymous = regexp.MustCompile(`^[0-9a-f]{64}$`)

// volumes are the anonymous volumes that containers of the tests were made with. Composure never removes a volume: what a container that it
// replaced, or a test removed, had mounted stays on the engine.
type volumes struct {
	events *exec.Cmd // nil: there is no docker command, and nothing is watched
	ended  chan struct{}

	mu    sync.Mutex
	names map[string]bool
}

// watchVolumes notes them from now on.
func watchVolumes() *volumes {
	v := &volumes{ended: make(chan struct{}), names: map[string]bool{}}
	events := exec.Command("docker", "events", "--since", strconv.FormatInt(time.Now().Unix(), 10), "--filter", "type=container", "--filter", "event=create",
		"--format", "{{.Actor.ID}}\t{{.Actor.Attributes.name}}\t{{index .Actor.Attributes \"com.docker.compose.project\"}}")
	out, err := events.StdoutPipe()
	if err != nil || events.Start() != nil {
		return v
	}
	v.events = events
	go func() {
		defer close(v.ended)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			v.created(lines.Text())
		}
	}()
	return v
}

// sweep removes what is left of them; the engine keeps those that a container still has.
func (v *volumes) sweep() {
	if v.events == nil {
		return
	}
	_ = v.events.Process.Kill()
	<-v.ended
	_ = v.events.Wait()
	for name := range v.names {
		_ = exec.Command("docker", "volume", "rm", name).Run()
	}
}

// has says whether a volume was noted.
func (v *volumes) has(name string) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.names[name]
}

// created notes the volumes of a container: its id, name and project, with tabs between them.
func (v *volumes) created(line string) {
	id, names, _ := strings.Cut(line, "\t")
	name, project, _ := strings.Cut(names, "\t")
	if !strings.HasPrefix(name, tests) && !strings.HasPrefix(project, tests) {
		return
	}
	out, err := exec.Command("docker", "inspect", "--format", `{{range .Mounts}}{{println .Name}}{{end}}`, id).Output()
	if err != nil { // it is gone already
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, mount := range strings.Fields(string(out)) {
		if anonymous.MatchString(mount) {
			v.names[mount] = true
		}
	}
}
