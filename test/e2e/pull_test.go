package e2e

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/crypto/bcrypt"

	"composure/test/ports"
)

const registryUser, registryPassword = "puller", "s3cret-pass"

// registry is Docker's own registry on loopback.
type registry struct {
	address string
	stop    func()
}

// startRegistry runs one until the test ends, with a login if secured.
func startRegistry(p *project, secured bool) *registry {
	p.t.Helper()
	if out, err := exec.Command("../../hack/registry.sh").CombinedOutput(); err != nil {
		p.t.Fatalf("hack/registry.sh: %v\n%s", err, out)
	}
	dir, r := p.t.TempDir(), &registry{address: "127.0.0.1:" + ports.Text(p.t)}
	config := fmt.Sprintf("version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\nstorage: {filesystem: {rootdirectory: %s}}\nhttp: {addr: %s, secret: test}\n",
		filepath.Join(dir, "data"), r.address)
	if secured {
		hash, err := bcrypt.GenerateFromPassword([]byte(registryPassword), bcrypt.MinCost)
		p.must(err)
		p.must(os.WriteFile(filepath.Join(dir, "htpasswd"), []byte(registryUser+":"+string(hash)+"\n"), 0o600))
		config += fmt.Sprintf("auth: {htpasswd: {realm: test, path: %s}}\n", filepath.Join(dir, "htpasswd"))
	}
	p.must(os.WriteFile(filepath.Join(dir, "config.yml"), []byte(config), 0o600))
	cmd := exec.Command("docker-registry", "serve", filepath.Join(dir, "config.yml"))
	p.must(cmd.Start())
	r.stop = sync.OnceFunc(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	p.t.Cleanup(r.stop)
	p.until("the registry answers", func() bool {
		answer, err := http.Get("http://" + r.address + "/v2/")
		if err == nil {
			_ = answer.Body.Close()
		}
		return err == nil
	})
	return r
}

// push gives an image with a layer of its own to the registry and removes it from the engine.
func (p *project) push(ref, base string) {
	p.t.Helper()
	content := make([]byte, 256<<10)
	_, _ = rand.Read(content)
	p.write(map[string]string{"content": string(content)})
	made := p.docker("create", "--name", p.name+"-image", base)
	p.docker("cp", filepath.Join(p.dir, "content"), made+":/content")
	id := p.docker("commit", made, ref)
	p.docker("rm", made)
	p.docker("--config", p.login(ref), "push", ref)
	p.docker("rmi", ref)
	p.t.Cleanup(func() {
		sweep(p.name) // its containers hold the image
		_, _ = docker("rmi", "-f", ref)
		_, _ = docker("rmi", "-f", id)
	})
}

// login is a docker configuration with the credentials for the registry of a reference.
func (p *project) login(ref string) string {
	p.t.Helper()
	dir := p.t.TempDir()
	host, _, _ := strings.Cut(ref, "/")
	auth := base64.StdEncoding.EncodeToString([]byte(registryUser + ":" + registryPassword))
	p.must(os.WriteFile(filepath.Join(dir, "config.json"), fmt.Appendf(nil, `{"auths": {%q: {"auth": %q}}}`, host, auth), 0o600))
	return dir
}

// TestPull: a missing image, progress, a moved tag, and a registry that is down.
func TestPull(t *testing.T) {
	t.Parallel()
	p := newStack(t, "pull", strings.Replace(web, "composure-test/busybox:1", "${IMAGE}", 1))
	r := startRegistry(p, false)
	ref := r.address + "/cmpsr-e2e/app:1"
	p.env = append(p.env, "IMAGE="+ref)
	p.wants(1, once(), "pull", ref, "NOT converged")
	p.has()
	p.push(ref, "composure-test/busybox:1")
	p.wants(1, once("--dry-run"), "pull image "+ref)
	p.wants(0, once(), "pull image "+ref, "Pull complete")
	p.clean()
	first := p.id("web")

	// The tag moves in the registry: only a policy that asks for it looks there.
	p.docker("tag", ref, "cmpsr-e2e-kept:1")
	t.Cleanup(func() { sweep(p.name); _, _ = docker("rmi", "-f", "cmpsr-e2e-kept:1") })
	p.push(ref, "composure-test/busybox:2")
	p.docker("tag", "cmpsr-e2e-kept:1", ref)
	p.converge()
	if p.id("web") != first {
		t.Error("recreated although nothing asks for a newer image")
	}
	p.edit("    restart: always\n", "    restart: always\n    pull_policy: always\n")
	p.wants(0, once())
	if got := p.docker("exec", p.container("web"), "cat", "/etc/version"); got != "2" || p.id("web") == first {
		t.Errorf("version %s runs", got)
	}
	second := p.id("web")
	p.converge()
	if p.id("web") != second {
		t.Error("recreated although the tag did not move")
	}

	r.stop()
	p.wants(1, once(), ref, "connection refused")
	if c := p.inspect(p.container("web")); c.ID != second || !c.State.Running {
		t.Error("a registry that is down took the service with it")
	}
}

// TestPullWithCredentials of the docker configuration, and without.
func TestPullWithCredentials(t *testing.T) {
	t.Parallel()
	p := newStack(t, "login", strings.Replace(web, "composure-test/busybox:1", "${IMAGE}", 1))
	ref := startRegistry(p, true).address + "/cmpsr-e2e/private:1"
	p.env = append(p.env, "IMAGE="+ref)
	p.push(ref, "composure-test/busybox:1")
	r := p.wants(1, once(), ref, "NOT converged")
	if !strings.Contains(r.stdout, "credentials") && !strings.Contains(r.stdout, "denied") && !strings.Contains(r.stdout, "authentication") {
		t.Errorf("nothing says that a login is missing: %s", r)
	}
	p.env = append(p.env, "DOCKER_CONFIG="+p.login(ref))
	r = p.wants(0, append([]string{"--log-level", "debug"}, once()...))
	if strings.Contains(r.stdout+r.stderr, registryPassword) {
		t.Errorf("the password is shown: %s", r)
	}
	p.clean()
}

// TestPullInterrupted: a run is ended while a layer is on its way; the next one pulls it.
func TestPullInterrupted(t *testing.T) {
	t.Parallel()
	p := newStack(t, "broken", strings.Replace(web, "composure-test/busybox:1", "${IMAGE}", 1))
	direct := startRegistry(p, false).address
	p.push(direct+"/cmpsr-e2e/slow:1", "composure-test/busybox:1")
	forward := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: direct})
	reached, released := make(chan struct{}, 100), make(chan struct{})
	release := sync.OnceFunc(func() { close(released) })
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
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
		<-released
		panic(http.ErrAbortHandler)
	}))
	t.Cleanup(server.Close)
	t.Cleanup(release)
	ref := strings.TrimPrefix(server.URL, "http://") + "/cmpsr-e2e/slow:1"
	t.Cleanup(func() { sweep(p.name); _, _ = docker("rmi", "-f", ref) })
	p.env = append(p.env, "IMAGE="+ref)
	run := p.start(once()...)
	<-reached
	p.must(run.cmd.Process.Signal(syscall.SIGINT))
	release()
	if r := run.wait(); r.code != 1 && r.code != 0 {
		t.Errorf("an interrupted pull: %s", r)
	}
	p.converge()
	p.has("web-1")
}

