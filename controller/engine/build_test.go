package engine_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/ssh"

	"composure/controller/engine"
	"composure/controller/observe"
	"composure/spec"
)

// contextDir writes a build context.
func contextDir(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		writeFile(t, filepath.Join(dir, name), []byte(content))
		if err := os.Chmod(filepath.Join(dir, name), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// eachBuilder runs a test with the classic builder and with BuildKit; this engine has both.
func eachBuilder(t *testing.T, test func(t *testing.T, s *sandbox)) {
	for name, value := range map[string]string{"classic": "0", "buildkit": "1"} {
		t.Run(name, func(t *testing.T) {
			cleanEnvironment(t)
			t.Setenv("DOCKER_BUILDKIT", value)
			test(t, open(t))
		})
	}
}

// build builds an image that is removed with the sandbox.
func (s *sandbox) build(t *testing.T, b *spec.Build, opts engine.BuildOptions, progress func(engine.Progress)) (tag, id string) {
	t.Helper()
	tag = s.name("image") + ":1"
	id, err := s.Build(t.Context(), b, tag, opts, progress)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, ref := range append(b.Tags, tag, id) { // another build may have taken the tag
			s.removeImage(t, ref)
		}
	})
	found, err := s.Image(t.Context(), tag)
	if err != nil || found.ID != id {
		t.Fatalf("%s is %s, %v; the build said %s", tag, found.ID, err, id)
	}
	return tag, id
}

// output runs a command in a container of an image.
func (s *sandbox) output(t *testing.T, image string, argv ...string) string {
	t.Helper()
	c := s.desired("output", argv...)
	c.Config.Image = image
	id := s.start(t, c)
	eventually(t, "the command has ended", func() bool { return !s.inspect(t, id).State.Running })
	text, err := s.Logs(t.Context(), id, 1000, 1<<16)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Remove(t.Context(), id, true); err != nil {
		t.Fatal(err)
	}
	return text
}

const dockerfile = "FROM " + testImage + "\nCOPY . /app\n"

func TestBuildContext(t *testing.T) {
	files := map[string]string{
		".dockerignore": "# kept out\n*.log\nnode_modules\nsecret\n!secret/public\n**/deep.tmp\nDockerfile\n",
		"Dockerfile":    dockerfile, "a.txt": "a", "b.log": "b", "node_modules/m/index.js": "m",
		"secret/private": "p", "secret/public": "p", "dir/deep.tmp": "t", "dir/kept": "k",
	}
	eachBuilder(t, func(t *testing.T, s *sandbox) {
		dir := contextDir(t, files)
		if err := os.Symlink("a.txt", filepath.Join(dir, "link")); err != nil {
			t.Fatal(err)
		}
		image, _ := s.build(t, &spec.Build{Context: dir, Dockerfile: "Dockerfile"}, engine.BuildOptions{}, nil)
		got := strings.Fields(s.output(t, image, "sh", "-c", "cd /app && find . -type f -o -type l"))
		slices.Sort(got)
		got = slices.DeleteFunc(got, func(name string) bool { return name == "./.dockerignore" || name == "./Dockerfile" })
		want := []string{"./a.txt", "./dir/kept", "./link", "./secret/public"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("in the image (-want +got):\n%s", diff)
		}
		if got := s.output(t, image, "stat", "-c", "%u %g %a", "/app/a.txt"); got != "0 0 644\n" {
			t.Errorf("owner and mode: %q", got)
		}
	})
}

