package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/docker/docker/api/types/build"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/go-units"

	"composure/spec"
)

// BuildOptions are what a build takes beside the file's build section.
type BuildOptions struct {
	NoCache  bool
	Pull     bool
	Platform string
	Labels   map[string]string // added to those of the section
}

// Build builds an image from a service's build section, tags it and returns its id. It uses BuildKit when the engine
// prefers it or DOCKER_BUILDKIT says so, else the classic builder. The context is sent as an archive, through
// .dockerignore. It takes as long as ctx allows. What the builder cannot do is an error before anything is sent.
func (e *Engine) Build(ctx context.Context, b *spec.Build, tag string, opts BuildOptions, progress func(Progress)) (string, error) {
	version, err := e.builder(ctx)
	if err != nil {
		return "", fmt.Errorf("build %s: %w", tag, err)
	}
	if err := buildable(b, opts, version); err != nil {
		return "", fmt.Errorf("build %s: %w", tag, err)
	}
	request, err := e.buildRequest(b, tag, opts, version)
	if err != nil {
		return "", fmt.Errorf("build %s: %w", tag, err)
	}
	if version == build.BuilderBuildKit {
		session, err := e.buildSession(b)
		if err == nil {
			err = e.openSession(ctx, session)
		}
		if err != nil {
			return "", fmt.Errorf("build %s: %w", tag, err)
		}
		defer session.Close()
		request.SessionID = session.id
	}
	archive, err := openContext(b, &request)
	if err != nil {
		return "", fmt.Errorf("build %s: %w", tag, err)
	}
	defer archive.Close()
	id, err := e.runBuild(ctx, archive, request, progress)
	if broken := archive.Err(); broken != nil {
		return "", fmt.Errorf("build %s: %w", tag, broken) // the engine only saw the connection break
	}
	return id, wrap(err, "build %s", tag)
}

// builder chooses as the docker CLI does: DOCKER_BUILDKIT, else what the engine prefers.
func (e *Engine) builder(ctx context.Context) (build.BuilderVersion, error) {
	if text := os.Getenv("DOCKER_BUILDKIT"); text != "" {
		wanted, err := strconv.ParseBool(text)
		if err != nil {
			return "", fmt.Errorf("DOCKER_BUILDKIT is %q; set it to 0 or 1", text)
		}
		if wanted {
			return build.BuilderBuildKit, nil
		}
		return build.BuilderV1, nil
	}
	about, err := e.Engine(ctx)
	return build.BuilderVersion(about.Builder), err
}

// buildable says what the builder cannot do with this section, and what to do instead.
func buildable(b *spec.Build, opts BuildOptions, version build.BuilderVersion) error {
	classic := version != build.BuilderBuildKit
	switch {
	case len(b.AdditionalContexts) > 0:
		return errors.New("build.additional_contexts needs buildx; build the image with it and name it by `image`")
	case len(b.Secrets) > 0 && classic:
		return errors.New("build.secrets needs BuildKit and this engine uses its classic builder; set DOCKER_BUILDKIT=1 or upgrade the engine")
	case len(b.SSH) > 0 && classic:
		return errors.New("build.ssh needs BuildKit and this engine uses its classic builder; set DOCKER_BUILDKIT=1 or upgrade the engine")
	case b.Privileged:
		return errors.New("build.privileged needs buildx; build the image with it and name it by `image`")
	case len(b.Platforms) > 1 && opts.Platform == "":
		return fmt.Errorf("build.platforms names %d and the engine builds one at a time; choose it with `platform`", len(b.Platforms))
	case len(b.Platforms) > 0 && opts.Platform != "" && !slices.Contains(b.Platforms, opts.Platform):
		return fmt.Errorf("platform %s is not among build.platforms (%s)", opts.Platform, strings.Join(b.Platforms, ", "))
	}
	return nil
}

// buildRequest translates the section.
func (e *Engine) buildRequest(b *spec.Build, tag string, opts BuildOptions, version build.BuilderVersion) (build.ImageBuildOptions, error) {
	request := build.ImageBuildOptions{
		Version: version, Tags: append([]string{tag}, b.Tags...), Target: b.Target, BuildArgs: b.Args,
		Labels: map[string]string{}, CacheFrom: e.cacheFrom(b.CacheFrom), NetworkMode: b.Network, ShmSize: b.ShmSize,
		ExtraHosts: b.ExtraHosts, NoCache: b.NoCache || opts.NoCache, PullParent: b.Pull || opts.Pull,
		Isolation: container.Isolation(b.Isolation), Remove: true, ForceRemove: true, Platform: opts.Platform,
	}
	maps.Copy(request.Labels, b.Labels)
	maps.Copy(request.Labels, opts.Labels)
	if request.Platform == "" && len(b.Platforms) == 1 {
		request.Platform = b.Platforms[0]
	}
	for _, name := range slices.Sorted(maps.Keys(b.Ulimits)) {
		limit, err := units.ParseUlimit(name + "=" + b.Ulimits[name])
		if err != nil {
			return request, fmt.Errorf("build.ulimits.%s: %w", name, err)
		}
		request.Ulimits = append(request.Ulimits, limit)
	}
	if version != build.BuilderBuildKit {
		request.AuthConfigs = e.allCredentials()
	}
	return request, nil
}

// cacheFrom takes image references, and BuildKit's way to write one. Other sources of a cache are only left out: a
// cache changes how long a build takes, not what it makes.
func (e *Engine) cacheFrom(sources []string) []string {
	var refs []string
	for _, source := range sources {
		fields := map[string]string{}
		for field := range strings.SplitSeq(source, ",") {
			key, value, _ := strings.Cut(field, "=")
			fields[key] = value
		}
		switch {
		case !strings.Contains(source, "="):
			refs = append(refs, source)
		case fields["type"] == "registry" && fields["ref"] != "":
			refs = append(refs, fields["ref"])
		default:
			e.log.Warn("build goes without a cache that the engine's API cannot use", "cache_from", source)
		}
	}
	return refs
}

// runBuild sends the request and follows the build.
func (e *Engine) runBuild(ctx context.Context, archive io.Reader, request build.ImageBuildOptions, progress func(Progress)) (string, error) {
	answer, err := e.api().ImageBuild(ctx, archive, request)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	id := ""
	trace := newBuildTrace(progress)
	err = readMessages(answer.Body, progress, func(m message) {
		switch m.ID {
		case "moby.buildkit.trace":
			trace.read(m.Detail)
		case "", "moby.image.id":
			var result build.Result
			if json.Unmarshal(m.Detail, &result) == nil && result.ID != "" {
				id = result.ID
			}
		}
	})
	if err == nil && id == "" {
		err = errors.New("the engine named no image at the end")
	}
	return id, err
}
