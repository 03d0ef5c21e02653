package observe

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// checkTime is how long a healthcheck made by hand may take: a sensible time for an answer, whatever its own timeout is.
// It ends before the collection does.
const checkTime = otherTimeout - 500*time.Millisecond

// check makes the container's healthcheck once more, as the engine does but with time to answer: on a busy machine a short
// timeout passes before the check has begun.
func (x *examination) check(ctx context.Context) error {
	argv := x.checkCommand()
	if !x.self.Running() || argv == nil {
		return nil
	}
	limited, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	entry := HealthEntry{Start: time.Now()}
	result, err := x.engine.Exec(limited, x.self.ID, argv)
	entry.End = time.Now()
	switch {
	case err == nil:
		entry.ExitCode, entry.Output = result.ExitCode, cut(maskText(result.Output, x.secrets), maxLine)
	case errors.Is(limited.Err(), context.DeadlineExceeded) && x.engineAnswers(ctx):
		entry.ExitCode, entry.Output = -1, fmt.Sprintf("no answer within %s", checkTime)
	default:
		return err
	}
	x.keep(func(e *Evidence) { e.Check = &entry })
	return nil
}

// checkCommand is what the engine runs for the healthcheck; nil: there is none.
func (x *examination) checkCommand() []string {
	config := x.self.Inspect.Config
	if config == nil || config.Healthcheck == nil || len(config.Healthcheck.Test) < 2 {
		return nil
	}
	switch test := config.Healthcheck.Test; test[0] {
	case "CMD":
		return test[1:]
	case "CMD-SHELL":
		shell := []string(config.Shell)
		if len(shell) == 0 {
			shell = []string{"/bin/sh", "-c"}
		}
		return append(append([]string{}, shell...), test[1])
	}
	return nil
}
