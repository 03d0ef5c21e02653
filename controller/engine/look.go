package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/docker/docker/api/types/container"

	"composure/controller/observe"
)

// Logs returns the last lines of a container's log, both streams in the order of the engine, at most maxBytes of them:
// the latest. The engine finds the last lines of a log of any size in a millisecond; there is no way to ask for more
// than a number of lines.
func (e *Engine) Logs(ctx context.Context, id string, tail, maxBytes int) (string, error) {
	return e.logs(ctx, id, container.LogsOptions{Tail: strconv.Itoa(max(tail, 1))}, maxBytes)
}

// LogsSince is Logs of the lines since a time, of the last lines: the engine reads only as far back as tail.
func (e *Engine) LogsSince(ctx context.Context, id string, since time.Time, tail, maxBytes int) (string, error) {
	return e.logs(ctx, id, container.LogsOptions{
		Tail: strconv.Itoa(max(tail, 1)), Since: fmt.Sprintf("%d.%09d", since.Unix(), since.Nanosecond()),
	}, maxBytes)
}

// LogsTimed is Logs with the time of each line, in RFC 3339 with nanoseconds, and a space before it.
func (e *Engine) LogsTimed(ctx context.Context, id string, tail, maxBytes int) (string, error) {
	return e.logs(ctx, id, container.LogsOptions{Tail: strconv.Itoa(max(tail, 1)), Timestamps: true}, maxBytes)
}

func (e *Engine) logs(ctx context.Context, id string, opts container.LogsOptions, maxBytes int) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	inspect, err := e.Container(ctx, id)
	if err != nil {
		return "", fmt.Errorf("read logs of %s: %w", short(id), err)
	}
	opts.ShowStdout, opts.ShowStderr = true, true
	stream, err := e.api().ContainerLogs(ctx, id, opts)
	if err != nil {
		return "", wrap(err, "read logs of %s", short(id))
	}
	defer stream.Close()
	out := &lastBytes{limit: maxBytes}
	if err := demultiplex(out, stream, inspect.Config.Tty); err != nil {
		return out.String(), wrap(err, "read logs of %s", short(id))
	}
	return out.String(), nil
}

// lastBytes keeps the end of what is written to it, in at most twice the limit of memory.
type lastBytes struct {
	limit int
	kept  []byte
	cut   bool
}

func (w *lastBytes) Write(p []byte) (int, error) {
	n := len(p)
	if n > w.limit {
		p, w.cut, w.kept = p[n-w.limit:], true, w.kept[:0]
	}
	w.kept = append(w.kept, p...)
	if len(w.kept) > 2*w.limit {
		w.trim()
	}
	return n, nil
}

func (w *lastBytes) trim() {
	if excess := len(w.kept) - w.limit; excess > 0 {
		w.kept, w.cut = append(w.kept[:0], w.kept[excess:]...), true
	}
}

func (w *lastBytes) String() string {
	w.trim()
	return string(w.kept)
}

// ExecResult is how a command in a container ended. Its output is the last maxExecOutput bytes.
type ExecResult = observe.ExecResult

// maxExecOutput bounds what is kept of a command's output.
const maxExecOutput = 256 << 10

// Exec runs a command in a running container and waits for its end. There is no shell. When ctx ends first the command
// goes on in the container: the engine has no way to end it. A container that is stopped or paused is an ErrConflict.
func (e *Engine) Exec(ctx context.Context, id string, argv []string) (ExecResult, error) {
	result, err := e.exec(ctx, id, argv)
	if err != nil && ctx.Err() != nil {
		err = fmt.Errorf("%w (%w)", ctx.Err(), err)
	}
	return result, wrap(err, "run %q in %s", argv[0], short(id))
}

func (e *Engine) exec(ctx context.Context, id string, argv []string) (ExecResult, error) {
	created, err := e.api().ContainerExecCreate(ctx, id, container.ExecOptions{Cmd: argv, AttachStdout: true, AttachStderr: true})
	if err != nil {
		return ExecResult{}, err
	}
	attached, err := e.api().ContainerExecAttach(ctx, created.ID, container.ExecAttachOptions{})
	if err != nil {
		return ExecResult{}, err
	}
	defer attached.Close()
	stop := context.AfterFunc(ctx, attached.Close) // an upgraded connection does not know the context
	defer stop()
	out := &lastBytes{limit: maxExecOutput}
	if err := demultiplex(out, attached.Reader, false); err != nil {
		return ExecResult{}, err
	}
	for {
		inspect, err := e.api().ContainerExecInspect(ctx, created.ID)
		if err != nil {
			return ExecResult{}, err
		}
		if !inspect.Running {
			return ExecResult{ExitCode: inspect.ExitCode, Output: out.String(), Truncated: out.cut}, nil
		}
		select { // the output ends a moment before the engine has noted the exit
		case <-ctx.Done():
			return ExecResult{}, ctx.Err()
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// Top lists the processes of a running container with their ids on the host, as `ps -ef` does.
func (e *Engine) Top(ctx context.Context, id string) (container.TopResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	top, err := e.api().ContainerTop(ctx, id, nil)
	return top, wrap(err, "list processes of %s", short(id))
}

// Stats takes one sample of a container's use of resources, in milliseconds. It has no CPU figures of the sample
// before: the caller keeps that itself. The memory usage includes the page cache; what counts is usage less
// total_inactive_file (cgroup v1) or inactive_file (v2).
func (e *Engine) Stats(ctx context.Context, id string) (container.StatsResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	var stats container.StatsResponse
	answer, err := e.api().ContainerStatsOneShot(ctx, id)
	if err != nil {
		return stats, wrap(err, "sample %s", short(id))
	}
	defer answer.Body.Close()
	return stats, wrap(json.NewDecoder(answer.Body).Decode(&stats), "sample %s", short(id))
}

// WritableSize is how many bytes a container has written outside its volumes: what a recreation drops. The engine walks
// the container's file system for it, so it is asked only before that would happen.
func (e *Engine) WritableSize(ctx context.Context, id string) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	inspect, _, err := e.api().ContainerInspectWithRaw(ctx, id, true)
	if err != nil {
		return 0, wrap(err, "measure %s", short(id))
	}
	if inspect.SizeRw == nil {
		return 0, fmt.Errorf("measure %s: the engine does not say how much it has written", short(id))
	}
	return *inspect.SizeRw, nil
}
