package main

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

// pulse is what a running remediator writes about itself for `composure health`, and that command's -o json. It stands
// where files do not outlive the machine, or the container, that they are about.
type pulse struct {
	Stack   string    `json:"stack"`
	PID     int       `json:"pid"`
	At      time.Time `json:"at"`                // when it last looked at the stack, also in vain
	Within  float64   `json:"within_seconds"`    // it looks again within so long
	Trouble string    `json:"trouble,omitempty"` // why its last look failed
	Ended   string    `json:"ended,omitempty"`   // why nobody looks at the stack until it is begun with again
	Healthy bool      `json:"healthy"`

	file string // it was read from
}

// slack is how long a look may take.
const slack = time.Minute

// alive says whether it still looks in time. A look in the future is from before the clock was set back: it proves nothing.
func (p pulse) alive(now time.Time) bool {
	ago := now.Sub(p.At)
	return ago >= -slack && ago <= time.Duration(p.Within*float64(time.Second))+slack
}

// text is the pulse for people.
func (p pulse) text(now time.Time) string {
	ago := now.Sub(p.At).Round(time.Second)
	switch {
	case p.Ended != "":
		return fmt.Sprintf("%s: nobody looks after it, which is tried again and again (pid %d): %s", p.Stack, p.PID, printable(p.Ended))
	case !p.Healthy && ago < 0:
		return fmt.Sprintf("%s: the remediator (pid %d) says that it looked in the future, at %s: was the clock set back? It says so anew when it looks again", p.Stack, p.PID, p.At.UTC().Format(time.DateTime))
	case !p.Healthy:
		return fmt.Sprintf("%s: the remediator (pid %d) has not looked for %s: it hangs or was killed; start it again, or remove %s if it is not wanted any more", p.Stack, p.PID, ago, p.file)
	case p.Trouble != "":
		return fmt.Sprintf("%s: the remediator runs and could not look %s ago: %s", p.Stack, ago, printable(p.Trouble))
	}
	return fmt.Sprintf("%s: the remediator looked %s ago", p.Stack, ago)
}

func newHealth(a *app) *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:   "health",
		Short: "Say whether the remediators on this machine, or in this container, still look after their stacks",
		Long: `Say whether the remediators on this machine, or in this container, still look after their stacks: all of them, or that of
the project that -p names. No compose file and no engine is needed. It is the healthcheck of the container image.

Of several stacks of one process, one that it cannot begin with, such as for a mistake in its file, is not looked after.
An engine that does not answer is no ill health of a remediator, which waits for it; how the stack is says "composure status".

Exit status: 0 all look in time, 1 one does not or there is none, 2 error.`,
		Example: "  composure health\n  composure health -p shop -o json",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if err := output(format, "text", "json"); err != nil {
				return err
			}
			return a.health(format, time.Now())
		},
	}
	cmd.Flags().StringVarP(&format, "output", "o", "text", "text or json")
	return cmd
}

func (a *app) health(format string, now time.Time) error {
	found := []pulse{}
	for _, dir := range pulseDirs() {
		some, err := readPulses(dir, a.project)
		if err != nil {
			return err
		}
		found = append(found, some...)
	}
	healthy := len(found) > 0
	for i := range found {
		found[i].Healthy = found[i].alive(now) && found[i].Ended == ""
		healthy = healthy && found[i].Healthy
	}
	var err error
	if format == "json" {
		err = writeJSON(a.stdout, map[string]any{"schema": "composure.health/v1", "healthy": healthy, "remediators": found})
	} else {
		for _, p := range found {
			fmt.Fprintln(a.stdout, p.text(now))
		}
		if len(found) == 0 {
			fmt.Fprintln(a.stdout, "no remediator runs here; `composure reconcile` starts one")
		}
	}
	if err == nil && !healthy {
		return status(exitFinding)
	}
	return err
}

// readPulses reads those of a directory, of one project or, with "", of all.
func readPulses(dir, project string) ([]pulse, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.pulse"))
	found := []pulse{}
	for _, file := range files {
		p, readErr := readPulse(file)
		if errors.Is(readErr, os.ErrNotExist) { // it has just ended
			continue
		}
		if readErr != nil {
			return nil, fmt.Errorf("read %s: %w", file, readErr)
		}
		if project == "" || p.Stack == project {
			found = append(found, p)
		}
	}
	return found, err
}

// readPulse reads one.
func readPulse(file string) (pulse, error) {
	p := pulse{file: file}
	data, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(data, &p)
	}
	return p, err
}

// pulseDirs are where this process finds pulses: in its own directory, and a person in that of the system, which everybody may read.
func pulseDirs() []string {
	if os.Geteuid() == 0 {
		return []string{pulseDir()}
	}
	return []string{pulseDir(), systemPulses}
}

