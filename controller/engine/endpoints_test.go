package engine

import "testing"

func TestEndpointOf(t *testing.T) {
	for call, want := range map[[2]string]string{
		{"GET", "/v1.41/containers/json"}:                       "/containers/json",
		{"GET", "/containers/abc/json"}:                         "/containers/{id}/json",
		{"GET", "/v1.51/images/registry.local:5000/a/b:1/json"}: "/images/{ref}/json",
		{"POST", "/v1.41/images/a/b/tag"}:                       "/images/{ref}/tag",
		{"DELETE", "/v1.41/containers/abc"}:                     "/containers/{id}",
		{"HEAD", "/_ping"}:                                      "/_ping",
		{"DELETE", "/v1.41/volumes/data"}:                       "",
		{"POST", "/v1.41/containers/prune"}:                     "",
		{"POST", "/v1.41/containers/a/../create"}:               "",
	} {
		e, known := EndpointOf(call[0], call[1])
		if e.Path != want || known != (want != "") {
			t.Errorf("%v is %q, expected %q", call, e.Path, want)
		}
	}
}

// TestDriftOnlyReads: what drift may call cannot change anything.
func TestDriftOnlyReads(t *testing.T) {
	for _, e := range Endpoints(ModeDrift) {
		if e.Method != "GET" && e.Method != "HEAD" {
			t.Errorf("%s %s is no look", e.Method, e.Path)
		}
	}
	if len(Endpoints(ModeReconcile)) != len(endpoints) || len(Endpoints(ModeDiagnose)) >= len(endpoints) {
		t.Error("the modes do not contain one another")
	}
}
