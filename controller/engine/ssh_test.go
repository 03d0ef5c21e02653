package engine_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/crypto/ssh"

	"composure/controller/engine"
	"composure/controller/observe"
)

// TestConnectSSH goes through the machine's ssh client to a server of the test's own, which runs what the docker CLI
// would be asked to run on the remote machine.
func TestConnectSSH(t *testing.T) {
	dir := cleanEnvironment(t)
	server := serveSSH(t)
	useSSHConfig(t, server)

	t.Run("host", func(t *testing.T) {
		e, err := engine.Connect(t.Context(), engine.Options{Host: server.url})
		if err != nil {
			t.Fatal(err)
		}
		usable(t, e)
		if !slices.Contains(server.commands(), "docker system dial-stdio") {
			t.Errorf("the server was asked for %q", server.commands())
		}
	})
	t.Run("context, eight ways", func(t *testing.T) {
		writeContext(t, dir, "remote", server.url, "")
		e, err := engine.Connect(t.Context(), engine.Options{Context: "remote"})
		if err != nil {
			t.Fatal(err)
		}
		s := newSandbox(t, e)
		id := s.create(t, s.desired("ssh", "sleep", "600"))
		var looks sync.WaitGroup
		for range 8 {
			looks.Go(func() {
				if _, err := s.Container(t.Context(), id); err != nil {
					t.Error(err)
				}
			})
		}
		looks.Wait()
	})
	t.Run("proxies are not asked", func(t *testing.T) {
		t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
		e, err := engine.Connect(t.Context(), engine.Options{Host: server.url})
		if err != nil {
			t.Fatal(err)
		}
		usable(t, e)
	})
	t.Run("refused", func(t *testing.T) {
		_, err := engine.Connect(t.Context(), engine.Options{Host: strings.Replace(server.url, "tester@", "stranger@", 1)})
		if !errors.Is(err, observe.ErrUnreachable) || !strings.Contains(err.Error(), "ssh stranger@") {
			t.Errorf("got %v", err)
		}
	})
}

// sshServer runs commands for one user with one key.
type sshServer struct {
	url     string
	keyFile string

	mu  sync.Mutex
	ran []string
}

func (s *sshServer) commands() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.ran)
}

func serveSSH(t *testing.T) *sshServer {
	t.Helper()
	_, hostKey, _ := ed25519.GenerateKey(rand.Reader)
	signer, err := ssh.NewSignerFromKey(hostKey)
	if err != nil {
		t.Fatal(err)
	}
	userPublic, userKey, _ := ed25519.GenerateKey(rand.Reader)
	authorized, err := ssh.NewPublicKey(userPublic)
	if err != nil {
		t.Fatal(err)
	}
	config := &ssh.ServerConfig{PublicKeyCallback: func(conn ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
		if conn.User() != "tester" || string(key.Marshal()) != string(authorized.Marshal()) {
			return nil, errors.New("unknown user or key")
		}
		return nil, nil
	}}
	config.AddHostKey(signer)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(userKey, "")
	if err != nil {
		t.Fatal(err)
	}
	server := &sshServer{url: "ssh://tester@" + listener.Addr().String(), keyFile: filepath.Join(t.TempDir(), "key")}
	writeFile(t, server.keyFile, pem.EncodeToMemory(block))
	var open sync.WaitGroup
	t.Cleanup(func() { _ = listener.Close(); open.Wait() })
	open.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			open.Go(func() { server.serve(conn, config) })
		}
	})
	return server
}

// serve speaks SSH on one connection until the client leaves.
func (s *sshServer) serve(conn net.Conn, config *ssh.ServerConfig) {
	defer conn.Close()
	_, channels, requests, err := ssh.NewServerConn(conn, config)
	if err != nil {
		return
	}
	go ssh.DiscardRequests(requests)
	for offered := range channels {
		channel, requests, err := offered.Accept()
		if err != nil {
			return
		}
		go s.run(channel, requests)
	}
}

// run executes the one command of a session.
func (s *sshServer) run(channel ssh.Channel, requests <-chan *ssh.Request) {
	defer channel.Close()
	for request := range requests {
		if request.Type != "exec" {
			_ = request.Reply(false, nil)
			continue
		}
		var payload struct{ Command string }
		if err := ssh.Unmarshal(request.Payload, &payload); err != nil {
			return
		}
		s.mu.Lock()
		s.ran = append(s.ran, payload.Command)
		s.mu.Unlock()
		_ = request.Reply(true, nil)
		argv := strings.Fields(payload.Command)
		command := exec.Command(argv[0], argv[1:]...)
		stdin, err := command.StdinPipe()
		if err != nil {
			return
		}
		command.Env = append(os.Environ(), "DOCKER_CONFIG=", "DOCKER_HOST=unix://"+engineSocket)
		command.Stdout, command.Stderr = channel, channel.Stderr()
		go func() {
			_, _ = io.Copy(stdin, channel)
			_ = stdin.Close()
		}()
		if err := command.Run(); err != nil {
			fmt.Fprintln(channel.Stderr(), err)
		}
		_, _ = channel.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{}))
		return
	}
}

// useSSHConfig makes `ssh` take the test's key and nothing of the user's own configuration.
func useSSHConfig(t *testing.T, server *sshServer) {
	t.Helper()
	real, err := exec.LookPath("ssh")
	if err != nil {
		t.Fatal("the test needs an ssh client: ", err)
	}
	dir := t.TempDir()
	config := filepath.Join(dir, "config")
	writeFile(t, config, []byte("Host *\nIdentityFile "+server.keyFile+
		"\nIdentitiesOnly yes\nBatchMode yes\nStrictHostKeyChecking no\nUserKnownHostsFile /dev/null\nLogLevel ERROR\n"))
	wrapper := filepath.Join(dir, "ssh")
	writeFile(t, wrapper, []byte("#!/bin/sh\nexec "+real+" -F "+config+" \"$@\"\n"))
	if err := os.Chmod(wrapper, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
}
