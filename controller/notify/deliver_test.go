package notify

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"composure/controller/incident"
	"composure/controller/store"
)

// outbox is the store as the deliverer sees it.
type outbox struct {
	*store.Store
	stack string
}

func (o outbox) Claim(ctx context.Context, channel string, now time.Time, keep time.Duration, limit int) ([]Due, error) {
	return convert(o.ClaimDue(ctx, o.stack, channel, now, keep, limit))
}

func convert(all []store.Delivery, err error) ([]Due, error) {
	var due []Due
	for _, d := range all {
		due = append(due, Due{ID: d.ID, Channel: d.Channel, Payload: d.Payload, Created: d.Created, Attempts: d.Attempts, Next: d.Next})
	}
	return due, err
}

// fake is an outbox in memory, for virtual time, and channels that are as good as they are told to be.
type fake struct {
	mu   sync.Mutex
	rows map[string]*row
	sent []string         // "channel id", in order
	down map[string]error // by channel
	hang map[string]bool
	fail error // of the outbox itself

	calls map[string]int // by channel
}

type row struct {
	Due
	delivered bool
	reason    string
}

func newFake() *fake {
	return &fake{rows: map[string]*row{}, down: map[string]error{}, hang: map[string]bool{}, calls: map[string]int{}}
}

func (f *fake) add(id, kind string, created time.Time, channels ...string) {
	m := message(kind)
	m.At = created
	payload, err := Payload(m.Announcement)
	if err != nil {
		panic(err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range channels {
		f.rows[c+" "+id] = &row{Due: Due{ID: id, Channel: c, Payload: payload, Created: created, Next: created}}
	}
}

func (f *fake) Claim(_ context.Context, channel string, now time.Time, keep time.Duration, limit int) ([]Due, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var due []*row
	for _, r := range f.rows {
		if r.Channel == channel && !r.delivered && !r.Next.After(now) && f.fail == nil {
			due = append(due, r)
		}
	}
	tried := func(r *row) int { return min(r.Attempts, 1) }
	slices.SortFunc(due, func(a, b *row) int {
		return cmp.Or(tried(a)-tried(b), a.Next.Compare(b.Next), strings.Compare(a.ID, b.ID))
	})
	var claimed []Due
	for _, r := range due[:min(limit, len(due))] {
		r.Attempts++
		r.Next = now.Add(keep)
		claimed = append(claimed, r.Due)
	}
	return claimed, f.fail
}

func (f *fake) Behind(_ context.Context, id, channel string) (until time.Time, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	own := f.rows[channel+" "+id]
	for _, r := range f.rows { // all of one incident and tier
		if r.Channel == channel && !r.delivered && r.Created.Before(own.Created) && r.Next.After(until) {
			until = r.Next
		}
	}
	return until, f.fail
}

func (f *fake) Delivered(_ context.Context, id, channel string, _ time.Time) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rows[channel+" "+id].delivered = true
	return nil
}

func (f *fake) Retry(_ context.Context, id, channel, reason string, next time.Time) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	r := f.rows[channel+" "+id]
	r.reason, r.Next = reason, next
	return nil
}

func (f *fake) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

func (f *fake) log() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.sent...)
}

// channel is a channel of a fake.
type channel struct {
	*fake
	name string
}

func (c channel) Name() string { return c.name }

func (c channel) Send(ctx context.Context, m Message) error {
	c.mu.Lock()
	c.calls[c.name]++
	err, hang := c.down[c.name], c.hang[c.name]
	c.mu.Unlock()
	if hang {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(Timeout):
			return &Error{Text: "no answer"}
		}
	}
	if err == nil {
		c.set(func() { c.sent = append(c.sent, c.name+" "+m.ID+" "+m.Kind) })
	}
	return err
}

func (f *fake) deliverer(logs *bytes.Buffer, names ...string) *Deliverer {
	var channels []Channel
	for _, name := range names {
		channels = append(channels, Channel{Notifier: channel{f, name}})
	}
	return NewDeliverer(Config{Outbox: f, Channels: channels, Logger: slog.New(slog.NewTextHandler(logs, nil))})
}

// run starts Run in a bubble and returns what ends it.
func run(t *testing.T, d *Deliverer) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	return func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

