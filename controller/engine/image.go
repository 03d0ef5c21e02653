package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/distribution/reference"
	"github.com/docker/cli/cli/config"
	"github.com/docker/cli/cli/config/types"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/registry"
	"github.com/docker/go-units"

	"composure/spec"
)

// Progress is one line of a pull or a build.
type Progress struct {
	ID      string // layer or step; empty: the image as a whole
	Status  string // "Downloading", or a line of output
	Current int64  // bytes; 0 when there is nothing to count
	Total   int64
}

// String is the progress for people, such as "8d3ac3489996: Downloading 1.2MB/4MB".
func (p Progress) String() string {
	text := p.Status
	if p.ID != "" {
		text = p.ID + ": " + text
	}
	if p.Total > 0 {
		text += " " + units.HumanSize(float64(p.Current)) + "/" + units.HumanSize(float64(p.Total))
	}
	return text
}

// Images makes the images of services present, with the progress as lines of text.
type Images struct{ Engine *Engine }

// Pull pulls the image of a service.
func (i Images) Pull(ctx context.Context, svc *spec.Service, report func(string)) error {
	return i.Engine.Pull(ctx, svc.Image, svc.Platform, lines(report))
}

// Build builds the image of a service, under the name its containers use. The error has the end of the build's output.
func (i Images) Build(ctx context.Context, svc *spec.Service, report func(string)) error {
	var last []string
	_, err := i.Engine.Build(ctx, svc.Build, svc.Image, BuildOptions{
		Platform: svc.Platform,
		Labels:   map[string]string{spec.LabelProject: svc.Project(), spec.LabelService: svc.Name, spec.LabelVersion: spec.ComposeVersion},
	}, func(p Progress) {
		for line := range strings.Lines(p.String()) {
			if line = strings.TrimSpace(line); line != "" {
				last = append(last[max(0, len(last)-buildEnd+1):], line)
			}
		}
		lines(report)(p)
	})
	if err != nil && len(last) > 0 {
		return fmt.Errorf("%w; its output ended with: %s", err, strings.Join(last, " | "))
	}
	return err
}

// buildEnd is how many lines of a build's output are part of its error.
const buildEnd = 5

func lines(report func(string)) func(Progress) {
	return func(p Progress) {
		if report != nil {
			report(p.String())
		}
	}
}

// Pull pulls an image with the credentials of the docker configuration, which is read anew: people log in while
// Composure runs. It takes as long as ctx allows; ending ctx ends the pull, and layers that are complete stay. Errors:
// ErrImageMissing, ErrDenied; any other is worth another try.
func (e *Engine) Pull(ctx context.Context, ref, platform string, progress func(Progress)) error {
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return fmt.Errorf("pull %s: %w", ref, err)
	}
	auth, err := registry.EncodeAuthConfig(e.credentials(reference.Domain(named)))
	if err != nil {
		return fmt.Errorf("pull %s: %w", ref, err)
	}
	stream, err := e.api().ImagePull(ctx, ref, image.PullOptions{RegistryAuth: auth, Platform: platform})
	if err != nil {
		return wrap(err, "pull %s", ref)
	}
	defer stream.Close()
	return wrap(readMessages(stream, progress, nil), "pull %s", ref)
}

// credentials looks up what the docker configuration has for a registry: auths, or a credential helper. A helper that
// fails is only warned about, as the docker CLI does without: the image may be public.
func (e *Engine) credentials(registryHost string) registry.AuthConfig {
	cfg, err := config.Load(e.configDir)
	if err != nil {
		e.log.Warn("docker configuration unreadable, going without credentials", "error", err)
		return registry.AuthConfig{}
	}
	auth, err := cfg.GetAuthConfig(registryHost)
	if err != nil {
		e.log.Warn("credential helper failed, going without credentials", "registry", registryHost, "error", err)
	}
	return authConfig(auth)
}

// allCredentials are those for every registry, for a build: only the engine knows which ones its base images need.
func (e *Engine) allCredentials() map[string]registry.AuthConfig {
	cfg, err := config.Load(e.configDir)
	if err != nil {
		e.log.Warn("docker configuration unreadable, going without credentials", "error", err)
		return nil
	}
	auths, err := cfg.GetAllCredentials()
	if err != nil {
		e.log.Warn("credential helper failed, going without its credentials", "error", err)
	}
	all := map[string]registry.AuthConfig{}
	for host, auth := range auths {
		all[host] = authConfig(auth)
	}
	return all
}

func authConfig(auth types.AuthConfig) registry.AuthConfig {
	return registry.AuthConfig{
		Username: auth.Username, Password: auth.Password, ServerAddress: auth.ServerAddress,
		IdentityToken: auth.IdentityToken, RegistryToken: auth.RegistryToken,
	}
}

// Tag gives an image another name, which keeps it from `image prune`.
func (e *Engine) Tag(ctx context.Context, source, target string) error {
	ctx, cancel := context.WithTimeout(ctx, changeTimeout)
	defer cancel()
	return wrap(e.api().ImageTag(ctx, source, target), "tag %s as %s", source, target)
}

// Tags returns the names that match a pattern, such as "composure-kept/shop-*".
func (e *Engine) Tags(ctx context.Context, pattern string) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	images, err := e.api().ImageList(ctx, image.ListOptions{Filters: filters.NewArgs(filters.Arg("reference", pattern))})
	if err != nil {
		return nil, wrap(err, "list images %s", pattern)
	}
	var tags []string
	for _, i := range images {
		for _, tag := range i.RepoTags { // those that do not match, too
			if matched, err := path.Match(pattern+":*", tag); err == nil && matched {
				tags = append(tags, tag)
			}
		}
	}
	return tags, nil
}

// Untag takes a name from an image, which goes with its last one. ErrConflict says that a container needs it.
func (e *Engine) Untag(ctx context.Context, tag string) error {
	ctx, cancel := context.WithTimeout(ctx, changeTimeout)
	defer cancel()
	_, err := e.api().ImageRemove(ctx, tag, image.RemoveOptions{})
	return wrap(err, "untag %s", tag)
}

// message is one JSON object of a pull's or a build's answer (docker/docker pkg/jsonmessage).
type message struct {
	Stream   string `json:"stream"` // classic builder's output
	ID       string `json:"id"`
	Status   string `json:"status"`
	Progress struct {
		Current int64 `json:"current"`
		Total   int64 `json:"total"`
	} `json:"progressDetail"`
	Error  string          `json:"error"`
	Detail json.RawMessage `json:"aux"`
}

// readMessages reads the answer to its end. The engine reports failures in the stream, behind status 200.
func readMessages(stream io.Reader, progress func(Progress), aux func(message)) error {
	decoder := json.NewDecoder(stream)
	for {
		var m message
		err := decoder.Decode(&m)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case m.Error != "":
			return errors.New(m.Error)
		case m.Detail != nil && aux != nil:
			aux(m)
		case progress != nil && m.Status+m.Stream != "":
			progress(Progress{ID: m.ID, Status: m.Status + m.Stream, Current: m.Progress.Current, Total: m.Progress.Total})
		}
	}
}
