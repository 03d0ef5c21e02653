package engine_test

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/registry"
	"golang.org/x/crypto/bcrypt"

	"composure/controller/engine"
	"composure/controller/observe"
	"composure/test/ports"
)

const registryUser, registryPassword = "puller", "s3cret-pass"

// startRegistry runs a registry on loopback until the test ends, with a login if secured, and returns its host:port.
func startRegistry(t *testing.T, secured bool) string {
	t.Helper()
	binary, err := exec.LookPath("docker-registry")
	if err != nil {
		if out, err := exec.Command("../../hack/registry.sh").CombinedOutput(); err != nil {
			t.Fatalf("hack/registry.sh: %v\n%s", err, out)
		}
		if binary, err = exec.LookPath("docker-registry"); err != nil {
			t.Fatal(err)
		}
	}
	dir, address := t.TempDir(), "127.0.0.1:"+ports.Text(t)
	config := fmt.Sprintf("version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\nstorage: {filesystem: {rootdirectory: %s}}\nhttp: {addr: %s, secret: test}\n",
		filepath.Join(dir, "data"), address)
	if secured {
		hash, err := bcrypt.GenerateFromPassword([]byte(registryPassword), bcrypt.MinCost)
		if err != nil {
			t.Fatal(err)
		}
		writeFile(t, filepath.Join(dir, "htpasswd"), []byte(registryUser+":"+string(hash)+"\n"))
		config += fmt.Sprintf("auth: {htpasswd: {realm: test, path: %s}}\n", filepath.Join(dir, "htpasswd"))
	}
	writeFile(t, filepath.Join(dir, "config.yml"), []byte(config))
	var output bytes.Buffer
	command := exec.Command(binary, "serve", filepath.Join(dir, "config.yml"))
	command.Stdout, command.Stderr = &output, &output
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait()
		if t.Failed() {
			t.Logf("registry: %s", output.String())
		}
	})
	eventually(t, "the registry answers", func() bool {
		answer, err := http.Get("http://" + address + "/v2/")
		if err == nil {
			_ = answer.Body.Close()
		}
		return err == nil
	})
	return address
}

// push makes an image with content of its own, pushes it and removes it from the engine. It returns its id.
func (s *sandbox) push(t *testing.T, ref string) string {
	t.Helper()
	id := s.importImage(t, ref)
	auth, err := registry.EncodeAuthConfig(registry.AuthConfig{Username: registryUser, Password: registryPassword})
	if err != nil {
		t.Fatal(err)
	}
	stream, err := s.raw.ImagePush(t.Context(), ref, image.PushOptions{RegistryAuth: auth})
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	answer, err := io.ReadAll(stream)
	if err != nil || bytes.Contains(answer, []byte(`"error"`)) {
		t.Fatalf("push: %v\n%s", err, answer)
	}
	s.removeImage(t, ref)
	return id
}

// importImage makes an image of a random file.
func (s *sandbox) importImage(t *testing.T, ref string) string {
	t.Helper()
	content := make([]byte, 1<<20)
	_, _ = rand.Read(content)
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	_ = w.WriteHeader(&tar.Header{Name: "content", Size: int64(len(content)), Mode: 0o644})
	_, _ = w.Write(content)
	_ = w.Close()
	stream, err := s.raw.ImageImport(t.Context(), image.ImportSource{Source: &archive, SourceName: "-"}, ref, image.ImportOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	_, _ = io.Copy(io.Discard, stream)
	found, err := s.Image(t.Context(), ref)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.removeImage(t, found.ID) })
	return found.ID
}

// removeImage removes an image if it is there.
func (s *sandbox) removeImage(t *testing.T, ref string) {
	t.Helper()
	_, err := s.raw.ImageRemove(context.Background(), ref, image.RemoveOptions{Force: true, PruneChildren: true})
	if err != nil && !strings.Contains(err.Error(), "No such image") {
		t.Error(err)
	}
}

func TestPull(t *testing.T) {
	cleanEnvironment(t)
	s := open(t)
	ref := startRegistry(t, false) + "/cmpsr-eng/app:1"
	first := s.push(t, ref)

	if _, err := s.Image(t.Context(), ref); !errors.Is(err, observe.ErrImageMissing) {
		t.Fatalf("before the pull: %v", err)
	}
	var seen []string
	if err := s.Pull(t.Context(), ref, "", func(p engine.Progress) { seen = append(seen, p.String()) }); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Image(t.Context(), ref); err != nil || got.ID != first {
		t.Errorf("got %s, %v, want %s", got.ID, err, first)
	}
	if text := strings.Join(seen, "\n"); !strings.Contains(text, "Pull complete") || !strings.Contains(text, "Downloaded newer image") {
		t.Errorf("progress: %s", text)
	}

	moved := s.push(t, ref)
	if err := s.Pull(t.Context(), ref, "", nil); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Image(t.Context(), ref); err != nil || got.ID != moved || moved == first {
		t.Errorf("the tag moved: got %s, %v, want %s", got.ID, err, moved)
	}
	kept := s.name("kept") + ":1"
	if err := s.Tag(t.Context(), ref, kept); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Image(t.Context(), kept); err != nil || got.ID != moved {
		t.Errorf("got %s, %v, want %s", got.ID, err, moved)
	}
	s.removeImage(t, ref)
	missing := strings.TrimSuffix(ref, "app:1")
	for _, ref := range []string{missing + "app:2", missing + "nothing:1"} {
		if err := s.Pull(t.Context(), ref, "", nil); !errors.Is(err, observe.ErrImageMissing) {
			t.Errorf("%s: %v", ref, err)
		}
	}
	if err := s.Pull(t.Context(), "Not A Reference", "", nil); err == nil {
		t.Error("pulled nonsense")
	}
}