// TestOneChannelDown: others get theirs at once; the one that is down gets everything, in order, once it is back; the
// failure is told once.
func TestOneChannelDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, logs := newFake(), &bytes.Buffer{}
		f.down["slack"] = &Error{Text: "send to slack: answered 503"}
		f.hang["email"] = true
		d := f.deliverer(logs, "slack", "webhook", "email")
		stop := run(t, d)
		f.add("N1", "escalated", time.Now(), "slack", "webhook", "email")
		d.Wake()
		time.Sleep(time.Second)
		if diff := gocmp.Diff([]string{"webhook N1 escalated"}, f.log()); diff != "" {
			t.Error(diff)
		}
		time.Sleep(10 * time.Minute)
		f.add("N2", "resolved", time.Now(), "slack", "webhook", "email")
		d.Wake()
		time.Sleep(time.Second)
		if diff := gocmp.Diff([]string{"webhook N1 escalated", "webhook N2 resolved"}, f.log()); diff != "" {
			t.Error(diff)
		}
		f.set(func() { f.down, f.hang = map[string]error{}, map[string]bool{} })
		time.Sleep(time.Hour)
		stop()
		bySlack := []string{}
		for _, line := range f.log() {
			if strings.HasPrefix(line, "slack") {
				bySlack = append(bySlack, line)
			}
		}
		if diff := gocmp.Diff([]string{"slack N1 escalated", "slack N2 resolved"}, bySlack); diff != "" || len(f.log()) != 6 {
			t.Errorf("%s\n%q", diff, f.log())
		}
		if n := strings.Count(logs.String(), "answered 503"); n != 1 {
			t.Errorf("told %d times:\n%s", n, logs)
		}
	})
}

// TestBackoff: tries become rarer, up to a quarter of an hour, for days; what is refused for good is tried every hour;
// what the receiver asks for is kept.
func TestBackoff(t *testing.T) {
	cases := []struct {
		err      error
		fewest   int
		most     int
		duration time.Duration
	}{
		{&Error{Text: "down"}, 290, 310, 72 * time.Hour},
		{&Error{Text: "refused", Permanent: true}, 72, 74, 72 * time.Hour},
		{&Error{Text: "busy", After: 30 * time.Minute}, 144, 146, 72 * time.Hour},
		{errors.New("anything"), 6, 8, 5 * time.Minute},
	}
	for _, c := range cases {
		synctest.Test(t, func(t *testing.T) {
			f := newFake()
			f.down["webhook"] = c.err
			f.add("N1", "escalated", time.Now(), "webhook")
			defer run(t, f.deliverer(&bytes.Buffer{}, "webhook"))()
			time.Sleep(c.duration)
			f.mu.Lock()
			defer f.mu.Unlock()
			if n := f.rows["webhook N1"].Attempts; n < c.fewest || n > c.most {
				t.Errorf("%v: %d attempts in %s", c.err, n, c.duration)
			}
		})
	}
}

// TestBacklog: what a receiver missed while it was down arrives within minutes when it is back, and the alarm of tonight does
// not wait for it.
func TestBacklog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		f.down["webhook"] = &Error{Text: "answered 503"}
		const many = 2000
		for n := range many {
			f.add(fmt.Sprintf("N%04d", n), "escalated", time.Now(), "webhook")
		}
		d := f.deliverer(&bytes.Buffer{}, "webhook")
		defer run(t, d)()
		time.Sleep(48 * time.Hour)
		f.set(func() { delete(f.down, "webhook") })
		f.add("tonight", "escalated", time.Now(), "webhook")
		d.Wake()
		time.Sleep(time.Second)
		if !slices.Contains(f.log(), "webhook tonight escalated") {
			t.Error("the alarm of tonight waits for the backlog")
		}
		time.Sleep(20 * time.Minute)
		if n := len(f.log()); n != many+1 {
			t.Errorf("%d of %d arrived within 20 minutes", n, many+1)
		}
	})
}

