package observe

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"composure/spec"
)

// integrityTimeout bounds one check: counting the rows of a large table takes its time.
const integrityTimeout = 30 * time.Second

// Measurement is what the integrity checks of a service gave.
type Measurement struct {
	Values map[string]float64 // check → the number of a query; 1 or 0 for a command or an endpoint
	Broken map[string]string  // check → why a server that answers refused to give a value, such as a damaged page
	Gaps   []Gap              // what could not be asked: nothing is known
	System string             // system identifier of the PostgreSQL that the service is or uses; empty: unknown
}

// Measure makes the integrity checks of a service, all at a time, each within 30 s. Queries run in a transaction that
// cannot write. Names are those of the file; a check without one is called after its number, from 1.
func (e *Examiner) Measure(ctx context.Context, stack *spec.Stack, snapshot *Snapshot, service string) Measurement {
	m := Measurement{Values: map[string]float64{}, Broken: map[string]string{}}
	svc := stack.Service(service)
	if svc == nil || len(svc.Policy.Integrity) == 0 {
		return m
	}
	current := Current(svc, snapshot)
	if current == nil || !current.Running() {
		m.Gaps = append(m.Gaps, Gap{Subject: "integrity of " + service, Service: service, Err: "no container of it runs"})
		return m
	}
	at := place{cfg: e.cfg, seen: look{stack, snapshot}, self: *current, probe: spec.Probe{From: "host", Timeout: integrityTimeout}}
	secrets := secretValues(stack, *current)
	var mu sync.Mutex
	var all sync.WaitGroup
	for i, check := range svc.Policy.Integrity {
		all.Go(func() {
			limited, cancel := context.WithTimeout(ctx, integrityTimeout)
			defer cancel()
			value, err := at.measure(limited, svc, check)
			mu.Lock()
			defer mu.Unlock()
			m.note(cmp.Or(check.Name, strconv.Itoa(i+1)), service, value, err, secrets)
		})
	}
	all.Go(func() {
		if server, found := at.databaseOf(ctx, svc); found {
			if d, err := at.database(ctx, server); err == nil {
				mu.Lock()
				defer mu.Unlock()
				m.System = d.SystemIdentifier
			}
		}
	})
	all.Wait()
	return m
}

// note sorts the outcome of one check.
func (m *Measurement) note(name, service string, value float64, err error, secrets []string) {
	var broken refusedValue
	switch {
	case err == nil:
		m.Values[name] = value
	case errors.As(err, &broken):
		m.Broken[name] = line(broken.Error(), secrets)
	default:
		m.Gaps = append(m.Gaps, Gap{Subject: "integrity check " + name, Service: service, Err: line(err.Error(), secrets)})
	}
}

// refusedValue is an answer without a value, from one who was reached and understood the question.
type refusedValue string

func (e refusedValue) Error() string { return string(e) }

// measure makes one check.
func (at place) measure(ctx context.Context, svc *spec.Service, check spec.IntegrityCheck) (float64, error) {
	switch {
	case check.SQL != "":
		return at.query(ctx, svc, check)
	case len(check.Command) > 0:
		result, a := at.command(ctx, check.Command)
		if a != nil {
			return 0, errors.New(a.detail)
		}
		return truth(result.ExitCode == 0), nil
	}
	a := at.http(ctx, spec.HTTPProbe{URL: check.Endpoint})
	if a.state == ProbeUnknown {
		return 0, errors.New(a.detail)
	}
	return truth(a.status/100 == http.StatusOK/100), nil
}

func truth(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}

// query asks for one number.
func (at place) query(ctx context.Context, svc *spec.Service, check spec.IntegrityCheck) (float64, error) {
	dsn := check.DSN
	if dsn == "" {
		server, found := at.databaseOf(ctx, svc)
		if !found {
			return 0, errors.New("no connection string, and the service names no PostgreSQL")
		}
		at.probe.From, dsn = "network", server.dsn
	}
	conn, err := at.login(ctx, dsn)
	if err != nil {
		return 0, errors.New(at.loginRefusal(ctx, err).detail)
	}
	defer closeSession(ctx, conn)
	value, err := number(ctx, conn, check.SQL)
	var said *pgconn.PgError
	switch {
	case err == nil:
		return value, nil
	case errors.As(err, &said) && tellsOfData(said.Code):
		return 0, refusedValue(fmt.Sprintf("PostgreSQL: %s (%s)", said.Message, said.Code))
	case errors.As(err, &said):
		return 0, errors.New(at.loginRefusal(ctx, err).detail)
	}
	return 0, err
}

// tellsOfData says whether an error is about the data: internal errors, which damaged pages and indexes give, errors of
// files, and a table, column or schema that is not there.
func tellsOfData(code string) bool {
	class := code[:min(len(code), 2)]
	return class == "XX" || class == "58" || code == "42P01" || code == "42703" || code == "3F000"
}

// number runs a query and reads its only value, as PostgreSQL writes it.
func number(ctx context.Context, conn *pgx.Conn, query string) (float64, error) {
	if _, err := conn.Exec(ctx, "BEGIN READ ONLY"); err != nil {
		return 0, err
	}
	result := conn.PgConn().ExecParams(ctx, query, nil, nil, nil, nil).Read()
	if result.Err != nil {
		return 0, result.Err
	}
	if len(result.Rows) != 1 || len(result.Rows[0]) != 1 {
		return 0, errors.New("the query must return one row with one number")
	}
	value, err := strconv.ParseFloat(string(result.Rows[0][0]), 64)
	if err != nil {
		return 0, errors.New("the query did not return a number")
	}
	return value, nil
}
