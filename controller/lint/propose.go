package lint

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"composure/spec"
)

// Proposal is one part of x-composure that would suit a service and that its file does not have.
type Proposal struct {
	Service string
	Key     string   // below the service's x-composure, such as probes
	Why     string   // one sentence
	Lines   []string // YAML, not indented
	Choice  bool     // it allows something, so a person decides: proposed as a comment
}

// Propose returns what the policy of a stack could say beyond its defaults, service by service in the order of the
// file. Services that only run once, or that the policy leaves out, get none. An error is about the file.
func Propose(stack *spec.Stack) ([]Proposal, error) {
	var found []Proposal
	for _, svc := range stack.Services {
		if svc.OneShot() || svc.Policy.Mode == "ignore" {
			continue
		}
		want, err := stack.Container(svc, 1, spec.Facts{})
		if err != nil {
			return nil, err
		}
		s := &subject{stack: stack, svc: svc, want: want}
		for _, propose := range []func(*subject) *Proposal{proposeProbe, proposeMemory, proposeIntegrity} {
			if p := propose(s); p != nil {
				p.Service = svc.Name
				found = append(found, *p)
			}
		}
	}
	return found, nil
}

// wellKnown are the ports of images whose name says what they speak.
var wellKnown = []struct {
	image *regexp.Regexp
	port  uint32
}{
	{regexp.MustCompile(`(^|/)(redis|valkey)[^/]*$`), 6379},
	{regexp.MustCompile(`(^|/)(mysql|mariadb|percona)[^/]*$`), 3306},
	{regexp.MustCompile(`(^|/)mongo[^/]*$`), 27017},
	{regexp.MustCompile(`(^|/)rabbitmq[^/]*$`), 5672},
	{regexp.MustCompile(`(^|/)(nginx|httpd|caddy|traefik)[^/]*$`), 80},
}

// proposeProbe guesses a probe: what the healthcheck asks, what the image is known for, or the first published port.
func proposeProbe(s *subject) *Proposal {
	if len(s.svc.Policy.Probes) > 0 {
		return nil
	}
	if p := askedByHealthcheck(s); p != nil {
		return p
	}
	if isPostgres(s.svc.Image) {
		return &Proposal{Key: "probes", Why: "PostgreSQL says whether it takes connections.",
			Lines: []string{"probes:", "  - exec: {command: [pg_isready]}"}}
	}
	for _, known := range wellKnown {
		if known.image.MatchString(s.svc.Image) {
			return tcpProbe(known.port, "The image is known to listen there.")
		}
	}
	for _, p := range s.svc.Ports {
		if p.Protocol == "tcp" && p.Target != 0 {
			return tcpProbe(uint32(p.Target), "It publishes this port. An http probe of a page that needs its dependencies sees more.")
		}
	}
	return nil
}

func tcpProbe(port uint32, why string) *Proposal {
	return &Proposal{Key: "probes", Why: why, Lines: []string{"probes:", fmt.Sprintf("  - tcp: %d", port)}}
}

// localURL is an address of the container itself in the command of a healthcheck.
var localURL = regexp.MustCompile(`http://(?:localhost|127\.0\.0\.1|0\.0\.0\.0)(?::(\d+))?(/[A-Za-z0-9._~/-]*)?`)

// askedByHealthcheck asks from outside what the healthcheck asks inside: at the published port, or in the service's network.
func askedByHealthcheck(s *subject) *Proposal {
	h := s.check()
	if h == nil {
		return nil
	}
	asked := localURL.FindStringSubmatch(strings.Join(h.Test, " "))
	if asked == nil {
		return nil
	}
	port := asked[1]
	if port == "" {
		port = "80"
	}
	p := &Proposal{Key: "probes", Why: "Its healthcheck asks this inside of the container; here it is asked from outside, as its users do."}
	for _, published := range s.svc.Ports {
		if _, err := strconv.ParseUint(published.Published, 10, 16); err == nil && strconv.FormatUint(uint64(published.Target), 10) == port {
			p.Lines = []string{"probes:", fmt.Sprintf("  - http: http://localhost:%s%s", published.Published, asked[2])}
			return p
		}
	}
	p.Lines = []string{"probes:", fmt.Sprintf("  - http: http://%s:%s%s", s.svc.Name, port, asked[2]), "    from: network"}
	return p
}

// proposeMemory leaves to a person how far a limit may be raised.
func proposeMemory(s *subject) *Proposal {
	limit := s.svc.Memory()
	if limit < 2<<20 || s.svc.Policy.Memory.RaiseTo != 0 {
		return nil
	}
	return &Proposal{Key: "memory", Choice: true, Why: fmt.Sprintf("Its limit is %dm. When memory runs out it may be raised so far; without this it never is.", limit>>20),
		Lines: []string{fmt.Sprintf("memory: {raise_to: %dm}", 2*limit>>20)}}
}

// proposeIntegrity counts what must not shrink. It needs no table of the application.
func proposeIntegrity(s *subject) *Proposal {
	if len(s.svc.Policy.Integrity) > 0 || !isPostgres(s.svc.Image) {
		return nil
	}
	return &Proposal{Key: "integrity", Why: "`composure baseline capture` remembers the figure, and a smaller one is a loss of data. Count the rows that matter, too.",
		Lines: []string{"integrity:", "  - name: tables", `    sql: SELECT count(*) FROM information_schema.tables WHERE table_schema NOT IN ('pg_catalog', 'information_schema')`}}
}

var postgresName = regexp.MustCompile(`(^|/)(postgres|postgis|pgvector|timescaledb)(:|@|$|-ha)`)

func isPostgres(image string) bool {
	return postgresName.MatchString(image) && !slices.ContainsFunc([]string{"exporter", "backup"}, func(part string) bool { return strings.Contains(image, part) })
}
