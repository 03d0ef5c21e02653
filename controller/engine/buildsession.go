package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"composure/spec"
)

// maxBuildSecret is BuildKit's own limit of a secret (session/secrets, MaxSecretSize), in bytes.
const maxBuildSecret = 500 << 10

// buildSession is the session of one build. What it will be asked for is looked at first, so that a missing file is an
// error before the build.
func (e *Engine) buildSession(b *spec.Build) (*session, error) {
	s := &session{
		unary: map[string]func([]byte) ([]byte, error){
			"/moby.filesync.v1.Auth/Credentials": e.answerCredentials,
		},
		stream: map[string]func(context.Context, http.Header, *grpcStream) error{},
	}
	secrets, err := readSecrets(b.Secrets)
	if err != nil {
		return nil, err
	}
	s.unary["/moby.buildkit.secrets.v1.Secrets/GetSecret"] = func(request []byte) ([]byte, error) {
		content, ok := secrets[field(request, 1)]
		if !ok {
			return nil, &grpcError{grpcNotFound, "no such secret: " + field(request, 1)}
		}
		return appendField(nil, 1, content), nil
	}
	agents, err := sshAgents(b.SSH)
	if err != nil {
		return nil, err
	}
	s.unary["/moby.sshforward.v1.SSH/CheckAgent"] = func(request []byte) ([]byte, error) {
		if _, ok := agents[sshID(field(request, 1))]; !ok {
			return nil, &grpcError{grpcNotFound, "no such ssh agent: " + field(request, 1)}
		}
		return nil, nil
	}
	s.stream["/moby.sshforward.v1.SSH/ForwardAgent"] = func(ctx context.Context, header http.Header, stream *grpcStream) error {
		dial, ok := agents[sshID(header.Get("buildkit.ssh.id"))]
		if !ok {
			return &grpcError{grpcNotFound, "no such ssh agent"}
		}
		return forwardAgent(ctx, dial, stream)
	}
	return s, nil
}

// answerCredentials gives the docker configuration's credentials for a registry.
func (e *Engine) answerCredentials(request []byte) ([]byte, error) {
	host := field(request, 1)
	if host == "registry-1.docker.io" {
		host = "docker.io" // what people log in to
	}
	auth := e.credentials(host)
	if auth.IdentityToken != "" {
		return appendField(nil, 2, []byte(auth.IdentityToken)), nil
	}
	return appendField(appendField(nil, 1, []byte(auth.Username)), 2, []byte(auth.Password)), nil
}

// readSecrets reads the build's secrets: id → content.
func readSecrets(files map[string]string) (map[string][]byte, error) {
	secrets := map[string][]byte{}
	for id, file := range files {
		if file == "" {
			return nil, fmt.Errorf("build.secrets: %s: only a secret that stands in a file can be given to a build", id)
		}
		content, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("build.secrets: %s: %w", id, err)
		}
		if len(content) > maxBuildSecret {
			return nil, fmt.Errorf("build.secrets: %s: %s has %d bytes and BuildKit takes %d", id, file, len(content), maxBuildSecret)
		}
		secrets[id] = content
	}
	return secrets, nil
}

// sshID is the agent's name, which a build may leave out.
func sshID(id string) string {
	if id == "" {
		return "default"
	}
	return id
}

// sshAgents reads build.ssh: "default" is the agent of SSH_AUTH_SOCK, "id=path" an agent's socket or a private key.
func sshAgents(entries []string) (map[string]func() (net.Conn, error), error) {
	agents := map[string]func() (net.Conn, error){}
	for _, entry := range entries {
		id, path, _ := strings.Cut(entry, "=")
		if path == "" {
			if path = os.Getenv("SSH_AUTH_SOCK"); path == "" {
				return nil, fmt.Errorf("build.ssh: %s: SSH_AUTH_SOCK is not set; start an ssh agent, or give a key as id=path", id)
			}
		}
		dial, err := sshAgent(path)
		if err != nil {
			return nil, fmt.Errorf("build.ssh: %s: %w", id, err)
		}
		agents[sshID(id)] = dial
	}
	return agents, nil
}

// sshAgent is an agent behind a socket, or one of our own that holds the key in a file.
func sshAgent(path string) (func() (net.Conn, error), error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Mode()&os.ModeSocket != 0 {
		return func() (net.Conn, error) { return net.Dial("unix", path) }, nil
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	key, err := ssh.ParseRawPrivateKey(content)
	if err != nil {
		return nil, fmt.Errorf("%s: %w; a key with a passphrase must be loaded into an agent", path, err)
	}
	keyring := agent.NewKeyring()
	if err := keyring.Add(agent.AddedKey{PrivateKey: key}); err != nil {
		return nil, err
	}
	return func() (net.Conn, error) {
		near, far := net.Pipe()
		go func() {
			_ = agent.ServeAgent(keyring, far)
			_ = far.Close()
		}()
		return near, nil
	}, nil
}

// forwardAgent carries one conversation with an agent.
func forwardAgent(ctx context.Context, dial func() (net.Conn, error), stream *grpcStream) error {
	conn, err := dial()
	if err != nil {
		return err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	go func() {
		defer conn.Close() // the build has hung up
		for {
			message, err := stream.read()
			if err != nil {
				return
			}
			if _, err := conn.Write([]byte(field(message, 1))); err != nil {
				return
			}
		}
	}()
	buffer := make([]byte, 32<<10)
	for {
		n, err := conn.Read(buffer)
		if n > 0 {
			if err := stream.write(appendField(nil, 1, buffer[:n])); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) || errors.Is(err, io.ErrClosedPipe) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
