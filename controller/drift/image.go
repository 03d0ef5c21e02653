package drift

import (
	"fmt"
	"strings"
)

// imageDrift: the container was made from another image than its reference means now. An image that is not here is no
// drift of a container that runs.
func (p *contrast) imageDrift() *Drift {
	ref, runs := p.svc.Image, p.observed.Inspect.Image
	id, resolved := p.c.Snapshot.Refs[ref]
	if !resolved || (id == "" && p.have.config.Image == p.desired.Config.Image) {
		return nil
	}
	if id == runs {
		return p.platformDrift()
	}
	d := &Drift{
		Service: p.svc.Name, Container: p.observed.Name, Field: FieldImage,
		Desired: withID(ref, id), Observed: withID(p.have.config.Image, runs),
		Pos: firstPos(p.svc, "image", "build"), Remedy: RemedyRecreate,
	}
	_, before := p.record()
	switch {
	case p.have.config.Image == p.desired.Config.Image, p.have.config.Image == runs: // healing makes it by the id that was applied
		d.Origin = OriginFile
		d.Cause = fmt.Sprintf("%s was pulled or built since and is another image now; a deployment takes it, healing does not", ref)
	case before != nil:
		d.Origin = originOf(p.desired.Config.Image, before.config.Image, p.have.config.Image)
		d.Cause = p.cause(d.Origin, true, true, "")
	default:
		d.Origin = originByHash(p.same)
		d.Cause = p.cause(d.Origin, true, true, "")
	}
	return d
}

// platformDrift: the image of that name is for another platform than the file asks for.
func (p *contrast) platformDrift() *Drift {
	img, known := p.c.Snapshot.Images[p.observed.Inspect.Image]
	if p.desired.Platform == nil || !known || img.Architecture == "" {
		return nil
	}
	want := p.desired.Platform.OS + "/" + p.desired.Platform.Architecture
	have := img.Os + "/" + img.Architecture
	if want == have {
		return nil
	}
	return &Drift{
		Service: p.svc.Name, Container: p.observed.Name, Field: "platform", Desired: want, Observed: have,
		Pos: firstPos(p.svc, "platform"), Origin: OriginFile, Remedy: RemedyReport,
		Cause: fmt.Sprintf("%s is here for another platform; pull it for this one", p.svc.Image),
	}
}

func withID(ref, id string) string {
	if id == "" {
		return ref
	}
	return fmt.Sprintf("%s (%s)", ref, shortID(id))
}

// shortID is the twelve digits by which people know an image or container.
func shortID(id string) string {
	id = strings.TrimPrefix(id, "sha256:")
	return id[:min(len(id), 12)]
}