func TestBuildSection(t *testing.T) {
	eachBuilder(t, func(t *testing.T, s *sandbox) {
		version := "2.5"
		b := &spec.Build{
			Context: contextDir(t, map[string]string{"f": "x"}),
			DockerfileInline: "FROM " + testImage + " AS base\nARG VERSION\nRUN echo $VERSION > /version; ulimit -n >> /version; grep registry.internal /etc/hosts >> /version\n" +
				"FROM base AS other\nRUN false\n",
			Target: "base", Args: map[string]*string{"VERSION": &version}, Labels: map[string]string{"org.example.team": "payments"},
			Tags: []string{s.name("extra") + ":7"}, NoCache: true, ShmSize: 8 << 20, CacheFrom: []string{testImage, "type=gha"},
			ExtraHosts: []string{"registry.internal:10.1.2.3"}, Ulimits: map[string]string{"nofile": "1234:2345"},
			Platforms: []string{"linux/amd64"}, Network: "host",
		}
		if arch := s.architecture(t); arch != "amd64" {
			b.Platforms = []string{"linux/" + arch}
		}
		var lines []string
		image, id := s.build(t, b, engine.BuildOptions{Labels: map[string]string{"org.example.run": "42"}}, func(p engine.Progress) {
			lines = append(lines, p.String())
		})
		got := strings.Fields(s.output(t, image, "cat", "/version"))
		if len(got) < 4 || got[0] != "2.5" || got[1] != "1234" && os.Getenv("DOCKER_BUILDKIT") == "0" || got[2] != "10.1.2.3" {
			t.Errorf("the build saw %q", got)
		}
		found, err := s.Image(t.Context(), b.Tags[0])
		if err != nil || found.ID != id || found.Config.Labels["org.example.team"] != "payments" || found.Config.Labels["org.example.run"] != "42" {
			t.Errorf("got %+v, %v", found.Config, err)
		}
		if text := strings.Join(lines, "\n"); !strings.Contains(text, "RUN echo") {
			t.Errorf("progress: %s", text)
		}
	})
}

func (s *sandbox) architecture(t *testing.T) string {
	t.Helper()
	about, err := s.Engine.Engine(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return about.Arch
}

func TestBuildDockerfileElsewhere(t *testing.T) {
	eachBuilder(t, func(t *testing.T, s *sandbox) {
		outside := filepath.Join(contextDir(t, map[string]string{"build.Dockerfile": dockerfile}), "build.Dockerfile")
		dir := contextDir(t, map[string]string{"f": "x", "sub/my.Dockerfile": dockerfile, "sub/my.Dockerfile.dockerignore": "f\n", "g": "y"})
		for file, want := range map[string]string{outside: "f g", "sub/my.Dockerfile": "g"} {
			image, _ := s.build(t, &spec.Build{Context: dir, Dockerfile: file}, engine.BuildOptions{}, nil)
			if got := strings.Join(strings.Fields(s.output(t, image, "sh", "-c", "cd /app; ls -d ? ")), " "); got != want {
				t.Errorf("%s: got %q, want %q", file, got, want)
			}
		}
	})
}

func TestBuildFails(t *testing.T) {
	eachBuilder(t, func(t *testing.T, s *sandbox) {
		fails := func(b *spec.Build, want string) error {
			t.Helper()
			_, err := s.Build(t.Context(), b, s.name("failing")+":1", engine.BuildOptions{}, nil)
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("want %q, got %v", want, err)
			}
			if errors.Is(err, observe.ErrUnreachable) || errors.Is(err, observe.ErrNoAnswer) {
				t.Errorf("the engine did answer: %v", err)
			}
			return err
		}
		dir := contextDir(t, map[string]string{"f": "x"})
		inline := func(text string) *spec.Build { return &spec.Build{Context: dir, DockerfileInline: text} }
		_ = fails(inline("FROM "+testImage+"\nRUN exit 3\n"), "3")
		_ = fails(inline("FROM "+testImage+"\nCOPY absent /\n"), "absent")
		_ = fails(inline("FRUM x\n"), "FRUM")
		_ = fails(&spec.Build{Context: dir}, "Dockerfile")
		_ = fails(&spec.Build{Context: filepath.Join(dir, "absent")}, "absent")
		_ = fails(&spec.Build{Context: filepath.Join(dir, "f")}, "not a directory")
		_ = fails(&spec.Build{Context: dir, DockerfileInline: "FROM scratch", Ulimits: map[string]string{"nofile": "many"}}, "ulimits.nofile")
	})
}

