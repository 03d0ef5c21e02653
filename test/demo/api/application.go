package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net/http"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// application holds the pool and the faults.
type application struct {
	pool        *pgxpool.Pool
	poolTimeout time.Duration

	// mu is taken by every request. The hang fault keeps it, which is an
	// application deadlock in its purest form.
	mu     sync.Mutex
	ailing bool // /health answers 500

	leaked [][]byte // owned by the one goroutine that leaks
}

func (a *application) routes() http.Handler {
	business := http.NewServeMux()
	business.HandleFunc("GET /health", a.health)
	business.HandleFunc("GET /api/v1/db/health", a.databaseHealth)
	business.HandleFunc("GET /api/v1/vendor-equipment/", a.vendorEquipment)
	business.HandleFunc("GET /api/v1/threat-intelligence/health", a.threatIntelligenceHealth)

	routes := http.NewServeMux()
	routes.Handle("/", a.serialised(business))
	routes.HandleFunc("POST /debug/{fault}", a.debug) // works while the rest hangs
	return routes
}

func (a *application) serialised(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.mu.Lock()
		//lint:ignore SA2001 passing through is the point
		a.mu.Unlock()
		next.ServeHTTP(w, r)
	})
}

func (a *application) health(w http.ResponseWriter, _ *http.Request) {
	a.mu.Lock()
	ailing := a.ailing
	a.mu.Unlock()
	if ailing {
		answer(w, http.StatusInternalServerError, map[string]any{"status": "ailing", "version": version})
		return
	}
	answer(w, http.StatusOK, map[string]any{"status": "ok", "version": version})
}

func (a *application) databaseHealth(w http.ResponseWriter, r *http.Request) {
	var one int
	if err := a.query(r.Context(), "SELECT 1", &one); err != nil {
		a.unavailable(w, err)
		return
	}
	answer(w, http.StatusOK, map[string]any{"database": "connected"})
}

func (a *application) vendorEquipment(w http.ResponseWriter, r *http.Request) {
	var items json.RawMessage
	var count int
	err := a.query(r.Context(), `
		SELECT (SELECT count(*) FROM vendor_equipment),
		       (SELECT json_agg(page) FROM (SELECT id, vendor, model, serial FROM vendor_equipment ORDER BY id LIMIT 10) AS page)`,
		&count, &items)
	if err != nil {
		a.unavailable(w, err)
		return
	}
	answer(w, http.StatusOK, map[string]any{"count": count, "items": items})
}

func (a *application) threatIntelligenceHealth(w http.ResponseWriter, r *http.Request) {
	var count int
	if err := a.query(r.Context(), "SELECT count(*) FROM threat_intelligence", &count); err != nil {
		a.unavailable(w, err)
		return
	}
	answer(w, http.StatusOK, map[string]any{"status": "ok", "count": count})
}

// query runs SQL that returns one row, on a connection of the pool, and scans the
// row. A pool with no connection free is told apart from a database that is away.
func (a *application) query(ctx context.Context, sql string, into ...any) error {
	waiting, cancel := context.WithTimeout(ctx, a.poolTimeout)
	defer cancel()
	connection, err := a.pool.Acquire(waiting)
	if err != nil {
		if errors.Is(err, context.DeadlineExceeded) && a.pool.Stat().AcquiredConns() == a.pool.Stat().MaxConns() {
			return fmt.Errorf("could not obtain connection from pool: %w", err)
		}
		return fmt.Errorf("connect to database: %w", err)
	}
	defer connection.Release()
	return connection.QueryRow(ctx, sql).Scan(into...)
}

func (a *application) unavailable(w http.ResponseWriter, err error) {
	log.Printf("ERROR %v", err)
	reason := err.Error()
	if connect := (*pgconn.ConnectError)(nil); errors.As(err, &connect) {
		reason = "connection failed" // the full text names the host and the user
	}
	answer(w, http.StatusServiceUnavailable, map[string]any{"database": "unavailable", "error": reason})
}

func answer(w http.ResponseWriter, status int, body map[string]any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(body); err != nil {
		log.Printf("ERROR write answer: %v", err)
	}
}
