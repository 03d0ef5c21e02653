package spec

import (
	"os"
	"path/filepath"
	"testing"
)

// TestPWD: ${PWD} is what the shell says, as docker compose has it, also beside --project-directory; of a project that is read in
// another directory than the process's, as one of several stacks, it is that directory: what the shell says is about none of them.
func TestPWD(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "shop")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	text := "services: {db: {image: x, volumes: ['${PWD}/data:/data'], environment: [PWD]}}\n"
	file := filepath.Join(dir, "compose.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PWD", root)
	for name, test := range map[string]struct {
		options Options
		want    string
	}{
		"in its directory":         {Options{WorkingDir: dir}, dir},
		"of a file":                {Options{Files: []string{file}}, root},
		"with --project-directory": {Options{Files: []string{file}, ProjectDir: dir}, root},
	} {
		stack, err := Load(t.Context(), test.options)
		if err != nil {
			t.Fatal(err)
		}
		c, err := stack.Container(stack.Service("db"), 1, Facts{})
		if err != nil {
			t.Fatal(err)
		}
		if got := append(c.Host.Binds, c.Config.Env...); len(got) != 2 || got[0] != test.want+"/data:/data:rw" || got[1] != "PWD="+test.want {
			t.Errorf("%s: %q, expected those of %s", name, got, test.want)
		}
	}
}
