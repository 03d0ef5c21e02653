// Package diagnose works the runbook's decision tree over what was observed: container running? healthy? port
// accessible? application responding? database connected? It names one root cause for each service that is not well,
// with what was checked and what was seen, and hides the symptoms that a broken dependency explains.
//
// It is pure. What it needs beyond the snapshot it says first (Needs); the collector fetches it; then it decides. A
// fact that could not be read answers "unknown" and never counts as a failure. A line of a log never proves anything:
// containers write their own logs, so it only sharpens what the engine or a probe says.
package diagnose

import (
	"cmp"
	"slices"
	"time"

	"composure/controller/drift"
	"composure/controller/observe"
	"composure/spec"
)

// Input is all that a diagnosis depends on.
type Input struct {
	Now      time.Time
	Stack    *spec.Stack
	Snapshot *observe.Snapshot
	Drift    drift.Report
	Ill      map[string]string             // service → why it is not well (the judgement's reason); only these are diagnosed
	Ask      map[string]bool               // services whose tree is wanted whether they are well or not
	Probes   []observe.ProbeResult         // as they stand
	Evidence map[string][]observe.Evidence // service → collected; empty on the first look
	Samples  map[string]observe.Stats      // container id → last figures sampled before now
	Began    map[string]time.Time          // service → since when it is not well; absent: read from its state
	Repaired map[string]time.Time          // service → when the kernel killed it for memory, where the engine has started it again and nothing else is wrong
	Deployed map[string]time.Time          // service → when a deployment last changed it
	Stable   map[string]string             // service → revision before that deployment which ran well; absent: none
	Returned map[string]time.Time          // service → when it was decided to take it back to an older revision
	Undone   map[string]time.Time          // service → when a recreation of it was undone last
	Baseline map[string]map[string]float64 // service → integrity check → value that must not fall
	Measured map[string]map[string]float64 // service → integrity check → value now
	Broken   map[string]map[string]string  // service → integrity check → why it failed without giving a value
	Clusters map[string]string             // service → system identifier of its PostgreSQL when the baseline was taken
	Systems  map[string]string             // service → system identifier now, as far as it was measured beside the checks
	Volumes  bool                          // the stack was applied before: a volume that is not there is gone
}

// Answer of a step of the tree.
type Answer string

// Answers.
const (
	Yes      Answer = "yes"
	No       Answer = "no"
	Unclear  Answer = "unknown"
	NotAsked Answer = "not asked"
)

// Step is one question of the tree, as it was walked.
type Step struct {
	Depth    int      `json:"depth,omitempty"` // 0: the tree itself; 1: the procedure that a "no" jumps to
	Question string   `json:"question"`        // "container running?"
	Answer   Answer   `json:"answer"`
	Jump     string   `json:"jump,omitempty"`    // the procedure of the runbook that a "no" leads to
	Checked  string   `json:"checked,omitempty"` // what was looked at
	Seen     string   `json:"seen"`              // what was seen there
	Details  []string `json:"details,omitempty"` // more of it, a line each
}

// Finding is the root cause of what is wrong with a service.
type Finding struct {
	Service    string   `json:"service,omitempty"`
	Container  string   `json:"container,omitempty"`
	Cause      string   `json:"cause"`                // code, such as "memory_exhaustion"
	Severity   string   `json:"severity"`             // critical, high, medium, low
	Summary    string   `json:"summary"`              // one sentence
	Proof      []string `json:"proof"`                // the facts that support it; never empty
	Log        []string `json:"log,omitempty"`        // lines that sharpened it; never a proof alone
	Dependency string   `json:"dependency,omitempty"` // the service that must be healed, or treated, for this one to recover; empty: this one
	Wait       string   `json:"wait,omitempty"`       // why it is better left alone for now, such as a start that makes progress; empty: act
	Urgent     bool     `json:"urgent"`               // needs no more evidence than the cheap kind before an action
	// Repaired is when it happened that the engine's own restart policy has made good; zero: it is still wrong.
	Repaired time.Time `json:"repaired,omitzero"`
}

// Diagnosis is one service's tree and what came of it.
type Diagnosis struct {
	Service  string         `json:"service,omitempty"`
	Reason   string         `json:"reason,omitempty"` // why it is not well; empty: it is
	Steps    []Step         `json:"steps"`
	Finding  *Finding       `json:"finding,omitempty"`   // nil: well, masked, or to be asked again with what it needs
	MaskedBy string         `json:"masked_by,omitempty"` // the service whose cause explains this one
	Needs    []observe.Need `json:"needs,omitempty"`     // what to collect before the next look; empty on a second one, unless something is waited for
	Urgent   bool           `json:"urgent"`              // the service is down: collect no longer than the cheap evidence takes
}

// Diagnose walks the tree of every service that is not well and of those asked for, sorted by name. It never changes
// its input, and the same input gives the same answer.
//
// A service without evidence of its current container is told what to collect (Needs); only a cause that the snapshot
// alone proves is named at once. With evidence, whatever came of collecting it, every service that is not well gets a
// finding or the service that masks it.
func Diagnose(in Input) []Diagnosis {
	if len(in.Ill)+len(in.Ask) == 0 {
		return nil
	}
	w := newWard(&in)
	var found []Diagnosis
	for _, p := range w.patients {
		_, ill := in.Ill[p.svc.Name]
		if in.Ask[p.svc.Name] || (ill && p.svc.Policy.Mode != "ignore") {
			found = append(found, w.examine(p, ill))
		}
	}
	return found
}

// examine is one service's diagnosis.
func (w *ward) examine(p *patient, ill bool) Diagnosis {
	asked := w.in.Ask[p.svc.Name]
	d := Diagnosis{Service: p.svc.Name, Reason: w.in.Ill[p.svc.Name], Steps: p.walk(), Urgent: ill && p.down() && p.evidence == nil}
	source := w.source(p.svc.Name)
	finding, own := p.finding(ill)
	d.Finding = finding
	if ill && source != "" && !own {
		d.Finding, d.MaskedBy = nil, source
	}
	if asked || (ill && d.MaskedBy == "") {
		d.Needs = p.needs(d.Finding)
	}
	return d
}

// ward is all services of a stack, and who depends on whom.
type ward struct {
	in       *Input
	patients []*patient // by name
	upstream map[string][]string
	sources  map[string]string // service → whose trouble explains its own, as far as it was asked
}

func newWard(in *Input) *ward {
	w := &ward{in: in, sources: map[string]string{}}
	for _, svc := range in.Stack.Services {
		w.patients = append(w.patients, newPatient(in, svc))
	}
	slices.SortFunc(w.patients, func(a, b *patient) int { return cmp.Compare(a.svc.Name, b.svc.Name) })
	w.upstream = edges(w.patients)
	for _, p := range w.patients {
		p.database = w.databaseOf(p)
		p.backends = w.upstream[p.svc.Name]
	}
	return w
}

// of returns the patient of a service, or nil.
func (w *ward) of(service string) *patient {
	for _, p := range w.patients {
		if p.svc.Name == service {
			return p
		}
	}
	return nil
}
