package main

import (
	"context"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"composure/controller/incident"
)

// ask sends one request to the engine, as somebody else does.
func (w *world) ask(method, path, body string) {
	w.t.Helper()
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		return w.sim.Dial(ctx, network, address)
	}
	by := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: dial}}
	r, err := http.NewRequest(method, "http://simulated/v1.41"+path, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	answer, err := by.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode >= 300 {
		w.t.Fatalf("%s %s: %s", method, path, answer.Status)
	}
}

// TestVirtualNetworkGone: what has ended is not started again and again while an external network of it does not exist. People are
// called, once, and it is started when the network is there.
func TestVirtualNetworkGone(t *testing.T) {
	shared := strings.Replace(shop, "  worker:\n    image: sim/worker:1\n", "  worker:\n    image: sim/worker:1\n    networks: [shared]\n", 1) + "networks: {shared: {external: true}}\n"
	virtuallyWith(t, shared, func(w *world) { w.ask("POST", "/networks/create", `{"Name":"shared"}`) }, func(w *world) {
		if err := w.sim.ByHand("shop-worker-1", "kill", ""); err != nil {
			t.Fatal(err)
		}
		w.ask("DELETE", "/networks/shared", "")
		w.until(10*time.Minute, "people are called", func() bool { return w.escalations(incident.DevOps) == 1 })
		w.sleep(20 * time.Minute)
		if n := w.log.count("step=start shop-worker-1"); n > 1 {
			t.Errorf("it was started %d times, and could not run", n)
		}
		w.ask("POST", "/networks/create", `{"Name":"shared"}`)
		w.until(time.Minute, "it runs", w.well)
		w.until(15*time.Minute, "it is over", func() bool { return len(w.open()) == 0 })
		if n := w.escalations(incident.DevOps); n != 1 || len(w.all()) != 1 {
			t.Errorf("%d escalations, %d incidents", n, len(w.all()))
		}
	})
}
