package engine

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"

	dockercontext "github.com/docker/cli/cli/context"
	"github.com/docker/cli/cli/context/store"
	"github.com/docker/docker/client"
	"github.com/docker/go-connections/tlsconfig"
)

// endpoint is where an engine listens.
type endpoint struct {
	host   string // unix://, tcp:// or ssh://
	tls    *tls.Config
	source string // who named it, for messages
}

// defaultContext is the context that is not stored: what flags and environment say.
const defaultContext = "default"

// findEndpoint follows the docker CLI (cli/command, resolveContextName and resolveDefaultDockerEndpoint).
func findEndpoint(opts Options, dir, current string) (endpoint, error) {
	if opts.Host != "" && opts.Context != "" {
		return endpoint{}, errors.New("connect: --host and --context exclude each other; give one of them")
	}
	name, source := chooseContext(opts, current)
	if name != defaultContext {
		return contextEndpoint(dir, name, source)
	}
	target := endpoint{host: client.DefaultDockerHost, source: "the default"}
	if host := os.Getenv("DOCKER_HOST"); host != "" {
		target.host, target.source = host, "DOCKER_HOST"
	}
	if opts.Host != "" {
		target.host, target.source = opts.Host, "--host"
	}
	var err error
	if target.tls, err = tlsMaterial(opts.TLS, dir); err != nil {
		return endpoint{}, fmt.Errorf("connect to %s (from %s): %w", target.host, target.source, err)
	}
	if target.host, err = normalizeHost(target.host, target.tls != nil); err != nil {
		return endpoint{}, fmt.Errorf("connect (address from %s): %w", target.source, err)
	}
	if !strings.HasPrefix(target.host, "tcp://") {
		target.tls = nil // DOCKER_TLS_VERIFY is about TCP; a socket or ssh does without
	}
	return target, nil
}

// chooseContext names the context, and who chose it.
func chooseContext(opts Options, current string) (name, source string) {
	switch env := os.Getenv("DOCKER_CONTEXT"); {
	case opts.Context != "":
		return opts.Context, "--context"
	case opts.Host != "", os.Getenv("DOCKER_HOST") != "":
		return defaultContext, ""
	case env != "":
		return env, "DOCKER_CONTEXT"
	case current != "":
		return current, "currentContext of the docker configuration"
	}
	return defaultContext, ""
}

// normalizeHost completes an address as the docker CLI does: tcp when there is no scheme, and the default port.
func normalizeHost(host string, secure bool) (string, error) {
	host = strings.TrimSpace(host)
	scheme, address, found := strings.Cut(host, "://")
	if !found {
		scheme, address = "tcp", host
	}
	switch scheme {
	case "unix", "ssh":
		return scheme + "://" + address, nil
	case "tcp", "http", "https":
	default:
		return "", fmt.Errorf("address %q: unknown scheme %q; use unix://PATH, tcp://HOST:PORT or ssh://USER@HOST", host, scheme)
	}
	address, path, _ := strings.Cut(address, "/")
	if path != "" {
		path = "/" + path
	}
	name, port := address, ""
	if h, p, err := net.SplitHostPort(address); err == nil {
		name, port = h, p
	}
	if name == "" {
		name = "localhost"
	}
	if port == "" {
		port = "2375"
		if secure {
			port = "2376"
		}
	}
	return "tcp://" + net.JoinHostPort(strings.Trim(name, "[]"), port) + path, nil
}

