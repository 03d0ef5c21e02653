//go:build linux

// Package pgtest runs a private PostgreSQL server for a test: in a directory of its own, on a free loopback port and a
// unix socket, as an ordinary user, gone when the test ends. The server's binaries are Debian's (postgresql-15).
package pgtest

import (
	"bytes"
	"crypto/rand"
	"database/sql"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"

	"composure/test/ports"
)

// startTimeout bounds how long a server may take until it accepts connections.
const startTimeout = time.Minute

// Server is one private server. Its superuser is "postgres" with a random password; connections over TCP need it,
// those over the unix socket do not.
type Server struct {
	Dir      string // data directory; the socket and the log are beside it
	Port     int
	Password string

	t       testing.TB
	root    string
	bin     string
	cred    *syscall.Credential
	cmd     *exec.Cmd // nil while it is down
	ended   chan struct{}
	options []string
}

// New runs a server until the test ends. Settings are those of postgresql.conf, such as "max_connections=5"; by
// default it syncs nothing to disk, so a test that pulls the plug sets "fsync=on".
func New(t testing.TB, settings ...string) *Server {
	t.Helper()
	root, err := os.MkdirTemp("", "cmpsr-pg-")
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	s := &Server{t: t, root: root, Dir: filepath.Join(root, "data"), Port: ports.Free(t), Password: rand.Text(), options: settings}
	t.Cleanup(s.remove)
	s.bin = binaries(t)
	s.cred = ordinaryUser(t)
	if s.cred != nil {
		if err := os.Chown(root, int(s.cred.Uid), int(s.cred.Gid)); err != nil {
			t.Fatalf("pgtest: %v", err)
		}
	}
	s.initialise()
	s.Up()
	return s
}

// DSN is the URL of one database of the server, over TCP with the password.
func (s *Server) DSN(database string) string {
	u := url.URL{
		Scheme: "postgres", User: url.UserPassword("postgres", s.Password),
		Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(s.Port)), Path: database, RawQuery: "sslmode=disable",
	}
	return u.String()
}

// Database creates an empty database and returns its URL.
func (s *Server) Database(t testing.TB) string {
	t.Helper()
	db, err := sql.Open("pgx", s.DSN("postgres"))
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	defer db.Close()
	name := "t" + strings.ToLower(rand.Text())
	if _, err := db.ExecContext(t.Context(), "CREATE DATABASE "+name); err != nil {
		t.Fatalf("pgtest: create a database: %v", err)
	}
	return s.DSN(name)
}

// Up starts a server that is down, on the port it had, and waits until it answers.
func (s *Server) Up() {
	s.t.Helper()
	if err := s.start(); err != nil {
		s.t.Fatalf("pgtest: start the server: %v\n%s", err, s.log())
	}
}

// Down stops the server at once and in order: connections are cut, what was committed is kept.
func (s *Server) Down() { s.end(syscall.SIGINT) }

// Freeze stops all processes of the server where they are: connections stay open, new ones are accepted by the kernel,
// nothing answers. Thaw ends it.
func (s *Server) Freeze() { s.signalAll(syscall.SIGSTOP) }

// Thaw lets a frozen server go on, with what it was sent meanwhile.
func (s *Server) Thaw() { s.signalAll(syscall.SIGCONT) }

// signalAll reaches the backends too: each is the leader of a process group of its own.
func (s *Server) signalAll(sig syscall.Signal) {
	s.t.Helper()
	pid := s.cmd.Process.Pid
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		s.t.Fatalf("pgtest: %v", err)
	}
	for _, field := range append(strings.Fields(string(children)), strconv.Itoa(pid)) {
		if child, err := strconv.Atoi(field); err == nil {
			_ = syscall.Kill(child, sig) // one that has just ended needs none
		}
	}
}

func (s *Server) end(sig syscall.Signal) {
	if s.cmd == nil {
		return
	}
	s.Thaw()
	_ = s.cmd.Process.Signal(sig)
	select {
	case <-s.ended:
	case <-time.After(startTimeout):
		_ = s.cmd.Process.Kill()
		<-s.ended
	}
	s.cmd = nil
}

func (s *Server) remove() {
	s.end(syscall.SIGQUIT)
	if err := os.RemoveAll(s.root); err != nil {
		s.t.Errorf("pgtest: %v", err)
	}
}

func (s *Server) initialise() {
	s.t.Helper()
	passwords := filepath.Join(s.root, "password")
	if err := os.WriteFile(passwords, []byte(s.Password+"\n"), 0o644); err != nil {
		s.t.Fatalf("pgtest: %v", err)
	}
	cmd := s.command("initdb", "-D", s.Dir, "-U", "postgres", "--pwfile", passwords, "-E", "UTF8", "--locale=C", "--no-sync",
		"--auth-local=trust", "--auth-host=scram-sha-256")
	if out, err := cmd.CombinedOutput(); err != nil {
		s.t.Fatalf("pgtest: initdb: %v\n%s", err, out)
	}
}

// start runs the server and returns when it answers, or says why it ended.
func (s *Server) start() error {
	args := []string{"-D", s.Dir, "-p", strconv.Itoa(s.Port), "-k", s.root, "-c", "listen_addresses=127.0.0.1",
		"-c", "fsync=off", "-c", "shared_buffers=16MB"}
	for _, o := range s.options {
		args = append(args, "-c", o)
	}
	logfile, err := os.OpenFile(filepath.Join(s.root, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer logfile.Close()
	cmd := s.command("postgres", args...)
	cmd.Stdout, cmd.Stderr = logfile, logfile
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	deadline := time.After(startTimeout)
	for {
		if err = s.ready(); err == nil {
			s.cmd, s.ended = cmd, ended
			return nil
		}
		select {
		case <-ended:
			return fmt.Errorf("it ended: %v", cmd.ProcessState)
		case <-deadline:
			_ = cmd.Process.Kill()
			<-ended
			return err
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// ready asks as pg_isready does: does the server accept connections?
func (s *Server) ready() error {
	return s.command("pg_isready", "-q", "-h", s.root, "-p", strconv.Itoa(s.Port)).Run()
}

func (s *Server) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(s.bin, name), args...)
	cmd.Dir = s.root
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.cred, Pdeathsig: syscall.SIGQUIT, Setpgid: true}
	return cmd
}

func (s *Server) log() []byte {
	text, _ := os.ReadFile(filepath.Join(s.root, "log"))
	return bytes.TrimSpace(text)
}

// binaries returns the directory of the server's programs: Debian's newest version, else that of PATH.
func binaries(t testing.TB) string {
	t.Helper()
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if len(found) > 0 {
		return filepath.Dir(found[len(found)-1])
	}
	path, err := exec.LookPath("initdb")
	if err != nil {
		t.Fatal("pgtest: no PostgreSQL server on this machine; apt-get install postgresql-15")
	}
	return filepath.Dir(path)
}

// ordinaryUser returns whom to run the server as: it refuses root. Nil: as we are.
func ordinaryUser(t testing.TB) *syscall.Credential {
	t.Helper()
	if os.Geteuid() != 0 {
		return nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		if u, err = user.Lookup("nobody"); err != nil {
			t.Fatalf("pgtest: find an ordinary user: %v", err)
		}
	}
	uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
	gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
	if err1 != nil || err2 != nil {
		t.Fatalf("pgtest: user %s has no numeric id", u.Username)
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}
