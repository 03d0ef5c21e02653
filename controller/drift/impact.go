package drift

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/docker/docker/api/types/mount"

	"composure/spec"
)

// impact is what a deployment would do to a service: the gravest of what its drifts ask for. Overrides ask for nothing.
func (c *comparison) impact(svc *spec.Service) Impact {
	order := []string{"none", "create", string(RemedyInPlace), string(RemedyRestart), string(RemedyRecreate)}
	worst := 0
	for _, d := range c.report.Drifts {
		if d.Service != svc.Name || d.Override != nil || d.Remedy == RemedyReport {
			continue
		}
		asks := string(d.Remedy)
		if d.Field == FieldExistence || d.Field == FieldReplicas {
			asks = "create"
		}
		worst = max(worst, slices.Index(order, asks))
	}
	i := Impact{Service: svc.Name, Remedy: order[worst]}
	if worst > 0 {
		i.Held = cmp.Or(c.Paused[""], c.Paused[svc.Name])
	}
	if order[worst] == string(RemedyRecreate) {
		i.DataAtRisk = c.risks[svc.Name]
	}
	return i
}

// atRisk collects what a recreation of a container would put at risk.
func (p *contrast) atRisk(otherImage bool) {
	c, observed := p.c, p.observed
	name := observed.Name
	if !p.have.host.ReadonlyRootfs {
		if size := observed.Inspect.SizeRw; size == nil {
			c.risk(p.svc.Name, fmt.Sprintf("%s: what it wrote outside its volumes is lost", name))
		} else if *size > 0 {
			c.risk(p.svc.Name, fmt.Sprintf("%s: what it wrote outside its volumes is lost: %s", name, bytes(*size)))
		}
	}
	for _, destination := range differing(mounts(p.have), mounts(p.want), false) {
		p.mountAtRisk(name, destination)
	}
	var carried, volatile []string
	for destination, m := range p.have.mounts {
		switch {
		case m.kind == mount.TypeVolume && m.source == "" && p.want.mounts[destination] == m:
			carried = append(carried, destination)
		case m.kind == mount.TypeTmpfs:
			volatile = append(volatile, destination)
		}
	}
	if len(volatile) > 0 {
		slices.Sort(volatile)
		c.risk(p.svc.Name, fmt.Sprintf("%s: the content of tmpfs %s is lost", name, strings.Join(volatile, ", ")))
	}
	if len(carried) > 0 {
		slices.Sort(carried)
		c.risk(p.svc.Name, fmt.Sprintf("%s: anonymous volumes (%s) are carried over to the new container", name, strings.Join(carried, ", ")))
	}
	if otherImage {
		p.majorAtRisk()
	}
}

// mountAtRisk: data stays behind where a volume is swapped for another or taken away.
func (p *contrast) mountAtRisk(name, destination string) {
	have, had := p.have.mounts[destination]
	want, wanted := p.want.mounts[destination]
	if !had || have.readOnly || have.kind == mount.TypeTmpfs || (have.kind == want.kind && have.source == want.source) {
		return
	}
	becomes := "nothing is mounted there any more"
	if wanted {
		becomes = fmt.Sprintf("the new container gets %s", want)
		if _, exists := p.c.Snapshot.Volumes[want.source]; want.kind == mount.TypeVolume && want.source != "" && !exists {
			becomes += ", which is new and empty"
		}
	}
	p.c.risk(p.svc.Name, fmt.Sprintf("%s: the data of %s stays behind in %s: %s", name, destination, have, becomes))
}

// majors are variables by which the official images of databases tell their major version.
var majors = map[string]string{
	"PG_MAJOR": "PostgreSQL", "MYSQL_MAJOR": "MySQL", "MARIADB_MAJOR": "MariaDB", "MONGO_MAJOR": "MongoDB",
}

// majorAtRisk: a database does not read the files of another major version.
func (p *contrast) majorAtRisk() {
	c, observed := p.c, p.observed
	before, after := c.imageEnv(observed.Inspect.Image), c.imageEnv(c.Snapshot.Refs[p.svc.Image])
	for variable, database := range majors {
		if from, to := before[variable], after[variable]; from != "" && to != "" && from != to {
			c.risk(p.svc.Name, fmt.Sprintf("%s: %s %s becomes %s: its data must be migrated (dump and restore, or the database's own upgrade)",
				observed.Name, database, from, to))
		}
	}
}

func (c *comparison) imageEnv(id string) elements {
	if img, ok := c.Snapshot.Images[id]; ok && img.Config != nil {
		return environment(img.Config.Env)
	}
	return nil
}
