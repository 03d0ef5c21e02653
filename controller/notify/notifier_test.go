package notify

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"composure/controller/incident"
	"composure/spec"
	"composure/test/ports"
)

// TestWebhook: the document follows the published schema, with the token and the id that tells a repeat.
func TestWebhook(t *testing.T) {
	text, err := os.ReadFile("schema.json")
	if err != nil {
		t.Fatal(err)
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	if err := compiler.AddResource("schema.json", document); err != nil {
		t.Fatal(err)
	}
	schema := compiler.MustCompile("schema.json")
	for _, kind := range []string{"escalated", "reminded-2", "acknowledged", "resolved"} {
		r := receive(t, nil)
		if err := notifier(t, "webhook", "url", r.URL+"/hook", "token", canary).Send(context.Background(), message(kind)); err != nil {
			t.Fatal(err)
		}
		var sent map[string]any
		q := r.only(t, &sent)
		got, err := jsonschema.UnmarshalJSON(bytes.NewReader(q.body))
		if err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(got); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
		if sent["event"] != strings.Split(kind, "-")[0] || sent["id"] != "N1" || q.path != "/hook" {
			t.Errorf("%s: event %v, id %v, path %s", kind, sent["event"], sent["id"], q.path)
		}
		for header, want := range map[string]string{"Authorization": "Bearer " + canary, "Idempotency-Key": "N1", "Content-Type": "application/json"} {
			if q.header.Get(header) != want {
				t.Errorf("%s: header %s is %q", kind, header, q.header.Get(header))
			}
		}
		if _, is := sent["incident"].(map[string]any)["resolved"]; is != (kind == "resolved") {
			t.Errorf("%s: resolved is there: %v", kind, is)
		}
	}
}

// TestSlack: Block Kit within its limits, and the container's words are neither mention nor link nor formatting.
func TestSlack(t *testing.T) {
	r := receive(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") })
	m := message("escalated")
	m.Body.Proof = []string{strings.Repeat("ü<!here>", 2000)}
	m.Body.Cause = strings.Repeat("long", 100)
	if err := notifier(t, "slack", "url", r.URL+"/services/T0/B0/"+canary, "channel", "#ops").Send(context.Background(), m); err != nil {
		t.Fatal(err)
	}
	var got slackMessage
	r.only(t, &got)
	if got.Channel != "#ops" || strings.ContainsAny(got.Text, "<>") {
		t.Errorf("channel %q, text %q", got.Channel, got.Text)
	}
	limits := map[string]int{"header": 150, "section": 3000, "context": 3000}
	for _, b := range got.Blocks {
		texts := b.Elements
		if b.Text != nil {
			texts = append(texts, *b.Text)
		}
		for _, text := range texts {
			if n := len([]rune(text.Text)); text.Type != "plain_text" || n == 0 || n > limits[b.Type] {
				t.Errorf("%s block with %d characters of %s", b.Type, n, text.Type)
			}
		}
	}
	if len(got.Blocks) != 5 || got.Blocks[0].Type != "header" {
		t.Errorf("blocks: %+v", got.Blocks)
	}
}

// TestPagerDuty: trigger, acknowledge and resolve as the Events API v2 documents them, all with one dedup_key a tier.
func TestPagerDuty(t *testing.T) {
	keys := map[string]bool{}
	for kind, action := range map[string]string{"escalated": "trigger", "reminded-1": "trigger", "acknowledged": "acknowledge", "resolved": "resolve"} {
		r := receive(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusAccepted)
			fmt.Fprint(w, `{"status":"success","message":"Event processed","dedup_key":"x"}`)
		})
		if err := notifier(t, "pagerduty", "routing_key", canary, "url", r.URL).Send(context.Background(), message(kind)); err != nil {
			t.Fatal(err)
		}
		var got pagerDutyEvent
		r.only(t, &got)
		if got.EventAction != action || got.RoutingKey != canary {
			t.Errorf("%s: action %q", kind, got.EventAction)
		}
		keys[got.DedupKey] = true
		if action != "trigger" {
			if got.Payload != nil {
				t.Errorf("%s: has a payload", kind)
			}
			continue
		}
		if p := got.Payload; p.Severity != "error" || p.Source != "shop" || p.Component != "api" || p.Class != "crash_loop" || !p.Timestamp.Equal(at) || p.Summary == "" {
			t.Errorf("%s: payload %+v", kind, p)
		}
	}
	if !keys["composure/shop-20260301-100000/devops"] || len(keys) != 1 {
		t.Errorf("dedup keys: %v", keys)
	}
}