// TestBuildUnable asks for what a builder cannot do: it is said before anything is sent.
func TestBuildUnable(t *testing.T) {
	cleanEnvironment(t)
	t.Setenv("DOCKER_BUILDKIT", "0")
	s := open(t)
	tests := map[string]*spec.Build{
		"additional_contexts": {AdditionalContexts: map[string]string{"x": "/x"}},
		"secrets":             {Secrets: map[string]string{"token": "/token"}},
		"ssh":                 {SSH: []string{"default"}},
		"privileged":          {Privileged: true},
		"platforms":           {Platforms: []string{"linux/amd64", "linux/arm64"}},
	}
	for key, b := range tests {
		b.Context = "/nonexistent" // must not even be looked at
		_, err := s.Build(t.Context(), b, "x", engine.BuildOptions{}, nil)
		if err == nil || !strings.Contains(err.Error(), "build."+key) {
			t.Errorf("%s: got %v", key, err)
		}
	}
	t.Setenv("DOCKER_BUILDKIT", "perhaps")
	if _, err := s.Build(t.Context(), &spec.Build{}, "x", engine.BuildOptions{}, nil); err == nil || !strings.Contains(err.Error(), "DOCKER_BUILDKIT") {
		t.Errorf("got %v", err)
	}
}

func TestBuildCancelled(t *testing.T) {
	eachBuilder(t, func(t *testing.T, s *sandbox) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		b := &spec.Build{Context: contextDir(t, map[string]string{"f": "x"}), DockerfileInline: "FROM " + testImage + "\nRUN echo begun; sleep 300\n", NoCache: true}
		_, err := s.Build(ctx, b, s.name("cancelled")+":1", engine.BuildOptions{}, func(p engine.Progress) {
			if strings.Contains(p.Status, "begun") && !strings.Contains(p.Status, "RUN") {
				cancel()
			}
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
}

// TestBuildSession gives a build a secret, an ssh agent and the credentials of its base image's registry.
func TestBuildSession(t *testing.T) {
	dir := cleanEnvironment(t)
	t.Setenv("DOCKER_BUILDKIT", "1")
	s := open(t)
	b := &spec.Build{
		Context: contextDir(t, map[string]string{"f": "x"}), NoCache: true,
		Secrets: map[string]string{"token": filepath.Join(contextDir(t, map[string]string{"token": "t0ken"}), "token")},
		SSH:     []string{"default=" + sshKey(t)},
		DockerfileInline: "FROM " + testImage + "\n" +
			"RUN --mount=type=secret,id=token wc -c < /run/secrets/token > /seen\n" +
			"COPY sshlist /sshlist\n" +
			"RUN --mount=type=ssh /sshlist >> /seen\n",
	}
	list := exec.Command("go", "build", "-o", filepath.Join(b.Context, "sshlist"), "./testdata/sshlist")
	list.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := list.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	image, _ := s.build(t, b, engine.BuildOptions{}, nil)
	if got := strings.Fields(s.output(t, image, "cat", "/seen")); !slices.Equal(got, []string{"5", "ssh-ed25519"}) {
		t.Errorf("the build saw %q", got)
	}

	host := startRegistry(t, true)
	ref := host + "/cmpsr-eng/base:1"
	s.push(t, ref)
	private := &spec.Build{Context: b.Context, DockerfileInline: "FROM " + ref + "\nCOPY f /f\n"}
	if _, err := s.Build(t.Context(), private, s.name("private")+":1", engine.BuildOptions{}, nil); !errors.Is(err, observe.ErrDenied) {
		t.Errorf("without credentials: %v", err)
	}
	encoded := base64.StdEncoding.EncodeToString([]byte(registryUser + ":" + registryPassword))
	writeFile(t, filepath.Join(dir, "config.json"), []byte(`{"auths":{"`+host+`":{"auth":"`+encoded+`"}}}`))
	s.build(t, private, engine.BuildOptions{}, nil)

	absent := &spec.Build{Context: b.Context, Secrets: map[string]string{"token": "/nonexistent"}}
	if _, err := s.Build(t.Context(), absent, "x", engine.BuildOptions{}, nil); err == nil || !strings.Contains(err.Error(), "build.secrets: token") {
		t.Errorf("got %v", err)
	}
}

// sshKey writes a private key.
func sshKey(t *testing.T) string {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(key, "")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "key")
	writeFile(t, file, pem.EncodeToMemory(block))
	return file
}
