package main

import (
	"fmt"
	"slices"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"composure/controller/engine"
)

func newEndpoints(a *app) *cobra.Command {
	var mode, format string
	cmd := &cobra.Command{
		Use:   "endpoints [--mode drift|diagnose|reconcile]",
		Short: "List the endpoints of the Engine API that are needed, for a socket proxy",
		Long: `List exactly the endpoints of the Engine API that Composure calls, for a proxy before the engine's socket that allows
nothing else. "drift" is for composure drift, history and incidents, which only look; "diagnose" adds diagnose, status
and baseline, which also run commands in containers; "reconcile" is everything.

Paths are without the version. A path in braces stands for one segment, {ref} for several. Whoever may create containers
is root on the host, whatever stands before the socket.`,
		Example: "  composure endpoints\n  composure endpoints --mode drift -o json",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if err := output(format, "text", "json"); err != nil {
				return err
			}
			if !slices.Contains(engine.Modes(), engine.Mode(mode)) {
				return fmt.Errorf("--mode: %q is not a mode; use one of %v", mode, engine.Modes())
			}
			needed := engine.Endpoints(engine.Mode(mode))
			if format == "json" {
				return writeJSON(a.stdout, map[string]any{"schema": "composure.endpoints/v1", "mode": mode, "endpoints": needed})
			}
			t := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
			for _, e := range needed {
				fmt.Fprintf(t, "%s\t%s\t%s\n", e.Method, e.Path, e.Why)
			}
			return t.Flush()
		},
	}
	cmd.Flags().StringVar(&mode, "mode", string(engine.ModeReconcile), "drift, diagnose or reconcile")
	cmd.Flags().StringVarP(&format, "output", "o", "text", "text or json")
	return cmd
}