// TestURL sends through the notification library to a service of its own.
func TestURL(t *testing.T) {
	r := receive(t, nil)
	address := "generic+" + r.URL + "/" + canary + "?template=json"
	if err := notifier(t, "url", "url", address).Send(context.Background(), message("escalated")); err != nil {
		t.Fatal(err)
	}
	var got map[string]string
	if q := r.only(t, &got); q.path != "/"+canary {
		t.Errorf("path %s", q.path)
	}
	if !strings.Contains(got["message"], "3 attempts did not help") || !strings.Contains(got["title"], "shop/api") {
		t.Errorf("got %q", got)
	}
}

// TestErrors: what a receiver answers makes an error permanent or not, and the error shows neither settings nor more than
// a neutralised piece of the answer.
func TestErrors(t *testing.T) {
	reflect := "token " + canary + "\x1b[31m password=" + canary + " " + strings.Repeat("x", 100_000)
	cases := []struct {
		name      string
		status    int
		header    string
		permanent bool
		after     time.Duration
	}{
		{"server error", 500, "", false, 0},
		{"unavailable", 503, "120", false, 2 * time.Minute},
		{"too many", 429, "30", false, 30 * time.Second},
		{"too long a wait", 429, "999999999", false, time.Hour},
		{"odd wait", 429, "-1", false, 0},
		{"refused", 403, "", true, 0},
		{"not found", 404, "", true, 0},
		{"redirect", 307, "", true, 0},
	}
	for _, c := range cases {
		for _, kind := range []string{"webhook", "slack", "pagerduty"} {
			t.Run(c.name+" "+kind, func(t *testing.T) {
				other := receive(t, nil)
				r := receive(t, func(w http.ResponseWriter, _ *http.Request) {
					if c.header != "" {
						w.Header().Set("Retry-After", c.header)
					}
					w.Header().Set("Location", other.URL+"/"+canary)
					w.WriteHeader(c.status)
					fmt.Fprint(w, reflect)
				})
				n := notifier(t, kind, "url", r.URL+"/x/"+canary, "token", canary, "routing_key", canary)
				err := n.Send(context.Background(), message("escalated"))
				var e *Error
				if !errors.As(err, &e) {
					t.Fatalf("error %v", err)
				}
				noCanary(t, fmt.Sprintf("%v %+v %#v", err, e, e))
				if e.Permanent != c.permanent || e.After != c.after {
					t.Errorf("permanent %v, after %s: %v", e.Permanent, e.After, err)
				}
				if len(e.Text) > 400 || strings.ContainsAny(e.Text, "\x1b\n") {
					t.Errorf("text %q", e.Text)
				}
				if len(other.requests()) != 0 {
					t.Error("followed a redirect")
				}
			})
		}
	}
}

// TestUnreachable: no error about a receiver that is not there names its address or its secrets.
func TestUnreachable(t *testing.T) {
	gone := "127.0.0.1:" + ports.Text(t)
	for kind, n := range map[string]Notifier{
		"webhook":   notifier(t, "webhook", "url", "http://u:"+canary+"@"+gone+"/"+canary+"?key="+canary, "token", canary),
		"slack":     notifier(t, "slack", "url", "http://"+gone+"/"+canary),
		"pagerduty": notifier(t, "pagerduty", "url", "http://"+gone+"/", "routing_key", canary),
		"url":       notifier(t, "url", "url", "generic+http://"+gone+"/"+canary),
		"gotify":    notifier(t, "url", "url", "gotify://"+gone+"/A"+strings.ReplaceAll(canary, "-", ".")+"0?disabletls=yes"),
		"email":     notifier(t, "email", "host", gone, "from", "a@example.com", "to", "b@example.com", "username", "ops", "password", canary),
	} {
		err := n.Send(context.Background(), message("escalated"))
		var e *Error
		if !errors.As(err, &e) || e.Permanent {
			t.Errorf("%s: %v", kind, err)
			continue
		}
		noCanary(t, err.Error())
		noCanary(t, strings.ReplaceAll(err.Error(), ".", "-"))
	}
}

