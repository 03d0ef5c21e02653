package main

import (
	"cmp"
	"fmt"
	"os"
	"os/user"
	"slices"
	"strconv"
	"sync"
	"time"

	"composure/controller/store"
)

// Processes that share a store know each other by the lease of a stack (safety rule 9). Those of different stores do not: a
// service of root and a person in the group docker, whose state directory is another one, would undo each other's work, and a
// pause of the one would not hold the other. So whoever works on a stack says so on this machine, with where it remembers it, and
// whoever finds another store at work touches nothing. Processes on other machines are not seen: they need one --store.

// occupant is who works on a stack.
type occupant struct {
	Stack   string    `json:"stack"` // its key in the store
	Store   string    `json:"store"` // Identity of that
	Where   string    `json:"where"` // that is, for people
	PID     int       `json:"pid"`
	Command string    `json:"command"`
	Since   time.Time `json:"since"`

	uid int // of its process, as the kernel says
}

// elsewhereError says that another process works on the stack and remembers it elsewhere. It is a store.ErrLeased.
type elsewhereError struct{ occupant }

func (e *elsewhereError) Error() string {
	as := "with"
	if e.uid != os.Geteuid() {
		as = "as " + userName(e.uid) + ", or with"
	}
	flag := "--state-dir "
	if len(e.Where) > 0 && e.Where[0] != '/' {
		flag = "--store "
	}
	return fmt.Sprintf("another process works on the stack and remembers it elsewhere: %q, pid %d of %s, in %s. Nothing is done beside it; run this %s %s",
		printable(e.Command), e.PID, userName(e.uid), printable(e.Where), as, flag+printable(e.Where))
}

// Is makes errors.Is(err, store.ErrLeased) true.
func (e *elsewhereError) Is(target error) bool { return target == store.ErrLeased }

func userName(uid int) string {
	if u, err := user.LookupId(strconv.Itoa(uid)); err == nil {
		return u.Username
	}
	return "user " + strconv.Itoa(uid)
}

// seating is what this process says of itself, and asks of others.
type seating struct {
	ask func() []occupant                  // everybody else on this machine
	say func(list func() []occupant) error // answers those who ask, until the process ends

	mu    sync.Mutex
	said  bool
	taken []occupant
}

// machine is the seating of this process.
var machine = &seating{ask: askOthers, say: tellOthers}

// sit says that this process works on a stack, until leave is called.
func (s *seating) sit(o occupant) (leave func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.said {
		if err := s.say(s.list); err != nil {
			return func() {}, fmt.Errorf("tell other processes of this machine about this one: %w", err)
		}
		s.said = true
	}
	s.taken = append(s.taken, o)
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if i := slices.Index(s.taken, o); i >= 0 {
			s.taken = slices.Delete(s.taken, i, i+1)
		}
	}, nil
}

func (s *seating) list() []occupant {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.taken)
}

// other is who works on a stack and has another store than this one, longest first; nil: nobody.
func (s *seating) other(stack, identity string) *occupant {
	var found []occupant
	for _, o := range s.ask() {
		if o.Stack == stack && o.Store != identity {
			found = append(found, o)
		}
	}
	if len(found) == 0 {
		return nil
	}
	first := slices.MinFunc(found, func(a, b occupant) int { return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.PID, b.PID)) })
	return &first
}

// before says whether o may go on where both work on a stack: who was there first may, but that root waits for root alone, and
// everybody for root. Else any user of the machine could keep a service of root from its work.
func (o occupant) before(other occupant) bool {
	if root, others := o.uid == 0, other.uid == 0; root != others {
		return root
	}
	return cmp.Or(o.Since.Compare(other.Since), cmp.Compare(o.PID, other.PID)) < 0
}

// seats is the seating that a command goes by; nil where something stands in for the system.
func (a *app) seats() *seating {
	if a.outside.seats != nil {
		return a.outside.seats
	}
	if a.outside.engine != nil {
		return nil
	}
	return machine
}

// alone returns an *elsewhereError when another process works on a stack and has another store than db; nil: there is none yet.
func (a *app) alone(key string, db *store.Store) error {
	seats, identity := a.seats(), ""
	if db != nil {
		identity = db.Identity()
	}
	if seats == nil {
		return nil
	}
	if o := seats.other(key, identity); o != nil {
		return &elsewhereError{*o}
	}
	return nil
}

// occupies is what a process with a store says of itself.
func occupies(key string, db *store.Store, command string) occupant {
	return occupant{Stack: key, Store: db.Identity(), Where: db.Where(), PID: os.Getpid(), Command: command, Since: time.Now().UTC(), uid: os.Geteuid()}
}

// seat is the place of a process that works on a stack, which it keeps while it does. Its methods are not safe for concurrent use.
type seat struct {
	seats *seating
	own   occupant
	warn  func(string) // of what does not keep this process from its work; each is said once
	leave func()
	told  string // by warn
}

// take returns why nothing may be done to the stack now, or nil.
func (s *seat) take() error {
	if s == nil || s.seats == nil {
		return nil
	}
	other := s.seats.other(s.own.Stack, s.own.Store)
	if other != nil && !s.own.before(*other) {
		s.give()
		return &elsewhereError{*other}
	}
	said := ""
	if other != nil {
		said = (&elsewhereError{*other}).Error()
	}
	if s.leave == nil {
		leave, err := s.seats.sit(s.own)
		if s.leave = leave; err != nil {
			said = err.Error()
		}
	}
	if said != "" && said != s.told {
		s.warn(said)
	}
	s.told = said
	return nil
}

// give leaves the place to others.
func (s *seat) give() {
	if s != nil && s.leave != nil {
		s.leave()
		s.leave = nil
	}
}
