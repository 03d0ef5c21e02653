// Command frontend is the demo's reverse proxy. When the API does not answer it
// says so as real ones do: 502 when it cannot be reached, 504 when it is too slow.
//
//	UPSTREAM           address of the API, http://api:8000
//	UPSTREAM_TIMEOUT   how long it may take to answer, 2s
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// version is set when the image is built.
var version = "dev"

const address = ":8080"

func main() {
	if len(os.Args) > 1 && os.Args[1] == "healthcheck" {
		os.Exit(healthcheck())
	}
	log.SetFlags(log.Ldate | log.Ltime | log.LUTC)
	if err := serve(); err != nil {
		log.Fatalf("FATAL %v", err)
	}
}

// healthcheck is what the container's healthcheck runs. It asks for the proxy
// itself, not for what is behind it.
func healthcheck() int {
	client := http.Client{Timeout: 900 * time.Millisecond}
	answer, err := client.Get("http://127.0.0.1" + address + "/frontend/health")
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

func serve() error {
	upstream, err := url.Parse(setting("UPSTREAM", "http://api:8000"))
	if err != nil {
		return fmt.Errorf("parse UPSTREAM: %w", err)
	}
	timeout, err := time.ParseDuration(setting("UPSTREAM_TIMEOUT", "2s"))
	if err != nil {
		return fmt.Errorf("parse UPSTREAM_TIMEOUT: %w", err)
	}

	routes := http.NewServeMux()
	routes.HandleFunc("GET /frontend/health", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "ok, version %s\n", version)
	})
	routes.Handle("/", proxy(upstream, timeout))

	server := &http.Server{Addr: address, Handler: routes, ReadHeaderTimeout: 5 * time.Second}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	go func() {
		<-ctx.Done()
		grace, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := server.Shutdown(grace); err != nil {
			log.Printf("ERROR shut down: %v", err)
		}
	}()

	log.Printf("proxying to %s", upstream)
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve: %w", err)
	}
	return nil
}

func proxy(upstream *url.URL, timeout time.Duration) http.Handler {
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(upstream)
			r.SetXForwarded()
		},
		Transport: &http.Transport{
			DialContext:           (&net.Dialer{Timeout: timeout}).DialContext,
			ResponseHeaderTimeout: timeout,
			IdleConnTimeout:       30 * time.Second,
		},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			status := http.StatusBadGateway
			var network net.Error
			if errors.As(err, &network) && network.Timeout() {
				status = http.StatusGatewayTimeout
			}
			log.Printf("ERROR %s %s: %d: %v", r.Method, r.URL.Path, status, err)
			http.Error(w, http.StatusText(status), status)
		},
	}
}

func setting(name, fallback string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return fallback
}
