package engine

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/client"
	"github.com/google/go-cmp/cmp"
)

// TestUnchangedParts: what is as before in an answer that has changed is what was read before, and all else is read.
func TestUnchangedParts(t *testing.T) {
	far := &said{status: http.StatusOK}
	api, err := client.NewClientWithOpts(client.WithHost("tcp://engine.test:2375"), client.WithHTTPClient(&http.Client{Transport: unchanged{far}}), client.WithVersion("1.41"))
	if err != nil {
		t.Fatal(err)
	}
	kept := &answers{}
	var last *container.InspectResponse
	for n, s := range []struct {
		body                 string
		sameConfig, sameHost bool // as the one before
	}{
		{`{"Id":"a","State":{"Status":"running"},"HostConfig":{"Memory":1},"Config":{"Image":"x"},"Name":"/a"}`, false, false},
		{`{"Id":"a","State":{"Status":"exited"},"HostConfig":{"Memory":1},"Config":{"Image":"x"},"Name":"/a"}`, true, true},
		{`{"Id":"a","State":{"Status":"exited"},"HostConfig":{"Memory":2},"Config":{"Image":"x"},"Name":"/a"}`, true, false},
		{`{"Id":"a","State":{"Status":"exited"},"HostConfig":{"Memory":2},"Config":{"Image":"x"},"Name":"/a"}`, true, true},
		{`{"Id":"a","State":{"Status":"paused"},"HostConfig":{"Memory":2},"Config":{"Image":"y"},"Name":"/b"}`, false, true},
		{` { "Config" : { "Image" : "y}\"," } , "HostConfig":{"Memory":2}}`, false, true},
		{`{"Config":{"Image":"y}\","},"HostConfig":{"Memory":2}, "Config":{"Cmd":["z"]}}`, false, false}, // of two, the second adds to the first
		{`{"Config":{"Image":"z"},"HostConfig":{"Memory":2}}`, false, false},
		{`{"Config":null,"HostConfig":{"Memory":2}}`, false, true},
		{`{"Config":null,"HostConfig":{"Memory":2},"Id":"b"}`, true, true},
	} {
		far.body = s.body
		got, err := inspect(t.Context(), kept, api, "a")
		if err != nil {
			t.Fatalf("%d: %v", n, err)
		}
		var want container.InspectResponse
		if err := json.Unmarshal([]byte(s.body), &want); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(&want, got); diff != "" {
			t.Errorf("%d: read (-all of it +got):\n%s", n, diff)
		}
		if last != nil && ((got.Config == last.Config) != s.sameConfig || hostOf(got) != nil && (hostOf(got) == hostOf(last)) != s.sameHost) {
			t.Errorf("%d: the same config %v, host config %v", n, got.Config == last.Config, hostOf(got) == hostOf(last))
		}
		last = got
	}
	far.body = `{"Id":"a","HostConfig":{"Memory":`
	if got, err := inspect(t.Context(), kept, api, "a"); err == nil {
		t.Errorf("half an answer is read as %+v", got)
	}
}

func inspect(ctx context.Context, kept *answers, api *client.Client, id string) (*container.InspectResponse, error) {
	return look(ctx, kept, "container "+id, func(ctx context.Context) (*container.InspectResponse, error) { return askContainer(ctx, api, id) })
}

func hostOf(c *container.InspectResponse) *container.HostConfig {
	if c.ContainerJSONBase == nil {
		return nil
	}
	return c.HostConfig
}

// FuzzMembers: the members of an object are those that encoding/json reads, where they are said to be all.
func FuzzMembers(f *testing.F) {
	for _, text := range []string{`{}`, ` {"a":1 , "b" : [ {"c":"}"} , null ],"d":"\"","e":{}}`, `{"a":}`, `{"a":1,}`, `{"a":1}}`, `{"\u0061":1}`, `[1]`, `{"a":"`, `{"a":1 2}`, ``} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		found, whole := members([]byte(text))
		var want map[string]json.RawMessage
		valid := json.Unmarshal([]byte(text), &want) == nil && want != nil
		if !whole && valid && !strings.Contains(text, `\`) {
			t.Fatalf("%q is not read", text)
		}
		if !whole || !valid {
			return
		}
		got := map[string]json.RawMessage{}
		for _, m := range found {
			got[strings.ToValidUTF8(m.name, "\uFFFD")] = json.RawMessage(text[m.from:m.to])
		}
		if diff := cmp.Diff(want, got); diff != "" && strings.ToValidUTF8(text, "") == text {
			t.Fatalf("%q (-encoding/json +members):\n%s", text, diff)
		}
	})
}
