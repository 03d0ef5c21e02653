package web

import (
	"context"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"composure/controller/incident"
	"composure/controller/plan"
)

// Metrics carry the stack, and where they are of a service its name; a few more labels have a handful of values each,
// from tables in the code. No label is ever an id of a container, an address or a text.

// Buckets in seconds, for what takes milliseconds and for what takes minutes.
var (
	fast = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}
	slow = []float64{1, 2.5, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600, 14400}
)

// Meters count what happens between two scrapes. They are safe for concurrent use.
type Meters struct {
	all   []prometheus.Collector
	began time.Time

	passes      *prometheus.CounterVec
	passSeconds prometheus.Histogram
	actions     *prometheus.CounterVec
	incidents   *prometheus.CounterVec
	detect      *prometheus.HistogramVec
	recover     *prometheus.HistogramVec
	probes      *prometheus.HistogramVec
	probeFails  *prometheus.CounterVec
	engine      *prometheus.HistogramVec
	engineFails *prometheus.CounterVec

	told map[string]incident.Incident // by id: as it was counted; used by one goroutine
}

// NewMeters returns meters that stand at zero.
func NewMeters(version string) *Meters {
	m := &Meters{began: time.Now(), told: map[string]incident.Incident{}}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "composure_" + name, Help: help}, labels)
		m.all = append(m.all, c)
		return c
	}
	histogram := func(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
		h := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "composure_" + name, Help: help, Buckets: buckets}, labels)
		m.all = append(m.all, h)
		return h
	}
	m.passes = counter("passes_total", "Passes by outcome: done, elsewhere (somebody else has the stack), failed (the engine could not be observed).", "outcome")
	m.passSeconds = prometheus.NewHistogram(prometheus.HistogramOpts{Name: "composure_pass_seconds", Help: "Time of a pass, from the look until all was on record.", Buckets: fast})
	m.all = append(m.all, m.passSeconds)
	m.actions = counter("actions_total", "Actions by rung and outcome.", "service", "rung", "outcome")
	m.incidents = counter("incidents_total", "Incidents that were opened.", "service", "cause")
	m.detect = histogram("incident_detect_seconds", "Time from the beginning of an incident until it was detected.", slow, "service")
	m.recover = histogram("incident_recover_seconds", "Time from the beginning of an incident until the service ran well again.", slow, "service")
	m.probes = histogram("probe_seconds", "Response time of probes that succeeded.", fast, "service", "probe")
	m.probeFails = counter("probe_failures_total", "Probes that failed, each for itself.", "service", "probe")
	m.engine = histogram("engine_request_seconds", "Time until the engine began its answer.", fast, "endpoint")
	m.engineFails = counter("engine_request_failures_total", "Requests that the engine did not answer, or with an error of its own.", "endpoint")
	info := prometheus.NewGauge(prometheus.GaugeOpts{Name: "composure_build_info", Help: "1; the version is in the label.", ConstLabels: prometheus.Labels{"version": version}})
	info.Set(1)
	m.all = append(m.all, info)
	for _, outcome := range []string{"done", "elsewhere", "failed"} {
		m.passes.WithLabelValues(outcome)
	}
	return m
}

// Pass counts a pass.
func (m *Meters) Pass(outcome string, took time.Duration) {
	m.passes.WithLabelValues(outcome).Inc()
	m.passSeconds.Observe(took.Seconds())
}

// Action counts an attempt that has ended.
func (m *Meters) Action(a plan.Attempt) {
	m.actions.WithLabelValues(a.Service, verb(a.Kind), string(a.Outcome)).Inc()
}

// Probe counts an answer of a probe.
func (m *Meters) Probe(service, probe string, took time.Duration, failed bool) {
	if failed {
		m.probeFails.WithLabelValues(service, probe).Inc()
		return
	}
	m.probes.WithLabelValues(service, probe).Observe(took.Seconds())
}

// Engine counts a request to the engine.
func (m *Meters) Engine(endpoint string, took time.Duration, failed bool) {
	m.engine.WithLabelValues(endpoint).Observe(took.Seconds())
	if failed {
		m.engineFails.WithLabelValues(endpoint).Inc()
	}
}

