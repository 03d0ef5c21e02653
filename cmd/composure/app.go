package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/lmittmann/tint"
	"github.com/spf13/pflag"

	"composure/controller/engine"
	"composure/controller/observe"
	"composure/spec"
)

// app is what the commands share: the streams and the global flags.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer

	files, profiles, envFiles []string
	project, directory        string
	host, context             string
	stateDir, storeURL        string
	logLevel, logFormat       string

	observeEngine func(endpoint string, took time.Duration, failed bool) // nil: nobody asks

	person string // who gives a command through the dashboard; empty: the user of this process

	workingDir string  // where the compose files are searched for; empty: that of the process
	common     *common // what the stacks of this process share; nil: there is one

	tls       engine.TLS // of the docker CLI, when it calls us as its plugin
	configDir string     // the same

	outside outside
}

// outside are the ways out of the process. Tests under virtual time put their own in place; nil and empty are the real ones.
type outside struct {
	engine observe.DialFunc                          // to the engine
	reach  observe.DialFunc                          // to what is probed and examined
	driver string                                    // of database/sql, for SQLite
	stamp  func() string                             // changes with what that driver writes
	calls  func(http.RoundTripper) http.RoundTripper // stands before the engine's transport

	seats *seating // instead of what processes of this machine say; nil with engine: nobody is asked

	// stirs tells of what is written in a directory, as stirs does.
	stirs func(ctx context.Context, dir string, log *slog.Logger) <-chan struct{}

	// load makes the stack of files that were read.
	load func(context.Context, *spec.Files) (*spec.Stack, error)

	// model reads the model of what was applied, as spec.FromCanonical does.
	model func(data []byte, like *spec.Stack) (*spec.Stack, error)

	// measure makes the integrity checks of a service.
	measure func(ctx context.Context, stack *spec.Stack, snapshot *observe.Snapshot, service string) observe.Measurement
}

// addFlags adds the global flags: those of docker compose under their names, then our own.
func (a *app) addFlags(f *pflag.FlagSet) {
	f.StringArrayVarP(&a.files, "file", "f", nil, "compose file; may be given several times, - is standard input")
	f.StringVarP(&a.project, "project-name", "p", "", "project name")
	f.StringArrayVar(&a.profiles, "profile", nil, "profile to enable; may be given several times")
	f.StringArrayVar(&a.envFiles, "env-file", nil, "environment file instead of .env; may be given several times")
	f.StringVar(&a.directory, "project-directory", "", "project directory (default: that of the first compose file)")
	f.StringVarP(&a.host, "host", "H", "", "engine to talk to, such as unix:///var/run/docker.sock, tcp://…, ssh://… (default: DOCKER_HOST, then the docker context)")
	f.StringVar(&a.context, "context", "", "docker context to use")
	f.StringVar(&a.stateDir, "state-dir", "", "where Composure keeps its memory (default: /var/lib/composure for root, else the user's state directory)")
	f.StringVar(&a.storeURL, "store", "", "postgres://… to keep the memory in PostgreSQL instead of SQLite")
	f.StringVar(&a.logLevel, "log-level", "warn", "debug, info, warn or error; the continuous remediator says info unless told otherwise")
	f.StringVar(&a.logFormat, "log-format", "auto", "auto (coloured on a terminal, else text), text or json")
}

// load reads the compose files and makes the stack of them.
func (a *app) load(ctx context.Context) (*spec.Stack, error) {
	files, err := a.read()
	if err != nil {
		return nil, err
	}
	return a.loadFrom(ctx, files)
}

// read finds and reads the compose files.
func (a *app) read() (*spec.Files, error) {
	return spec.Read(spec.Options{
		Files: a.files, ProjectName: a.project, ProjectDir: a.directory, Profiles: a.profiles, EnvFiles: a.envFiles, Stdin: a.stdin,
		WorkingDir: a.workingDir,
	})
}

// loadFrom makes the stack of files that were read, and prints what there is to warn about.
func (a *app) loadFrom(ctx context.Context, files *spec.Files) (*spec.Stack, error) {
	load := a.outside.load
	if load == nil {
		load = func(ctx context.Context, files *spec.Files) (*spec.Stack, error) { return files.Load(ctx) }
	}
	stack, err := load(ctx, files)
	if err != nil {
		return nil, err
	}
	for _, w := range stack.Warnings {
		fmt.Fprintln(a.stderr, "warning:", w)
	}
	return stack, nil
}

// connect reaches the engine.
func (a *app) connect(ctx context.Context, log *slog.Logger) (*engine.Engine, error) {
	return engine.Connect(ctx, a.engineOptions(log))
}

// engineOptions say which engine is meant, and how it is reached.
func (a *app) engineOptions(log *slog.Logger) engine.Options {
	return engine.Options{Host: a.host, Context: a.context, ConfigDir: a.configDir, TLS: a.tls, Logger: log, Dial: a.outside.engine, Wrap: a.outside.calls, Observe: a.observeEngine}
}

// logger writes to standard error as the flags say.
func (a *app) logger() (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(a.logLevel)); err != nil {
		return nil, fmt.Errorf("--log-level: %q is not a level; use debug, info, warn or error", a.logLevel)
	}
	switch a.logFormat {
	case "json":
		return slog.New(slog.NewJSONHandler(a.stderr, &slog.HandlerOptions{Level: level})), nil
	case "text":
		return slog.New(slog.NewTextHandler(a.stderr, &slog.HandlerOptions{Level: level})), nil
	case "auto":
		if look := terminal(a.stderr); look.Terminal {
			return slog.New(tint.NewHandler(a.stderr, &tint.Options{Level: level, TimeFormat: time.TimeOnly, NoColor: !look.Color})), nil
		}
		return slog.New(slog.NewTextHandler(a.stderr, &slog.HandlerOptions{Level: level})), nil
	}
	return nil, fmt.Errorf("--log-format: %q is not a format; use auto, text or json", a.logFormat)
}

// output checks the value of -o.
func output(value string, formats ...string) error {
	for _, f := range formats {
		if value == f {
			return nil
		}
	}
	return fmt.Errorf("-o: %q is not a format; use one of %s", value, strings.Join(formats, ", "))
}

// workingDir is where paths are shown relative to.
func workingDir() string {
	dir, err := os.Getwd()
	if err != nil {
		return "/"
	}
	return dir
}
