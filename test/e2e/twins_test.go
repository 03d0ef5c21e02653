package e2e

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/docker/docker/client"
)

// TestNetworkTwice: the engine has two networks of one name, as when a request is carried out after its sender was killed. It
// starts nothing on that name, and docker compose gives up; the one that nothing is attached to is removed.
func TestNetworkTwice(t *testing.T) {
	t.Parallel()
	p := newStack(t, "twice", web)
	p.converge()
	first := p.docker("network", "inspect", "-f", "{{.ID}}", p.name+"_default")
	if !p.twin() {
		return
	}
	p.wants(1, []string{"drift"}, "unique", "one of this name", "2 of this name")
	p.docker("stop", p.container("web"))
	p.wants(0, once(), "remove network "+p.name+"_default")
	if left := p.docker("network", "ls", "-q", "--no-trunc", "--filter", "name=^"+p.name+"_default$"); left != first {
		t.Errorf("the networks are %s, expected the first one, %s", left, first)
	}
	p.has("web-1")
	p.wants(0, []string{"drift"})

	p.twin()
	p.docker("rm", "-f", p.container("web")) // what is made anew waits until there is one again
	p.converge()
	p.wants(0, []string{"drift"})
}

// twin makes another network with the name and the labels of the default one. Engines that make sure that names are unique refuse, and
// then there is nothing to be mended.
func (p *project) twin() bool {
	p.t.Helper()
	labels := p.docker("network", "inspect", "-f", "{{json .Labels}}", p.name+"_default")
	body := fmt.Sprintf(`{"Name": %q, "CheckDuplicate": false, "Labels": %s}`, p.name+"_default", labels)
	host := os.Getenv("DOCKER_HOST")
	if host == "" {
		host = client.DefaultDockerHost
	}
	engine, err := client.NewClientWithOpts(client.WithHost(host))
	p.must(err)
	defer engine.Close()
	answer, err := engine.HTTPClient().Post("http://engine/v1.41/networks/create", "application/json", strings.NewReader(body))
	p.must(err)
	defer answer.Body.Close()
	switch answer.StatusCode {
	case http.StatusCreated:
		return true
	case http.StatusConflict:
		p.t.Logf("this engine makes no second network of a name")
		return false
	}
	p.t.Fatalf("the second network was answered with %s", answer.Status)
	return false
}