func TestPullWithCredentials(t *testing.T) {
	dir := cleanEnvironment(t)
	s := open(t)
	host := startRegistry(t, true)
	ref := host + "/cmpsr-eng/private:1"
	s.push(t, ref)
	helper := fmt.Sprintf("#!/bin/sh\ncat >/dev/null\necho '{\"ServerURL\":\"%s\",\"Username\":\"%s\",\"Secret\":\"%s\"}'\n", host, registryUser, registryPassword)
	writeFile(t, filepath.Join(dir, "bin", "docker-credential-test"), []byte(helper))
	if err := os.Chmod(filepath.Join(dir, "bin", "docker-credential-test"), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", filepath.Join(dir, "bin")+":"+os.Getenv("PATH"))

	auth := func(password string) map[string]any {
		encoded := base64.StdEncoding.EncodeToString([]byte(registryUser + ":" + password))
		return map[string]any{"auths": map[string]any{host: map[string]any{"auth": encoded}}}
	}
	tests := []struct {
		what   string
		config map[string]any
		want   error
	}{
		{"none", map[string]any{}, observe.ErrDenied},
		{"wrong password", auth("wrong"), observe.ErrDenied},
		{"helper that is not there", map[string]any{"credHelpers": map[string]any{host: "absent"}}, observe.ErrDenied},
		{"auths", auth(registryPassword), nil},
		{"credential helper of the registry", map[string]any{"credHelpers": map[string]any{host: "test"}}, nil},
		{"credentials store", map[string]any{"credsStore": "test"}, nil},
	}
	for _, test := range tests {
		t.Run(test.what, func(t *testing.T) {
			config, err := json.Marshal(test.config)
			if err != nil {
				t.Fatal(err)
			}
			writeFile(t, filepath.Join(dir, "config.json"), config) // while connected, as a login would
			err = s.Pull(t.Context(), ref, "", nil)
			if !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
			if err != nil && strings.Contains(err.Error(), registryPassword) {
				t.Errorf("the password is in the error: %v", err)
			}
			s.removeImage(t, ref)
		})
	}
}

func TestPullFromNowhere(t *testing.T) {
	cleanEnvironment(t)
	s := open(t)
	err := s.Pull(t.Context(), "127.0.0.1:"+ports.Text(t)+"/cmpsr-eng/app:1", "", nil)
	if err == nil || !strings.Contains(err.Error(), "connection refused") {
		t.Fatalf("got %v", err)
	}
	for _, wrong := range []error{observe.ErrUnreachable, observe.ErrNoAnswer, observe.ErrNotFound, observe.ErrDenied} {
		if errors.Is(err, wrong) {
			t.Errorf("a registry that is down is no %q: %v", wrong, err)
		}
	}
}

// TestPullInterrupted ends a pull while a layer is on its way, and pulls again.
func TestPullInterrupted(t *testing.T) {
	cleanEnvironment(t)
	s := open(t)
	target, err := url.Parse("http://" + startRegistry(t, false))
	if err != nil {
		t.Fatal(err)
	}
	s.push(t, target.Host+"/cmpsr-eng/slow:1")
	forward := httputil.NewSingleHostReverseProxy(target)
	reached, released := make(chan struct{}, 10), make(chan struct{})
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-released:
			forward.ServeHTTP(w, r)
			return
		default:
		}
		if !strings.Contains(r.URL.Path, "/blobs/") {
			forward.ServeHTTP(w, r)
			return
		}
		reached <- struct{}{}
		<-released // the engine does not always hang up when it gives up
		panic(http.ErrAbortHandler)
	}))
	t.Cleanup(proxy.Close)
	release := sync.OnceFunc(func() { close(released) })
	t.Cleanup(release)
	ref := strings.TrimPrefix(proxy.URL, "http://") + "/cmpsr-eng/slow:1"
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-reached; cancel() }()
	if err := s.Pull(ctx, ref, "", nil); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	if _, err := s.Image(t.Context(), ref); !observe.IsNotFound(err) {
		t.Errorf("half an image: %v", err)
	}
	release()
	retry, done := context.WithTimeout(t.Context(), time.Minute)
	defer done()
	if err := s.Pull(retry, ref, "", nil); err != nil {
		t.Fatal(err)
	}
	s.removeImage(t, ref)
}