// tlsMaterial reads the material that the --tls flags ask for, or DOCKER_TLS_VERIFY (verified) or DOCKER_TLS (not verified),
// from the files that are named, else from DOCKER_CERT_PATH or the docker configuration directory; nil when nothing asks
// for TLS. A client certificate is optional unless it is named.
func tlsMaterial(asked TLS, dir string) (*tls.Config, error) {
	verify := asked.Verify || os.Getenv("DOCKER_TLS_VERIFY") != ""
	if !verify && !asked.On && os.Getenv("DOCKER_TLS") == "" {
		return nil, nil
	}
	if path := os.Getenv("DOCKER_CERT_PATH"); path != "" {
		dir = path
	}
	opts := tlsconfig.Options{InsecureSkipVerify: !verify, ExclusiveRootPools: true, CertFile: asked.Cert, KeyFile: asked.Key}
	if verify {
		opts.CAFile = cmp.Or(asked.CA, filepath.Join(dir, "ca.pem"))
	}
	if _, err := os.Stat(filepath.Join(dir, "cert.pem")); err == nil {
		opts.CertFile, opts.KeyFile = cmp.Or(opts.CertFile, filepath.Join(dir, "cert.pem")), cmp.Or(opts.KeyFile, filepath.Join(dir, "key.pem"))
	}
	config, err := tlsconfig.Client(opts)
	if err != nil {
		return nil, fmt.Errorf("read TLS material from %s: %w; set DOCKER_CERT_PATH to the directory with ca.pem, cert.pem and key.pem", dir, err)
	}
	return config, nil
}

// contextEndpoint reads a stored docker context.
func contextEndpoint(dir, name, source string) (endpoint, error) {
	contexts := store.New(filepath.Join(dir, "contexts"), store.NewConfig(
		func() any { return &map[string]any{} },
		store.EndpointTypeGetter("docker", func() any { return &dockercontext.EndpointMetaBase{} }),
	))
	wrap := func(err error) error {
		return fmt.Errorf("read docker context %q (from %s): %w; `docker context ls` shows what there is", name, source, err)
	}
	meta, err := contexts.GetMetadata(name)
	if err != nil {
		return endpoint{}, wrap(err)
	}
	var base dockercontext.EndpointMetaBase
	switch stored := meta.Endpoints["docker"].(type) {
	case dockercontext.EndpointMetaBase:
		base = stored
	case *dockercontext.EndpointMetaBase:
		base = *stored
	default:
		return endpoint{}, wrap(errors.New("it has no docker endpoint"))
	}
	material, err := dockercontext.LoadTLSData(contexts, name, "docker")
	if err != nil {
		return endpoint{}, wrap(err)
	}
	target := endpoint{source: fmt.Sprintf("context %q of %s", name, source)}
	if target.tls, err = contextTLS(material, base.SkipTLSVerify); err != nil {
		return endpoint{}, wrap(err)
	}
	if target.host, err = normalizeHost(base.Host, target.tls != nil); err != nil {
		return endpoint{}, wrap(err)
	}
	return target, nil
}

// contextTLS builds the TLS configuration of a stored context; nil when the context has none.
func contextTLS(material *dockercontext.TLSData, skipVerify bool) (*tls.Config, error) {
	if material == nil && !skipVerify {
		return nil, nil
	}
	config := tlsconfig.ClientDefault()
	config.InsecureSkipVerify = skipVerify
	if material == nil {
		return config, nil
	}
	if material.CA != nil {
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(material.CA) {
			return nil, errors.New("ca.pem holds no certificate")
		}
	}
	if material.Cert != nil && material.Key != nil {
		pair, err := tls.X509KeyPair(material.Cert, material.Key)
		if err != nil {
			return nil, fmt.Errorf("client certificate: %w", err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}

// adviceFor says what a person can do about an engine that cannot be reached.
func adviceFor(target endpoint, err error) string {
	scheme, _, _ := strings.Cut(target.host, "://")
	switch {
	case scheme == "ssh":
		return "check that `" + "ssh " + strings.TrimPrefix(target.host, "ssh://") + " docker version` works without a password prompt"
	case errors.Is(err, os.ErrPermission):
		return "run as root, or as a member of the group that owns the socket (usually docker)"
	case scheme == "unix":
		return "start it (such as `systemctl start docker`), or name another engine with --host, DOCKER_HOST or --context"
	case target.tls == nil:
		return "check the address and that the engine listens there, and set DOCKER_TLS_VERIFY if it wants TLS"
	}
	return "check the address, that the engine listens there, and that the certificates fit"
}