// TestSlowReceiver: a receiver that never answers ends with the context.
func TestSlowReceiver(t *testing.T) {
	release := make(chan struct{})
	r := receive(t, func(w http.ResponseWriter, q *http.Request) { <-release })
	defer close(release)
	silent, err := net.Listen("tcp", "127.0.0.1:0") // accepts, and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	for kind, n := range map[string]Notifier{
		"webhook": notifier(t, "webhook", "url", r.URL),
		"url":     notifier(t, "url", "url", "generic+"+r.URL),
		"email":   notifier(t, "email", "host", silent.Addr().String(), "tls", "none", "from", "a@example.com", "to", "b@example.com"),
	} {
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		began := time.Now()
		err := n.Send(ctx, message("escalated"))
		cancel()
		if err == nil || time.Since(began) > 10*time.Second {
			t.Errorf("%s: %v after %s", kind, err, time.Since(began))
		}
		if kind == "url" {
			if err := n.Send(context.Background(), message("escalated")); err == nil || !strings.Contains(err.Error(), "still has no answer") {
				t.Errorf("a second call beside one that hangs: %v", err)
			}
		}
	}
}

// TestBadSettings: an error of New says where and what, and shows no value.
func TestBadSettings(t *testing.T) {
	cases := []struct {
		want string
		n    spec.Notifier
	}{
		{"unknown type", policy("pigeon")},
		{"not an http or https address", policy("webhook", "url", "ftp://x/"+canary)},
		{"not an http or https address", policy("slack", "url", "::"+canary)},
		{"line break", policy("webhook", "url", "http://x", "token", canary+"\r\nX-Evil: 1")},
		{"routing_key", policy("pagerduty")},
		{"host", policy("email", "from", "a@example.com", "to", "b@example.com")},
		{"port", policy("email", "host", "mail:99999", "from", "a@example.com", "to", "b@example.com")},
		{"from", policy("email", "host", "mail", "from", "a", "to", "b@example.com")},
		{"to", policy("email", "host", "mail", "from", "a@example.com", "to", " , ")},
		{"readable", policy("email", "host", "mail", "from", "a@example.com", "to", "b@example.com", "tls", "none", "username", "ops", "password", canary)},
		{"tls", policy("email", "host", "mail", "from", "a@example.com", "to", "b@example.com", "tls", "maybe")},
		{"names no service", policy("url", "url", "logger://")},
		{"not understood", policy("url", "url", "nosuch://"+canary+"@"+canary)},
	}
	for _, c := range cases {
		_, err := New(c.n)
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "compose.yaml:3: notify: ") {
			t.Errorf("want %q, got %v", c.want, err)
			continue
		}
		noCanary(t, err.Error())
	}
}

// TestChannels: names count a type, and tiers choose.
func TestChannels(t *testing.T) {
	all := []spec.Notifier{policy("webhook", "url", "http://a"), policy("slack", "url", "http://b"), policy("webhook", "url", "http://c")}
	all[1].Tiers = []string{"emergency"}
	channels, err := Channels(all)
	if err != nil {
		t.Fatal(err)
	}
	got := map[incident.Tier][]string{incident.DevOps: Names(channels, incident.DevOps), incident.Emergency: Names(channels, incident.Emergency)}
	want := map[incident.Tier][]string{incident.DevOps: {"webhook", "webhook-2"}, incident.Emergency: {"webhook", "slack", "webhook-2"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	good, err := Channels(append(all, policy("pigeon")))
	if err == nil || len(good) != 3 {
		t.Errorf("%d channels beside one that is wrong, error %v", len(good), err)
	}
}

// TestPayload: what goes into the outbox comes out again.
func TestPayload(t *testing.T) {
	want := message("escalated").Announcement
	payload, err := Payload(want)
	if err != nil {
		t.Fatal(err)
	}
	var got incident.Announcement
	if err := json.Unmarshal(payload, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