// systemPulses is the directory of the system's services.
const systemPulses = "/run/composure"

// pulseDir is the directory for what lives as long as the machine or the container runs: the one that systemd made for
// the unit, else the usual one of the system, of the user's session, or of nobody.
func pulseDir() string {
	if first, _, _ := strings.Cut(os.Getenv("RUNTIME_DIRECTORY"), ":"); first != "" {
		return first
	}
	if os.Geteuid() == 0 {
		return systemPulses
	}
	if dir := os.Getenv("XDG_RUNTIME_DIR"); dir != "" {
		return filepath.Join(dir, "composure")
	}
	return filepath.Join(os.TempDir(), fmt.Sprintf("composure-%d", os.Getuid()))
}

// beater writes the pulse of this process, and tells systemd, when that started it, that it is ready and alive. It is
// not safe for concurrent use.
type beater struct {
	file    string
	pulse   pulse
	log     *slog.Logger
	written time.Time                       // zero: never
	other   int                             // process that wrote this pulse too: it looks after the same stack; 0: none
	broken  string                          // why the pulse could not be written, said once
	notify  func(alive, doing string) error // tells systemd
}

// notifyAlone tells systemd of a process that looks after one stack.
func notifyAlone(alive, doing string) error { return notifySystemd(alive + "\nSTATUS=" + doing) }

// beatEvery is how often the pulse is written at most: passes can follow one another closely.
const beatEvery = 5 * time.Second

// newBeater prepares the pulse of a stack, on the engine at an address, that is looked at at least every interval.
func newBeater(engine, stack string, interval time.Duration, log *slog.Logger) *beater {
	sum := sha256.Sum256([]byte(engine)) // projects of one name on two engines are two stacks
	name := fmt.Sprintf("%s-%x.pulse", stack, sum[:4])
	return &beater{file: filepath.Join(pulseDir(), name), pulse: pulse{Stack: stack, PID: os.Getpid(), Within: interval.Seconds()}, log: log, notify: notifyAlone}
}

// beat notes a look at the stack and why it failed, if it did. Nothing is noted for a nil beater.
func (b *beater) beat(failed error) {
	if b == nil {
		return
	}
	trouble, now, alive, doing := "", time.Now(), "WATCHDOG=1", "watching "+b.pulse.Stack
	if failed != nil {
		trouble = failed.Error()
		doing += ", but could not look: " + strings.ReplaceAll(trouble, "\n", " ")
	}
	switch {
	case b.written.IsZero():
		alive = "READY=1"
	case now.Sub(b.written) < beatEvery && trouble == b.pulse.Trouble:
		return
	}
	b.pulse.At, b.pulse.Trouble, b.written = now.UTC(), trouble, now
	if err := errors.Join(b.notify(alive, doing), b.write()); err != nil && err.Error() != b.broken {
		b.broken = err.Error()
		b.log.Warn("the health of this process cannot be told", "error", err)
	}
}

// ended notes that nobody looks at the stack, and why, for so long.
func (b *beater) ended(why error, within time.Duration) {
	b.pulse.At, b.pulse.Ended, b.pulse.Within = time.Now().UTC(), why.Error(), within.Seconds()
	if err := b.write(); err != nil {
		b.log.Warn("the health of this process cannot be told", "error", err)
	}
}

// write puts the pulse in the place of the last one, whole.
func (b *beater) write() error {
	if last, err := readPulse(b.file); err == nil && last.PID != b.pulse.PID {
		b.other = last.PID
	}
	data, err := json.Marshal(b.pulse)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(b.file), 0o755)
	}
	if err == nil {
		err = os.WriteFile(b.file+".new", data, 0o644)
	}
	if err == nil {
		err = os.Rename(b.file+".new", b.file)
	}
	if err != nil {
		return fmt.Errorf("write the pulse for `composure health`: %w", err)
	}
	return nil
}

// end takes the pulse away: a remediator that was ended is not ill. It is left to another process that looks after the same stack,
// which writes its own in its place.
func (b *beater) end() {
	if b.other > 0 && !errors.Is(syscall.Kill(b.other, 0), syscall.ESRCH) {
		return
	}
	_ = os.Remove(b.file) // one that stays turns unhealthy, which is noticed
}

// notifySystemd sends a state to the service manager that started this process, if one asked for it (sd_notify(3)).
func notifySystemd(state string) error {
	address := os.Getenv("NOTIFY_SOCKET")
	if address == "" {
		return nil
	}
	conn, err := net.Dial("unixgram", address) // @ is an abstract socket here too
	if err == nil {
		_, err = conn.Write([]byte(state))
		err = errors.Join(err, conn.Close())
	}
	if err != nil {
		return fmt.Errorf("notify systemd: %w", err)
	}
	return nil
}
