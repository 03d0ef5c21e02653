package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// said is an engine that says one thing.
type said struct {
	status int
	body   string
	ends   error // how the body ends
}

// RoundTrip implements http.RoundTripper.
func (s *said) RoundTrip(*http.Request) (*http.Response, error) {
	body := io.Reader(strings.NewReader(s.body))
	if s.ends != nil {
		body = io.MultiReader(body, broken{s.ends})
	}
	return &http.Response{StatusCode: s.status, Body: io.NopCloser(body)}, nil
}

// TestUnchanged: an answer is read once while it stays the same, and always as it is now.
func TestUnchanged(t *testing.T) {
	far, kept := &said{status: http.StatusOK}, &answers{}
	reads := 0
	ask := func(question string) (string, error) {
		return look(t.Context(), kept, question, func(ctx context.Context) (string, error) {
			answer, err := unchanged{far}.RoundTrip(httptest.NewRequestWithContext(ctx, http.MethodGet, "/", nil))
			if err != nil {
				return "", err
			}
			body, err := io.ReadAll(answer.Body)
			if len(body) > len("{}") {
				reads++
			}
			if answer.StatusCode != http.StatusOK {
				err = errors.New(answer.Status)
			}
			return string(body), err
		})
	}
	type step struct {
		question, body string
		status         int
		ends           error
		reads          int
	}
	broke := errors.New("it broke")
	for n, s := range []step{
		{"a", `{"n": 1}`, 200, nil, 1},
		{"a", `{"n": 1}`, 200, nil, 1},
		{"a", `{"n": 2}`, 200, nil, 2},
		{"a", `{"n": 2}`, 200, broke, 3}, // which is no answer, and leaves what was
		{"a", `{"n": 2}`, 500, nil, 4},
		{"a", `{"n": 2}`, 200, nil, 4},
		{"b", `{"n": 2}`, 200, nil, 5}, // another question
		{"b", `[1, 2]`, 200, nil, 6},
		{"b", `[1, 2]`, 200, nil, 6},
		{"b", ``, 200, nil, 6},
		{"b", ``, 200, nil, 6},
		{"b", `[1, 2]`, 200, nil, 7},
		{"c", `[{"Status":"Up 1 minute"}]`, 200, nil, 8},
		{"c", `[{"Status":"Up 2 minutes"}]`, 200, nil, 9}, // who knows of what this is the status
	} {
		far.status, far.body, far.ends = s.status, s.body, s.ends
		got, err := ask(s.question)
		failed := s.ends != nil || s.status != http.StatusOK
		if failed != (err != nil) || s.ends != nil && !errors.Is(err, s.ends) {
			t.Errorf("%d: error %v", n, err)
		}
		if !failed && got != s.body || reads != s.reads {
			t.Errorf("%d: %q is read as %q, %d times and not %d", n, s.body, got, reads, s.reads)
		}
	}
}

// TestUnchangedList: a list of containers is the same however long they have been up, and another one by anything else.
func TestUnchangedList(t *testing.T) {
	const list = `[{"Id":"a","State":"running","Status":"Up 59 seconds (healthy)","Labels":{"l":"\"Status\":\"Up 1 \""}},{"Id":"b","Status":"Up 2 hours"}]`
	for _, c := range []struct {
		old, other string
		same       bool
	}{
		{"59 seconds", "About a minute", true},
		{"2 hours", "3 hours", true},
		{"59 seconds (healthy)", "About a minute (unhealthy)", false},
		{"2 hours", "2 hours (Paused)", false},
		{"Up 2 hours", "Exited (0) 1 second ago", false},
		{"Up 2 hours", "Restarting (1) 2 seconds ago", false},
		{`\"Up 1`, `\"Up 2`, false},
		{`"b"`, `"c"`, false},
		{"running", "paused", false},
	} {
		other := strings.Replace(list, c.old, c.other, 1)
		if other == list {
			t.Fatalf("nothing to replace: %s", c.old)
		}
		if same := sumOfList([]byte(list)) == sumOfList([]byte(other)); same != c.same {
			t.Errorf("%q and %q: the same is %v", c.old, c.other, same)
		}
	}
}

// TestUnchangedForgets: an answer that is not given any more is forgotten in time, one that is given now and then is not.
func TestUnchangedForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kept := &answers{}
		kept.keep("gone", answered{value: 1})
		for n := range 100 {
			kept.keep("asked", answered{value: n})
			kept.keep(fmt.Sprintf("container %d", n), answered{})
			time.Sleep(generation / 2)
			if said, known := kept.of("asked"); !known || said.value != n {
				t.Errorf("%d: %v is remembered", n, said)
			}
		}
		if _, known := kept.of("gone"); known {
			t.Error("what is not asked any more is remembered")
		}
		if most := len(kept.kept) + len(kept.before); most > 10 {
			t.Errorf("%d answers are remembered", most)
		}
	})
}
