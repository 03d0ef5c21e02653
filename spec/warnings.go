package spec

import (
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"sync"

	"github.com/sirupsen/logrus"
)

// loading serialises loads: compose-go warns through logrus's global logger only.
var loading sync.Mutex

// capture runs a load and returns what compose-go warned about, instead of letting it print.
func capture(load func() error) ([]string, error) {
	loading.Lock()
	defer loading.Unlock()
	logger := logrus.StandardLogger()
	sink := &sink{}
	out, level, hooks := logger.Out, logger.GetLevel(), logger.ReplaceHooks(logrus.LevelHooks{})
	logger.SetOutput(io.Discard)
	logger.SetLevel(logrus.WarnLevel)
	logger.AddHook(sink)
	defer func() {
		logger.SetOutput(out)
		logger.SetLevel(level)
		logger.ReplaceHooks(hooks)
	}()
	err := load()
	return sink.messages, err
}

type sink struct{ messages []string }

func (*sink) Levels() []logrus.Level { return []logrus.Level{logrus.WarnLevel} }

func (s *sink) Fire(e *logrus.Entry) error {
	s.messages = append(s.messages, e.Message)
	return nil
}

var (
	unsetVariable   = regexp.MustCompile(`^The "(.*)" variable is not set`)
	obsoleteVersion = regexp.MustCompile("the attribute `version` is obsolete")
)

// heard sorts what compose-go said into unset variables and other warnings.
func (s *Stack) heard(messages []string) {
	unset := map[string]bool{}
	for _, message := range messages {
		if match := unsetVariable.FindStringSubmatch(message); match != nil {
			unset[match[1]] = true
		} else if !obsoleteVersion.MatchString(message) { // said once in a process only: see below
			s.warn(message)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(unset)) {
		s.unsetVariable(name)
	}
	if pos, ok := s.positions.exact([]string{"version"}); ok {
		s.warn(pos.String() + ": version: is obsolete and has no effect; remove it")
	}
	for name := range s.project.Jobs {
		s.warn(fmt.Sprintf("%s: jobs.%s: jobs are not started; use docker compose run", s.Pos("jobs", name), name))
	}
}

// unsetVariable notes a variable without a value. In services that are not enabled it does no harm.
func (s *Stack) unsetVariable(name string) {
	pos, enabled := s.positions.unset(name, s.project.DisabledServices)
	if enabled {
		s.Unset = append(s.Unset, UnsetVariable{Name: name, Pos: pos})
		return
	}
	s.warn(fmt.Sprintf("%s: the variable %s is not set; only services that are not enabled use it", pos, name))
}

// warn adds a warning once.
func (s *Stack) warn(message string) {
	if message = Mask("", message); !slices.Contains(s.Warnings, message) {
		s.Warnings = append(s.Warnings, message)
	}
}
