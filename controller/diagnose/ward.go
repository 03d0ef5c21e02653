package diagnose

import (
	"regexp"
	"slices"
	"strings"
)

// edges says for each service which others it needs: depends_on and what implies it (links, shared namespaces), then
// the services that its environment names as hosts. An edge that would close a circle is left out, so the graph has
// none: services that name one another keep the edge that the file declares, else the first by name.
func edges(patients []*patient) map[string][]string {
	graph := map[string][]string{}
	names := map[string]string{} // as a host is called → service
	for _, p := range patients {
		names[p.svc.Name] = p.svc.Name
		if p.svc.ContainerName != "" {
			names[p.svc.ContainerName] = p.svc.Name
		}
	}
	add := func(from, to string) {
		if to != "" && from != to && names[to] == to && !slices.Contains(graph[from], to) && !reaches(graph, to, from) {
			graph[from] = append(graph[from], to)
		}
	}
	for _, p := range patients {
		for _, d := range p.svc.DependsOn {
			add(p.svc.Name, d.Service)
		}
		for _, name := range p.svc.Namespaces {
			add(p.svc.Name, name)
		}
	}
	for _, p := range patients {
		for _, host := range hosts(p.environment()) {
			add(p.svc.Name, names[host])
		}
	}
	for _, to := range graph {
		slices.Sort(to)
	}
	return graph
}

// reaches says whether one service needs another, directly or not. Each is visited once.
func reaches(graph map[string][]string, from, to string) bool {
	seen := map[string]bool{}
	var visit func(name string) bool
	visit = func(name string) bool {
		if name == to {
			return true
		}
		if seen[name] {
			return false
		}
		seen[name] = true
		return slices.ContainsFunc(graph[name], visit)
	}
	return visit(from)
}

var (
	hostInURL = regexp.MustCompile(`//(?:[^@/\s]*@)?([A-Za-z0-9][A-Za-z0-9_.-]*)`)
	hostInDSN = regexp.MustCompile(`\bhost=([A-Za-z0-9][A-Za-z0-9_.-]*)`)
	hostAlone = regexp.MustCompile(`^([A-Za-z0-9][A-Za-z0-9_.-]*?)(?::\d+)?$`)
	hostKey   = regexp.MustCompile(`(?i)(host|server|addr|address|endpoint|upstream|broker|url|uri|dsn)s?$`)
)

// longestValue bounds what is searched for hosts in one variable.
const longestValue = 4096

// hosts are the host names in an environment, sorted: in URLs and connection strings, and plain values of variables
// whose name says that they are a host, such as DB_HOST.
func hosts(environment []string) []string {
	var found []string
	for _, variable := range environment {
		key, value, _ := strings.Cut(variable, "=")
		if len(value) > longestValue {
			continue
		}
		for _, pattern := range []*regexp.Regexp{hostInURL, hostInDSN} {
			for _, m := range pattern.FindAllStringSubmatch(value, -1) {
				found = append(found, m[1])
			}
		}
		if hostKey.MatchString(key) {
			for part := range strings.SplitSeq(value, ",") {
				if m := hostAlone.FindStringSubmatch(strings.TrimSpace(part)); m != nil {
					found = append(found, m[1])
				}
			}
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// source is the service whose trouble explains that of another: the deepest one that it needs, directly or not, and
// that fails itself. It is empty when everything that the service needs is well.
func (w *ward) source(service string) string {
	found, known := w.sources[service]
	if !known {
		found = w.search(service)
		w.sources[service] = found
	}
	return found
}

func (w *ward) search(service string) string {
	for _, name := range w.upstream[service] {
		needed := w.of(name)
		if needed.svc.Policy.Mode == "ignore" || !needed.fails() {
			continue
		}
		if _, own := needed.finding(true); own {
			return name
		}
		if deeper := w.source(name); deeper != "" {
			return deeper
		}
		return name
	}
	return ""
}

// databaseOf is the PostgreSQL service that a service uses: itself, or the first it needs; empty: none in the stack.
func (w *ward) databaseOf(p *patient) string {
	if p.isPostgres() {
		return p.svc.Name
	}
	for _, name := range w.upstream[p.svc.Name] {
		if w.of(name).isPostgres() {
			return name
		}
	}
	return ""
}