// TestRetryAfter: a receiver that asks for time is left alone for so long, by all that waits for it.
func TestRetryAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		f.down["webhook"] = &Error{Text: "answered 429", After: 10 * time.Minute}
		for n := range 100 {
			f.add(fmt.Sprintf("N%03d", n), "escalated", time.Now(), "webhook")
		}
		d := f.deliverer(&bytes.Buffer{}, "webhook")
		defer run(t, d)()
		time.Sleep(9 * time.Minute)
		d.Wake()
		time.Sleep(30 * time.Second)
		if n := f.calls["webhook"]; n != 1 {
			t.Errorf("asked %d times within the time that it had asked for", n)
		}
	})
}

// TestStop: what is being sent when the process is told to end is due again at once, and so is what was in line.
func TestStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		f.hang["webhook"] = true
		for n := range 5 {
			f.add(fmt.Sprintf("N%d", n), "escalated", time.Now(), "webhook")
		}
		stop := run(t, f.deliverer(&bytes.Buffer{}, "webhook"))
		time.Sleep(time.Second)
		began := time.Now()
		stop()
		if time.Since(began) != 0 {
			t.Errorf("stopping took %s", time.Since(began))
		}
		for id, r := range f.rows {
			if r.delivered || r.Next.After(time.Now()) {
				t.Errorf("%s is due at %s", id, r.Next)
			}
		}
	})
}

// TestTrouble: an outbox that fails, a channel that is gone from the file, a damaged row: each is survived.
func TestTrouble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, logs := newFake(), &bytes.Buffer{}
		f.fail = errors.New("the store is down")
		f.add("N1", "escalated", time.Now(), "webhook", "gone")
		f.add("N2", "escalated", time.Now(), "webhook")
		f.rows["webhook N2"].Payload = []byte("{")
		defer run(t, f.deliverer(logs, "webhook"))()
		time.Sleep(time.Minute)
		f.set(func() { f.fail = nil })
		time.Sleep(2 * time.Hour)
		if diff := gocmp.Diff([]string{"webhook N1 escalated"}, f.log()); diff != "" {
			t.Error(diff)
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		if r := f.rows["gone N1"]; r.delivered || r.Attempts > 0 {
			t.Error("the channel that is gone was tried")
		}
		if r := f.rows["webhook N2"]; r.delivered || !strings.Contains(r.reason, "damaged") {
			t.Errorf("the damaged row: %q", r.reason)
		}
	})
}

// TestFlush: a command delivers what is due and ends, whatever fails.
func TestFlush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		f.down["slack"] = &Error{Text: "send to slack: answered 503"}
		for n := range 40 {
			f.add(fmt.Sprintf("N%d", n), "escalated", time.Now(), "webhook", "slack")
		}
		err := f.deliverer(&bytes.Buffer{}, "webhook", "slack").Flush(t.Context())
		if err == nil || !strings.Contains(err.Error(), "answered 503") || len(f.log()) != 40 {
			t.Errorf("%d sent, error %v", len(f.log()), err)
		}
	})
}

