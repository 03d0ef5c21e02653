package simengine

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
)

// TestSaid: what is said of a container is what it is, whatever was done to it.
func TestSaid(t *testing.T) {
	e := New()
	e.Image("app:1", dockerspec.DockerOCIImageConfig{})
	if err := e.Foreign("web", "app:1", "8080"); err != nil {
		t.Fatal(err)
	}
	check := func(after string) {
		t.Helper()
		i := e.find("web")
		found := i.inspect()
		found.SizeRw = nil
		if want, got := string(encode(found))+"\n", string(i.said()); got != want {
			t.Errorf("after %s:\n%s\nand not\n%s", after, got, want)
		}
	}
	check("its start")
	for _, do := range [][2]string{
		{"memory", "1000000"}, {"policy", "always"}, {"pause", ""}, {"unpause", ""}, {"stop", ""}, {"start", ""}, {"rename", "other"},
		{"disconnect", "bridge"}, {"recreate", "A=\"Config\":null"}, {"policy", "no"}, {"kill", ""},
	} {
		name := "web"
		if e.find(name) == nil {
			name = "other"
		}
		if err := e.ByHand(name, do[0], do[1]); err != nil {
			t.Fatalf("%s: %v", do[0], err)
		}
		if do[0] == "rename" {
			if err := e.ByHand("other", "rename", "web"); err != nil {
				t.Fatal(err)
			}
		}
		check(do[0])
	}
	w := httptest.NewRecorder()
	e.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/v1.41/containers/web/update", strings.NewReader(`{"Memory":5000000,"RestartPolicy":{"Name":"always"}}`)))
	if w.Code != http.StatusOK {
		t.Fatalf("update: %s", w.Body)
	}
	check("update")
}
