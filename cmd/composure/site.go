package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"

	"composure/controller"
	"composure/controller/incident"
	"composure/controller/observe"
	"composure/controller/plan"
	"composure/controller/web"
)

// site is the dashboard of a remediator. A nil site shows nothing.
type site struct {
	listener net.Listener
	token    string
	hosts    []string
	log      *slog.Logger
	meters   *web.Meters
	panel    *panel
	server   *web.Server
}

// openSite opens the address that --listen names, before anything else is done: a remediator that cannot be seen as it
// was asked to does not start.
func openSite(f reconcileFlags, log *slog.Logger) (*site, error) {
	if f.listen == "" {
		return nil, nil
	}
	token, err := readToken(f.tokenFile)
	if err != nil {
		return nil, err
	}
	if token == "" && !loopback(f.listen) {
		return nil, fmt.Errorf("--listen %s: whoever reaches this address would see the stack; give a token with --token-file or COMPOSURE_TOKEN, or listen on 127.0.0.1", f.listen)
	}
	listener, err := net.Listen("tcp", f.listen)
	if err != nil {
		return nil, fmt.Errorf("--listen %s: %w; choose an address of this host and a free port, such as 127.0.0.1:9180", f.listen, err)
	}
	return &site{listener: listener, token: token, hosts: f.allowHosts, log: log, meters: web.NewMeters(version)}, nil
}

// minToken is how long a token is at least, in bytes: nobody guesses it.
const minToken = 16

// readToken is the token of the dashboard, from a file or from COMPOSURE_TOKEN; empty when there is none.
func readToken(file string) (string, error) {
	token, from := os.Getenv("COMPOSURE_TOKEN"), "COMPOSURE_TOKEN"
	if file != "" {
		text, err := os.ReadFile(file)
		if err != nil {
			return "", fmt.Errorf("--token-file: %w", err)
		}
		token, from = string(text), "--token-file "+file
	}
	token = strings.TrimSpace(token)
	if (file != "" || token != "") && len(token) < minToken {
		return "", fmt.Errorf("%s: a token needs %d characters or more; `openssl rand -hex 24` makes one", from, minToken)
	}
	return token, nil
}

// loopback says whether only this host reaches an address.
func loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || (err == nil && ip.IsLoopback())
}

// open makes the site show a remediation.
func (s *site) open(ctx context.Context, r *remediation) error {
	if s == nil {
		return nil
	}
	db, err := r.app.openStore(ctx)
	if err != nil {
		return err
	}
	s.panel = &panel{eng: r.eng, file: r.read(), memory: &memory{Store: db, key: r.memory.stack}}
	s.server, err = web.New(web.Config{Stack: r.read().Name, Source: s.panel, Meters: s.meters, Logger: s.log, Token: s.token, Hosts: s.hosts,
		Actor: deeds{app: r.app, panel: s.panel, wake: r.trigger}})
	return err
}

// follow shows what is remembered of another stack from now on.
func (s *site) follow(key string) {
	if s != nil {
		s.panel.follow(key)
	}
}

// serve answers until ctx ends.
func (s *site) serve(ctx context.Context) {
	if s == nil {
		return
	}
	s.log.Info("serving", "address", "http://"+s.listener.Addr().String())
	if err := s.server.Serve(ctx, s.listener); err != nil {
		s.log.Error("the dashboard ended", "error", err)
	}
}

// turned shows what a turn came to.
func (s *site) turned(t controller.Turn) {
	if s == nil {
		return
	}
	outcome := "done"
	switch {
	case t.Err != nil:
		outcome = "failed"
	case t.Pass.Elsewhere:
		outcome = "elsewhere"
	}
	if !t.Glance {
		s.meters.Pass(outcome, t.Took)
	}
	s.panel.turned(t)
	s.server.Changed()
}

// probed counts an answer of a probe.
func (s *site) probed(v observe.Sample) {
	if s != nil && v.State != observe.ProbeUnknown {
		s.meters.Probe(v.Service, v.Probe, v.Latency, v.State == observe.ProbeFailing)
	}
}

// ended counts an attempt.
func (s *site) ended(a plan.Attempt) {
	if s != nil {
		s.meters.Action(a)
	}
}

// kept counts what has become of incidents.
func (s *site) kept(all []incident.Incident) {
	if s == nil {
		return
	}
	for _, i := range all {
		s.meters.Incident(i)
	}
}

// close gives back the address, and the store, which was opened to read.
func (s *site) close() {
	if s != nil {
		_ = s.listener.Close()
	}
	if s != nil && s.panel != nil {
		_ = s.panel.store().Close()
	}
}