// TestAcrossRestarts: with the real store, a receiver that is down, and processes that are killed in the middle: what
// was announced arrives, with the same id every time.
func TestAcrossRestarts(t *testing.T) {
	r := receive(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	dir := t.TempDir()
	const stack = "engine/shop"
	s, err := store.Open(t.Context(), store.Options{StateDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	payload, err := Payload(message("escalated").Announcement)
	if err != nil {
		t.Fatal(err)
	}
	n := store.Notification{ID: "N1", Stack: stack, Incident: "shop-1", Tier: "devops", Kind: "escalated", Payload: payload, Created: time.Now(), Channels: []string{"webhook"}}
	if queued, err := s.Enqueue(t.Context(), n); err != nil || !queued {
		t.Fatalf("queued %v: %v", queued, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	child(t, dir, r.URL, "deliver", 0) // the receiver is down: the child ends with the row due again
	if len(r.requests()) == 0 {
		t.Fatal("nothing was tried")
	}
	r.answer(nil)
	child(t, dir, r.URL, "die", 1) // sent, and killed before that is on record
	child(t, dir, r.URL, "deliver", 2)
	got := r.requests()
	if len(got) != 3 {
		t.Fatalf("%d requests", len(got))
	}
	for _, q := range got {
		var d document
		if err := json.Unmarshal(q.body, &d); err != nil || d.ID != "N1" || q.header.Get("Idempotency-Key") != "N1" {
			t.Errorf("id %q, %v", d.ID, err)
		}
	}
	child(t, dir, r.URL, "deliver", 3) // nothing is left
	if len(r.requests()) != 3 {
		t.Error("delivered again")
	}
	if s, err = store.Open(t.Context(), store.Options{StateDir: dir}); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if again, err := s.Enqueue(t.Context(), n); again || err != nil {
		t.Errorf("announced twice: %v, %v", again, err)
	}
}

// child runs a delivery in a process of its own, so many days later: this test binary, in TestChild.
func child(t *testing.T, dir, address, how string, days int) {
	t.Helper()
	command := exec.Command(os.Args[0], "-test.run=^TestChild$")
	command.Env = append(os.Environ(), "NOTIFY_CHILD="+how, "NOTIFY_DIR="+dir, "NOTIFY_URL="+address, fmt.Sprintf("NOTIFY_DAYS=%d", days))
	out, err := command.CombinedOutput()
	if died := command.ProcessState.ExitCode() == -1; (err != nil && !died) || died != (how == "die") {
		t.Fatalf("child %s: %v\n%s", how, err, out)
	}
	noCanary(t, string(out))
}

// later is an outbox that is looked into some days from now.
type later struct {
	outbox
	days time.Duration
}

func (l later) Claim(ctx context.Context, channel string, now time.Time, keep time.Duration, limit int) ([]Due, error) {
	return l.outbox.Claim(ctx, channel, now.Add(l.days*24*time.Hour), keep, limit)
}

// dying is an outbox whose process is killed when a delivery is to be recorded.
type dying struct{ Outbox }

func (dying) Delivered(context.Context, string, string, time.Time) error {
	self, err := os.FindProcess(os.Getpid())
	if err == nil {
		err = self.Kill()
	}
	if err != nil {
		return err
	}
	select {}
}

// TestChild is what the processes of TestAcrossRestarts do; on its own it checks that there is nothing to do.
func TestChild(t *testing.T) {
	how := os.Getenv("NOTIFY_CHILD")
	if how == "" {
		if err := newFake().deliverer(&bytes.Buffer{}).Flush(t.Context()); err != nil {
			t.Error(err)
		}
		return
	}
	s, err := store.Open(t.Context(), store.Options{StateDir: os.Getenv("NOTIFY_DIR")})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	days, err := strconv.Atoi(os.Getenv("NOTIFY_DAYS"))
	if err != nil {
		t.Fatal(err)
	}
	var box Outbox = once{later{outbox{s, "engine/shop"}, time.Duration(days)}, new(sync.Once)}
	if how == "die" {
		box = dying{box}
	}
	n, err := New(policy("webhook", "url", os.Getenv("NOTIFY_URL")+"/"+canary, "token", canary))
	if err != nil {
		t.Fatal(err)
	}
	d := NewDeliverer(Config{Outbox: box, Channels: []Channel{{Notifier: n}}, Logger: slog.New(slog.NewTextHandler(os.Stderr, nil))})
	if err := d.Flush(t.Context()); err != nil {
		t.Logf("flush: %v", err)
	}
}

// once claims a single time: with every row always due, a failing one would be tried without end.
type once struct {
	Outbox
	*sync.Once
}

func (o once) Claim(ctx context.Context, channel string, now time.Time, keep time.Duration, limit int) (due []Due, err error) {
	o.Do(func() { due, err = o.Outbox.Claim(ctx, channel, now, keep, limit) })
	return due, err
}

// TestAnnounced: every announcement that Advance makes can be told through every kind of text.
func TestAnnounced(t *testing.T) {
	for _, kind := range []string{"escalated", "reminded-1", "acknowledged", "resolved"} {
		m := message(kind)
		m.Body.Service, m.Body.Timeline = "", make([]incident.Event, 400)
		if m.title(40) == "" || len(m.title(40)) > 40 || strings.ContainsAny(m.title(200), "\r\n") {
			t.Errorf("%s: title %q", kind, m.title(40))
		}
		if lines := strings.Count(m.text(), "\n"); lines > 80 {
			t.Errorf("%s: %d lines", kind, lines)
		}
	}
}
