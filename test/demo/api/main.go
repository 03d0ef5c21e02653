// Command api is the demo's application: a small HTTP API on a PostgreSQL
// connection pool that can be made to fail in each way the runbook knows.
//
//	DATABASE_URL   where PostgreSQL is
//	POOL_MAX       most connections of the pool, 10
//	POOL_TIMEOUT   longest wait for one of them, 1s
//	LISTEN         address to serve on, :8000
//	START_DELAY    how long starting takes, 0s
//	IGNORE_TERM    1: do not stop when asked to
//	FAULT          a fault to start with, for versions that are bad from the start
//
// SIGUSR1 writes the stacks of all goroutines to stderr. `api healthcheck` is the
// container's healthcheck.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// version is set when the image is built.
var version = "dev"

type config struct {
	database    string
	listen      string
	poolMax     int32
	poolTimeout time.Duration
	startDelay  time.Duration
	ignoreTerm  bool
	fault       string
}

func main() {
	log.SetFlags(log.Ldate | log.Ltime | log.LUTC)
	cfg, err := configFromEnvironment()
	if err != nil {
		log.Fatalf("FATAL %v", err)
	}
	if len(os.Args) > 1 && os.Args[1] == "healthcheck" {
		os.Exit(healthcheck(cfg))
	}
	if err := run(cfg); err != nil {
		log.Fatalf("FATAL %v", err)
	}
}

// healthcheck asks the API for its health once and returns the exit status.
func healthcheck(cfg config) int {
	client := http.Client{Timeout: 900 * time.Millisecond}
	answer, err := client.Get("http://127.0.0.1" + cfg.listen + "/health")
	if err != nil {
		fmt.Println(err)
		return 1
	}
	defer answer.Body.Close()
	fmt.Println(answer.Status)
	if answer.StatusCode != http.StatusOK {
		return 1
	}
	return 0
}

func run(cfg config) error {
	dumpStacksOnSignal()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if cfg.ignoreTerm {
		signal.Ignore(syscall.SIGTERM)
	}

	pool, err := openPool(cfg)
	if err != nil {
		return err
	}
	defer pool.Close()

	application := &application{pool: pool, poolTimeout: cfg.poolTimeout}
	if cfg.fault != "" {
		if err := application.injectNamed(cfg.fault); err != nil {
			return fmt.Errorf("FAULT: %w", err)
		}
	}
	select {
	case <-time.After(cfg.startDelay):
	case <-ctx.Done():
		return nil
	}

	server := &http.Server{Addr: cfg.listen, Handler: application.routes(), ReadHeaderTimeout: 5 * time.Second}
	go func() {
		<-ctx.Done()
		log.Print("shutting down")
		grace, cancel := context.WithTimeout(context.Background(), 3*time.Second)
		defer cancel()
		if err := server.Shutdown(grace); err != nil {
			log.Printf("ERROR shut down: %v", err)
			os.Exit(1) // requests are stuck: they would keep the pool, and us, for ever
		}
	}()
	log.Printf("Application startup complete, version %s", version)
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve: %w", err)
	}
	return nil
}

// openPool returns a pool that connects when it is first used: a database that is
// away makes the API unwell, not absent.
func openPool(cfg config) (*pgxpool.Pool, error) {
	settings, err := pgxpool.ParseConfig(cfg.database)
	if err != nil {
		return nil, fmt.Errorf("parse DATABASE_URL: %w", err)
	}
	settings.MaxConns = cfg.poolMax
	settings.ConnConfig.ConnectTimeout = 2 * time.Second
	settings.ConnConfig.RuntimeParams["application_name"] = "api"
	pool, err := pgxpool.NewWithConfig(context.Background(), settings)
	if err != nil {
		return nil, fmt.Errorf("open pool: %w", err)
	}
	return pool, nil
}

// dumpStacksOnSignal answers SIGUSR1 with the stacks of all goroutines, and goes
// on running. It needs no lock of the application, so it works in a deadlock.
func dumpStacksOnSignal() {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGUSR1)
	go func() {
		for range signals {
			stacks := make([]byte, 1<<20)
			stacks = stacks[:runtime.Stack(stacks, true)]
			fmt.Fprintf(os.Stderr, "=== stacks of all goroutines ===\n%s=== end of stacks ===\n", stacks)
		}
	}()
}

func configFromEnvironment() (config, error) {
	cfg := config{
		database:   os.Getenv("DATABASE_URL"),
		listen:     setting("LISTEN", ":8000"),
		ignoreTerm: os.Getenv("IGNORE_TERM") == "1",
		fault:      os.Getenv("FAULT"),
	}
	poolMax, err := strconv.ParseInt(setting("POOL_MAX", "10"), 10, 32)
	if err != nil || poolMax < 1 {
		return cfg, fmt.Errorf("POOL_MAX: want a number of connections from 1, not %q", os.Getenv("POOL_MAX"))
	}
	cfg.poolMax = int32(poolMax)
	if cfg.poolTimeout, err = time.ParseDuration(setting("POOL_TIMEOUT", "1s")); err != nil {
		return cfg, fmt.Errorf("POOL_TIMEOUT: %w", err)
	}
	if cfg.startDelay, err = time.ParseDuration(setting("START_DELAY", "0s")); err != nil {
		return cfg, fmt.Errorf("START_DELAY: %w", err)
	}
	return cfg, nil
}

func setting(name, fallback string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return fallback
}