// TestBuild: what is not there is built, by either builder, and kept after that.
func TestBuild(t *testing.T) {
	t.Parallel()
	for name, buildkit := range map[string]string{"classic": "0", "buildkit": "1"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testBuild(t, name, buildkit)
		})
	}
}

func testBuild(t *testing.T, name, buildkit string) {
	p := newStack(t, "build-"+name, strings.Replace(web, "    image: composure-test/busybox:1\n", "    build: .\n", 1))
	p.write(map[string]string{"Dockerfile": "FROM composure-test/busybox:1\nRUN echo built > /proof\n"})
	p.env = append(p.env, "DOCKER_BUILDKIT="+buildkit)
	image := p.name + "-web"
	t.Cleanup(func() { sweep(p.name); _, _ = docker("rmi", "-f", image) })
	p.wants(1, once("--dry-run"), "build image "+image)
	p.converge()
	if got := p.docker("exec", p.container("web"), "cat", "/proof"); got != "built" {
		t.Errorf("proof %q", got)
	}
	before := p.ids()
	p.converge()
	if !slices.Equal(before, p.ids()) {
		t.Error("built and recreated again")
	}
	p.edit("    build: .\n", "    build: .\n    pull_policy: build\n")
	p.write(map[string]string{"Dockerfile": "FROM composure-test/busybox:2\nRUN false\n"})
	p.wants(1, once(), "build", "NOT converged")
	if !slices.Equal(before, p.ids()) {
		t.Error("a failed build touched the container")
	}
}
