package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
)

// What looks at the dashboard, and for how long at a time.
const (
	crowd   = 100
	showing = 15 * time.Second
)

// viewers: what a pass takes while many look at the dashboard and a scrape comes every second, beside nobody looking; in
// turn, in one process. Every second there is a pass, which all viewers are told of and ask the page again for.
func (b *bench) viewers(ctx context.Context) error {
	file := b.stack("viewers", *services, "")
	if _, _, err := timed(b.composure(ctx, file, "reconcile", "--once")); err != nil {
		return err
	}
	cmd := b.composure(ctx, file, "--log-format", "text", "reconcile", "--interval", "1s", "--listen", "127.0.0.1:0")
	log, err := cmd.StderrPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return err
	}
	defer func() { _ = cmd.Process.Signal(syscall.SIGTERM); _ = cmd.Wait() }()
	at, err := served(log)
	if err != nil {
		return err
	}
	var alone, seen passes
	for range 3 {
		for _, turn := range []struct {
			of    *passes
			crowd int
		}{{&alone, 0}, {&seen, crowd}} {
			if err := turn.of.during(ctx, at, turn.crowd); err != nil {
				return err
			}
		}
	}
	who := fmt.Sprintf("%d services, %d viewers and a scrape a second", *services, crowd)
	b.add("pass of "+who, seen.mean(), alone.mean(), "nobody looks", "≤ 2")
	b.rows = append(b.rows,
		row{"passes in the time of it", fmt.Sprint(seen.count), "due a second after the last one", fmt.Sprint(seen.due()), fmt.Sprintf("%.2f", float64(seen.count)/float64(seen.due())), "≥ 0.95"},
		row{"passes of it that took more than a second", fmt.Sprint(seen.late), "nobody looks", fmt.Sprint(alone.late), "", "0"},
		row{"pages that the viewers got", fmt.Sprint(seen.pages), "", "", "", ""})
	return b.remove(ctx, project+"-viewers")
}

// served reads where the dashboard is from a log, and the rest of it so that it goes on.
func served(log io.Reader) (string, error) {
	lines, at := bufio.NewScanner(log), regexp.MustCompile(`address=(http://\S+)`)
	for lines.Scan() {
		if m := at.FindStringSubmatch(lines.Text()); m != nil {
			go func() { _, _ = io.Copy(io.Discard, log) }()
			return m[1], nil
		}
	}
	return "", fmt.Errorf("the dashboard is not served: %w", lines.Err())
}

// passes are what the metrics say of a time.
type passes struct {
	count, late, pages int
	took, lasted       time.Duration // by the passes, and all of it
}

// due is how many passes there are when each begins a second after the end of the last one.
func (p passes) due() int { return int(p.lasted / (time.Second + p.mean())) }

func (p passes) mean() time.Duration { return p.took / time.Duration(max(p.count, 1)) }

// during adds what passes in a time with so many viewers.
func (p *passes) during(ctx context.Context, at string, viewers int) error {
	before, err := measured(ctx, at)
	if err != nil {
		return err
	}
	began := time.Now()
	ctx, end := context.WithTimeout(ctx, showing)
	defer end()
	group, pages := errgroup.Group{}, make(chan int, viewers)
	for range viewers {
		group.Go(func() error {
			got, err := look(ctx, at)
			pages <- got
			return err
		})
	}
	for ticker := time.NewTicker(time.Second); viewers > 0 && ctx.Err() == nil; <-ticker.C {
		if _, err := measured(ctx, at); err != nil && ctx.Err() == nil {
			return err
		}
	}
	<-ctx.Done()
	if err := group.Wait(); err != nil {
		return err
	}
	for range viewers {
		p.pages += <-pages
	}
	after, err := measured(context.WithoutCancel(ctx), at)
	p.lasted += time.Since(began)
	p.count, p.late, p.took = p.count+after.count-before.count, p.late+after.late-before.late, p.took+after.took-before.took
	return err
}

// look is one viewer: a stream, and the page again whenever it says so. It returns how many pages it got.
func look(ctx context.Context, at string) (pages int, err error) {
	client := http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	get := func(path string) (*http.Response, error) {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, at+path, nil)
		if err != nil {
			return nil, err
		}
		answer, err := client.Do(request)
		if err == nil && answer.StatusCode != http.StatusOK {
			answer.Body.Close()
			err = fmt.Errorf("%s: %s", path, answer.Status)
		}
		return answer, err
	}
	stream, err := get("/events")
	if err != nil {
		return 0, err
	}
	defer stream.Body.Close()
	for lines := bufio.NewScanner(stream.Body); lines.Scan(); {
		if !strings.HasPrefix(lines.Text(), "data: ") {
			continue
		}
		page, err := get("/")
		if err == nil {
			_, err = io.Copy(io.Discard, page.Body)
			page.Body.Close()
		}
		switch {
		case ctx.Err() != nil:
			return pages, nil
		case err != nil:
			return pages, err
		}
		pages++
	}
	if ctx.Err() == nil {
		return pages, fmt.Errorf("the stream ended after %d pages", pages)
	}
	return pages, nil
}

// measured reads the passes so far from the metrics.
func measured(ctx context.Context, at string) (passes, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, at+"/metrics", nil)
	if err != nil {
		return passes{}, err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return passes{}, err
	}
	defer answer.Body.Close()
	figures := map[string]float64{}
	for lines := bufio.NewScanner(answer.Body); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), " ")
		if metric, labels, _ := strings.Cut(name, "{"); strings.HasPrefix(metric, "composure_pass_seconds") {
			within := regexp.MustCompile(`le="1"`).FindString(labels)
			n, err := strconv.ParseFloat(value, 64)
			if err != nil {
				return passes{}, fmt.Errorf("metric %s: %w", name, err)
			}
			figures[metric+within] = n
		}
	}
	count := int(figures["composure_pass_seconds_count"])
	return passes{count: count, late: count - int(figures[`composure_pass_seconds_bucketle="1"`]), took: time.Duration(figures["composure_pass_seconds_sum"] * float64(time.Second))}, nil
}
