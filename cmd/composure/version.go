package main

import (
	"cmp"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// What a build says about itself; the Makefile sets all three. A plain `go build` leaves them to the toolchain's record.
var (
	version = "dev"
	commit  string // hash; with -dirty when the tree had changes
	built   string // time of the commit, RFC 3339: the time of the build would make each build another file
)

// build is `version -o json`.
type build struct {
	Schema  string `json:"schema"`
	Version string `json:"version"`
	Commit  string `json:"commit,omitempty"`
	Date    string `json:"date,omitempty"` // of the commit
	Go      string `json:"go"`
	OS      string `json:"os"`
	Arch    string `json:"arch"`
}

func newVersion(a *app) *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:     "version",
		Short:   "Print the version and how it was built",
		Example: "  composure version\n  composure version -o json",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if err := output(format, "text", "json"); err != nil {
				return err
			}
			if format == "json" {
				return writeJSON(a.stdout, thisBuild())
			}
			_, err := fmt.Fprintln(a.stdout, thisBuild())
			return err
		},
	}
	cmd.Flags().StringVarP(&format, "output", "o", "text", "text or json")
	return cmd
}

func thisBuild() build {
	b := build{
		Schema: "composure.version/v1", Version: version, Commit: commit, Date: built,
		Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH,
	}
	recorded := map[string]string{}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			recorded[s.Key] = s.Value
		}
	}
	b.Commit = cmp.Or(b.Commit, recorded["vcs.revision"])
	b.Date = cmp.Or(b.Date, recorded["vcs.time"])
	return b
}

// String is one line for people, such as "composure v1.2.0, commit 1a2b3c of 2026-11-25T10:00:00Z, go1.26.8 linux/amd64".
func (b build) String() string {
	text := "composure " + b.Version
	if b.Commit != "" {
		text += fmt.Sprintf(", commit %.12s", b.Commit)
	}
	if b.Date != "" {
		text += " of " + b.Date
	}
	return fmt.Sprintf("%s, %s %s/%s", text, b.Go, b.OS, b.Arch)
}
