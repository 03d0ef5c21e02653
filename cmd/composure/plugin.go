package main

import (
	"context"
	"encoding/json"
	"io"
	"path/filepath"
	"strings"

	"github.com/docker/cli/cli-plugins/metadata"
	"github.com/docker/cli/cli-plugins/socket"
	"github.com/spf13/pflag"

	"composure/controller/engine"
)

// pluginName is what the docker CLI calls the program by, as `docker composure drift`.
const pluginName = "composure"

// asPlugin says whether the program was called by the name of a docker CLI plugin. Builds carry their platform in the name.
func asPlugin(program string) bool {
	return strings.HasPrefix(filepath.Base(program), metadata.NamePrefix+pluginName)
}

// answerMetadata tells the docker CLI who this is.
func answerMetadata(w io.Writer) error {
	return json.NewEncoder(w).Encode(metadata.Metadata{
		SchemaVersion: "0.1.0", Vendor: "Composure", Version: version, ShortDescription: "Keep Compose stacks the way their file says",
	})
}

// whileDockerLives returns a context that also ends when the docker CLI that called us is told to end: a signal that only
// it receives reaches a plugin as the end of a socket.
func whileDockerLives(ctx context.Context) context.Context {
	ctx, cancel := context.WithCancel(ctx)
	socket.ConnectAndWait(cancel)
	return ctx
}

// pluginArgs turns the arguments of the docker CLI into ours. It calls a plugin with all of them: its own flags, the
// plugin's name, the rest; __complete comes before them. Its flags become the flags and settings of ours that mean the same.
func (a *app) pluginArgs(args []string) []string {
	completes := len(args) > 0 && (args[0] == "__complete" || args[0] == "__completeNoDesc")
	lead, given := args[:0:0], args
	if completes {
		lead, given = args[:1:1], args[1:]
	}
	var dockers dockerFlags
	set := dockers.set()
	if err := set.Parse(given); err != nil || set.Arg(0) != pluginName {
		return args // called by hand, under the plugin's name
	}
	a.tls, a.configDir = dockers.tls, dockers.config
	for name, value := range map[string]string{"--host": dockers.host, "--context": dockers.context, "--log-level": dockers.level()} {
		if value != "" {
			lead = append(lead, name+"="+value)
		}
	}
	return append(lead, set.Args()[1:]...)
}

// dockerFlags are the global flags of the docker CLI.
type dockerFlags struct {
	config, context, host, logLevel string
	debug                           bool
	tls                             engine.TLS
}

func (f *dockerFlags) set() *pflag.FlagSet {
	set := pflag.NewFlagSet("docker", pflag.ContinueOnError)
	set.SetInterspersed(false)
	set.SetOutput(io.Discard)
	set.StringVar(&f.config, "config", "", "")
	set.StringVarP(&f.context, "context", "c", "", "")
	set.StringVarP(&f.host, "host", "H", "", "")
	set.StringVarP(&f.logLevel, "log-level", "l", "", "")
	set.BoolVarP(&f.debug, "debug", "D", false, "")
	set.BoolVar(&f.tls.On, "tls", false, "")
	set.BoolVar(&f.tls.Verify, "tlsverify", false, "")
	set.StringVar(&f.tls.CA, "tlscacert", "", "")
	set.StringVar(&f.tls.Cert, "tlscert", "", "")
	set.StringVar(&f.tls.Key, "tlskey", "", "")
	return set
}

// level is the log level that they ask for; empty: ours. Docker's fatal has no equal here, error is nearest.
func (f *dockerFlags) level() string {
	switch {
	case f.debug:
		return "debug"
	case f.logLevel == "fatal":
		return "error"
	}
	return f.logLevel
}