// Incident counts what has become of an incident: that it was opened, how long that took, how long it lasted. It is to
// be called in order, from one goroutine at a time.
func (m *Meters) Incident(i incident.Incident) {
	before, known := m.told[i.ID]
	if !known && i.Detected.After(m.began) {
		m.incidents.WithLabelValues(i.Service, i.Cause).Inc()
		m.detect.WithLabelValues(i.Service).Observe(max(i.Detected.Sub(i.Began), 0).Seconds())
	}
	if !i.MitigatedAt.IsZero() && before.MitigatedAt.IsZero() && i.MitigatedAt.After(m.began) {
		m.recover.WithLabelValues(i.Service).Observe(i.MitigatedAt.Sub(i.Began).Seconds())
	}
	m.told[i.ID] = i
	if i.State == incident.Resolved {
		delete(m.told, i.ID)
	}
}

// verb is the part of an operation that names it.
func verb(kind string) string {
	for i, r := range kind {
		if r == ':' {
			return kind[:i]
		}
	}
	return kind
}

// state is what a Status says in figures.
type state struct{ s *Server }

// gauge describes a figure of a service, or of the stack.
func gauge(name, help, stack string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("composure_"+name, help, labels, prometheus.Labels{"stack": stack})
}

// Describe implements prometheus.Collector: what there is depends on the stack.
func (c state) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (c state) Collect(out chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), readTimeout)
	defer cancel()
	now, err := c.s.status(ctx)
	set := func(name, help string, v float64) {
		out <- prometheus.MustNewConstMetric(gauge(name, help, c.s.Stack), prometheus.GaugeValue, v)
	}
	set("ready", "1 when the stack has been looked at.", truth(err == nil))
	if err != nil {
		return
	}
	well, open := true, 0
	for _, one := range now.Services {
		of := func(name, help string, v float64) {
			out <- prometheus.MustNewConstMetric(gauge(name, help, c.s.Stack, "service"), prometheus.GaugeValue, v, one.Service)
		}
		of("service_well", "1 when the service is well, 0.5 when that is not decided yet, 0 when it is not.", map[string]float64{"recovered": 1, "pending": 0.5}[one.Verdict])
		of("service_replicas", "Replicas that are meant to run.", float64(one.Replicas))
		of("service_running", "Containers that run.", float64(one.Running))
		of("drift_fields", "Fields that differ from the compose file, without what was decided.", float64(one.Drift))
		of("held", "Things that are decided against for now.", float64(len(one.Held)))
		of("memory_usage_bytes", "Memory of all containers of the service, without cache that can be dropped.", float64(one.Memory))
		of("memory_limit_bytes", "Memory limit of all containers of the service; 0: none.", float64(one.MemoryLimit))
		of("budget_attempts", "Attempts of the budget.", float64(one.Budget))
		of("budget_attempts_left", "Attempts that are left.", float64(one.BudgetLeft))
		of("incident_open", "1 while an incident of the service is open.", truth(one.Incident != ""))
		well = well && one.Verdict == "recovered" && one.Drift == 0
		open += map[bool]int{true: 1}[one.Incident != ""]
	}
	set("converged", "1 when every service is well and nothing differs from the compose file.", truth(well && now.Down == nil))
	set("incidents_open", "Services with an open incident.", float64(open))
	set("engine_up", "1 while the engine answers.", truth(now.Down == nil))
	set("gaps", "Facts that could not be read.", float64(len(now.Gaps)))
	set("last_look_timestamp_seconds", "When the stack was last looked at.", float64(now.At.UnixMilli())/1000)
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// metrics answers a scrape.
func (s *Server) metrics() http.Handler {
	registry := prometheus.NewRegistry()
	prometheus.WrapRegistererWith(prometheus.Labels{"stack": s.Stack}, registry).MustRegister(s.Meters.all...)
	registry.MustRegister(state{s}, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{MaxRequestsInFlight: 10, Timeout: readTimeout})
}
