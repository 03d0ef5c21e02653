package engine_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/docker/docker/api/types/network"

	"composure/controller/engine"
	"composure/spec"
)

// TestOverlappingPools answers as libnetwork does when two networks are created at once, or one twice. Those races cannot
// be provoked on an engine at will.
func TestOverlappingPools(t *testing.T) {
	const overlap = "Pool overlaps with other one on this address space"
	subnet := &network.IPAM{Config: []network.IPAMConfig{{Subnet: "10.9.0.0/24"}}}
	tests := map[string]struct {
		ipam   *network.IPAM
		refuse int // so many times
		answer string
		came   bool // what refused is this very network, which is then there
		asked  int
		fails  bool
	}{
		"the engine chooses again":   {nil, 2, overlap, false, 3, false},
		"it never finds a free one":  {nil, 1000, overlap, false, 11, true},
		"the subnet is another's":    {subnet, 1000, overlap, false, 11, true},
		"the subnet is its own":      {subnet, 2, overlap, true, 3, false},
		"another error is not asked": {nil, 1000, "could not find an available, non-overlapping IPv4 address pool", false, 1, true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			asked := 0
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Api-Version", "1.41")
				w.Header().Set("Content-Type", "application/json")
				if !strings.HasSuffix(r.URL.Path, "/networks/create") {
					fmt.Fprint(w, "{}")
					return
				}
				asked++
				if test.came && asked > test.refuse {
					w.WriteHeader(http.StatusConflict)
					fmt.Fprint(w, `{"message":"network with name app_default already exists"}`)
					return
				}
				if asked <= test.refuse {
					w.WriteHeader(http.StatusForbidden)
					fmt.Fprintf(w, `{"message":%q}`, test.answer)
					return
				}
				w.WriteHeader(http.StatusCreated)
				fmt.Fprint(w, `{"Id":"n1"}`)
			}))
			defer server.Close()
			e, err := engine.Connect(t.Context(), engine.Options{Host: strings.Replace(server.URL, "http", "tcp", 1)})
			if err != nil {
				t.Fatal(err)
			}
			defer e.Close()
			err = e.CreateNetwork(t.Context(), &spec.Network{Name: "app_default", Create: network.CreateOptions{IPAM: test.ipam}})
			if (err != nil) != test.fails || asked != test.asked {
				t.Errorf("asked %d times, error %v", asked, err)
			}
			if err != nil && !strings.HasSuffix(err.Error(), test.answer) {
				t.Errorf("the engine's words are lost: %v", err)
			}
		})
	}
}
