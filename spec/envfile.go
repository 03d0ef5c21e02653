package spec

import (
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/compose-spec/compose-go/v2/dotenv"
	"github.com/docker/cli/pkg/kvfile"
)

// registerRawEnvFiles teaches compose-go the env_file format `raw`, which docker compose brings itself: the format of
// `docker run --env-file`, where quotes and dollars mean nothing.
var registerRawEnvFiles = sync.OnceFunc(func() { dotenv.RegisterFormat("raw", rawEnvFile) })

func rawEnvFile(r io.Reader, file string, vars map[string]string, lookup func(string) (string, bool)) error {
	lines, err := kvfile.ParseFromReader(r, lookup)
	if err != nil {
		return fmt.Errorf("read env_file %s: %w", file, err)
	}
	for _, line := range lines {
		key, value, _ := strings.Cut(line, "=")
		vars[key] = value
	}
	return nil
}
