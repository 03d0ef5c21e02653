package simengine

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/mount"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/volume"
)

// resources are the requests about networks, volumes and images.
func (e *Engine) resources(mux *http.ServeMux) {
	e.route(mux, "GET /networks", e.listNetworks, "filters")
	e.route(mux, "GET /networks/{name}", e.inspectNetwork)
	e.route(mux, "POST /networks/create", e.createNetwork)
	e.route(mux, "DELETE /networks/{name}", e.removeNetwork)
	e.route(mux, "POST /networks/{name}/connect", e.connect)
	e.route(mux, "POST /networks/{name}/disconnect", e.disconnect)
	e.route(mux, "GET /volumes", e.listVolumes, "filters")
	e.route(mux, "GET /volumes/{name}", e.inspectVolume)
	e.route(mux, "POST /volumes/create", e.createVolume)
	e.route(mux, "DELETE /volumes/{name}", e.removeVolume)
	e.route(mux, "GET /images/json", e.listImages, "filters", "all", "shared-size", "manifests")
	e.route(mux, "DELETE /images/{ref...}", e.untag, "force", "noprune")
	e.route(mux, "/images/", e.imageRequest, "repo", "tag")
}

func (e *Engine) addNetwork(name string, labels map[string]string) *network.Inspect {
	n := &network.Inspect{
		Name: name, ID: e.id("network " + name), Created: e.now(), Scope: "local", Driver: "bridge", Labels: labels, Options: map[string]string{},
		IPAM: network.IPAM{Driver: "default", Config: []network.IPAMConfig{{Subnet: "198.18.0.0/16", Gateway: "198.18.0.1"}}}, Containers: map[string]network.EndpointResource{},
	}
	e.networks[name] = n
	return n
}

// Load loads an image that nobody uses: whoever follows events cannot know that, and looks.
func (e *Engine) Load() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.hub.send(e.now(), events.Message{Type: events.ImageEventType, Action: events.ActionLoad, Actor: events.Actor{ID: "sha256:" + e.id("loaded"), Attributes: map[string]string{}}})
}

// networkEvent tells of a network, and of the container that it is about; "": none.
func (e *Engine) networkEvent(action events.Action, n *network.Inspect, container string) {
	attributes := map[string]string{"name": n.Name, "type": n.Driver}
	if container != "" {
		attributes["container"] = container
	}
	e.hub.send(e.now(), events.Message{Type: events.NetworkEventType, Action: action, Actor: events.Actor{ID: n.ID, Attributes: attributes}})
}

func (e *Engine) listNetworks(w http.ResponseWriter, r *http.Request) {
	wanted, err := e.filters(r, "label")
	if err != nil {
		refuse(w, err)
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	found := []network.Inspect{}
	for _, name := range slices.Sorted(maps.Keys(e.networks)) {
		if n := e.networks[name]; wanted.MatchKVList("label", n.Labels) {
			found = append(found, *n)
		}
	}
	reply(w, http.StatusOK, found)
}

// network is one by name or id.
func (e *Engine) network(ref string) *network.Inspect {
	for _, n := range e.networks {
		if n.Name == ref || n.ID == ref {
			return n
		}
	}
	return nil
}

func (e *Engine) inspectNetwork(w http.ResponseWriter, r *http.Request) {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := e.network(r.PathValue("name"))
	if n == nil {
		fail(w, http.StatusNotFound, "network "+r.PathValue("name")+" not found")
		return
	}
	reply(w, http.StatusOK, n)
}

func (e *Engine) createNetwork(w http.ResponseWriter, r *http.Request) {
	var body network.CreateRequest
	if err := decode(r, &body); err != nil {
		refuse(w, err)
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.called(r, Call{Op: "create network", On: body.Name})
	if e.networks[body.Name] != nil {
		fail(w, http.StatusConflict, "network with name "+body.Name+" already exists")
		return
	}
	n := e.addNetwork(body.Name, body.Labels)
	n.Internal, n.Attachable = body.Internal, body.Attachable
	if body.Options != nil {
		n.Options = body.Options
	}
	e.calls = append(e.calls, "create network "+body.Name)
	e.networkEvent(events.ActionCreate, n, "")
	reply(w, http.StatusCreated, network.CreateResponse{ID: n.ID})
}

// removeNetwork removes a network that no running container is connected to.
func (e *Engine) removeNetwork(w http.ResponseWriter, r *http.Request) {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := e.network(r.PathValue("name"))
	if n == nil {
		fail(w, http.StatusNotFound, "network "+r.PathValue("name")+" not found")
		return
	}
	e.called(r, Call{Op: "remove network", On: n.Name})
	for _, i := range e.ordered() {
		if i.state.Running && i.networks[n.Name] != nil {
			fail(w, http.StatusForbidden, fmt.Sprintf("error while removing network: network %s id %s has active endpoints", n.Name, n.ID))
			return
		}
	}
	delete(e.networks, n.Name)
	e.calls = append(e.calls, "remove network "+n.Name)
	e.networkEvent(events.ActionDestroy, n, "")
	w.WriteHeader(http.StatusNoContent)
}

// connect connects a container; one that does not run is connected to any name (FACTS, libraries).
func (e *Engine) connect(w http.ResponseWriter, r *http.Request) {
	var body network.ConnectOptions
	if err := decode(r, &body); err != nil {
		refuse(w, err)
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	i, n := e.find(body.Container), e.network(r.PathValue("name"))
	if i != nil {
		e.called(r, Call{Op: "connect", Of: i.facts(), On: r.PathValue("name")})
	}
	switch {
	case i == nil:
		fail(w, http.StatusNotFound, "No such container: "+body.Container)
	case n == nil && i.state.Running:
		fail(w, http.StatusNotFound, "network "+r.PathValue("name")+" not found")
	case i.host.NetworkMode.IsNone():
		fail(w, http.StatusBadRequest, "container cannot be connected to multiple networks with one of the networks in private (none) mode")
	case n == nil:
		i.networks[r.PathValue("name")] = &network.EndpointSettings{}
	case i.networks[n.Name] != nil && i.state.Running:
		fail(w, http.StatusForbidden, "endpoint with name "+i.name+" already exists in network "+n.Name)
	default:
		i.attach(n.Name, body.EndpointConfig)
		e.calls = append(e.calls, "connect "+i.name)
		e.networkEvent(events.ActionConnect, n, i.id)
	}
}

func (e *Engine) disconnect(w http.ResponseWriter, r *http.Request) {
	var body network.DisconnectOptions
	if err := decode(r, &body); err != nil {
		refuse(w, err)
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	i, n := e.find(body.Container), e.network(r.PathValue("name"))
	if i != nil {
		e.called(r, Call{Op: "disconnect", Of: i.facts(), On: r.PathValue("name")})
	}
	switch {
	case i == nil:
		fail(w, http.StatusNotFound, "No such container: "+body.Container)
	case n == nil || i.networks[n.Name] == nil:
		fail(w, http.StatusInternalServerError, "container "+i.id+" is not connected to network "+r.PathValue("name"))
	default:
		i.leave(n.Name)
		e.calls = append(e.calls, "disconnect "+i.name)
	}
}

func (e *Engine) listVolumes(w http.ResponseWriter, r *http.Request) {
	wanted, err := e.filters(r, "label")
	if err != nil {
		refuse(w, err)
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	found := volume.ListResponse{Volumes: []*volume.Volume{}}
	for _, name := range slices.Sorted(maps.Keys(e.volumes)) {
		if v := e.volumes[name]; wanted.MatchKVList("label", v.Labels) {
			found.Volumes = append(found.Volumes, v)
		}
	}
	reply(w, http.StatusOK, found)
}

func (e *Engine) inspectVolume(w http.ResponseWriter, r *http.Request) {
	e.mu.Lock()
	defer e.mu.Unlock()
	v := e.volumes[r.PathValue("name")]
	if v == nil {
		fail(w, http.StatusNotFound, "get "+r.PathValue("name")+": no such volume")
		return
	}
	reply(w, http.StatusOK, v)
}

func (e *Engine) createVolume(w http.ResponseWriter, r *http.Request) {
	var body volume.CreateOptions
	if err := decode(r, &body); err != nil {
		refuse(w, err)
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.called(r, Call{Op: "create volume", On: body.Name})
	if e.volumes[body.Name] == nil {
		e.calls = append(e.calls, "create volume "+body.Name)
	}
	reply(w, http.StatusCreated, e.addVolume(body.Name, body.Labels))
}

// addVolume is the volume of a name, made when there is none.
func (e *Engine) addVolume(name string, labels map[string]string) *volume.Volume {
	v := e.volumes[name]
	if v == nil {
		v = &volume.Volume{Name: name, Driver: "local", Labels: labels, Scope: "local", CreatedAt: e.now().UTC().Format(time.RFC3339), Mountpoint: "/var/lib/docker/volumes/" + name + "/_data"}
		e.volumes[name] = v
		e.volumeEvent(events.ActionCreate, name)
	}
	return v
}

func (e *Engine) removeVolume(w http.ResponseWriter, r *http.Request) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.called(r, Call{Op: "remove volume", On: r.PathValue("name")})
	if e.volumes[r.PathValue("name")] == nil {
		fail(w, http.StatusNotFound, "get "+r.PathValue("name")+": no such volume")
		return
	}
	if users := e.usersOf(r.PathValue("name")); len(users) > 0 {
		fail(w, http.StatusConflict, "remove "+r.PathValue("name")+": volume is in use - ["+strings.Join(users, ", ")+"]")
		return
	}
	delete(e.volumes, r.PathValue("name"))
	e.volumeEvent(events.ActionDestroy, r.PathValue("name"))
	w.WriteHeader(http.StatusNoContent)
}

// usersOf are the ids of the containers that mount a volume.
func (e *Engine) usersOf(volume string) (ids []string) {
	for _, i := range e.ordered() {
		if slices.ContainsFunc(i.mounts(), func(m container.MountPoint) bool { return m.Name == volume }) {
			ids = append(ids, i.id)
		}
	}
	return ids
}

func (e *Engine) volumeEvent(action events.Action, name string) {
	e.hub.send(e.now(), events.Message{Type: events.VolumeEventType, Action: action, Actor: events.Actor{ID: name, Attributes: map[string]string{"driver": "local"}}})
}

// nameVolumes makes the volumes of a new container: the engine names those that nobody has named.
func (i *instance) nameVolumes() {
	mounted := map[string]bool{}
	for n, m := range i.host.Mounts {
		mounted[m.Target] = true
		if m.Type == mount.TypeVolume && m.Source == "" {
			i.own(m.Target, fmt.Sprintf("mount %d", n))
		} else if m.Type == mount.TypeVolume {
			i.e.addVolume(m.Source, nil)
		}
	}
	for _, b := range i.host.Binds {
		source, target, named := strings.Cut(b, ":")
		target, _, _ = strings.Cut(target, ":")
		mounted[target] = true
		if named && !strings.HasPrefix(source, "/") {
			i.e.addVolume(source, nil)
		}
	}
	for _, target := range slices.Sorted(maps.Keys(i.config.Volumes)) {
		if !mounted[target] {
			i.own(target, "volume")
		}
	}
}

// own gives a container a volume of the engine's naming.
func (i *instance) own(target, what string) {
	if i.anonymous == nil {
		i.anonymous = map[string]string{}
	}
	name := i.e.id(what + " of " + i.name + " at " + target)
	i.anonymous[target] = name
	i.e.addVolume(name, nil)
}

// image is one by reference or id.
func (e *Engine) image(ref string) *image.InspectResponse {
	if found := e.images[ref]; found != nil {
		return found
	}
	return e.images[tagged(ref)]
}

// imageRequest answers for references, which contain slashes: GET /images/{ref}/json and POST /images/{ref}/tag.
func (e *Engine) imageRequest(w http.ResponseWriter, r *http.Request) {
	path := strings.TrimPrefix(r.URL.Path, "/images/")
	ref, what := path[:max(0, strings.LastIndexByte(path, '/'))], path[strings.LastIndexByte(path, '/')+1:]
	e.mu.Lock()
	defer e.mu.Unlock()
	found := e.image(ref)
	switch {
	case found == nil:
		fail(w, http.StatusNotFound, fmt.Sprintf("no such image: %s: No such image: %s", ref, ref))
	case what == "json":
		if e.encoded[found] == nil {
			e.encoded[found], _ = json.Marshal(found)
		}
		reply(w, http.StatusOK, e.encoded[found])
	case what == "tag":
		e.called(r, Call{Op: "tag", On: ref})
		repo := strings.TrimPrefix(strings.TrimPrefix(r.URL.Query().Get("repo"), "docker.io/"), "library/") // the client writes it out
		e.images[repo+":"+r.URL.Query().Get("tag")] = found
		w.WriteHeader(http.StatusCreated)
	default:
		e.notKnown(w, r, "")
	}
}

// listImages lists each image with its names, those that match a pattern of references.
func (e *Engine) listImages(w http.ResponseWriter, r *http.Request) {
	wanted, err := e.filters(r, "reference")
	if err != nil {
		refuse(w, err)
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	found := []image.Summary{}
	for _, ref := range slices.Sorted(maps.Keys(e.images)) {
		repository, _, _ := strings.Cut(ref, ":")
		if matches := wanted.Get("reference"); ref != e.images[ref].ID && (len(matches) == 0 || matched(matches[0], repository)) {
			found = append(found, image.Summary{ID: e.images[ref].ID, RepoTags: []string{ref}})
		}
	}
	reply(w, http.StatusOK, found)
}

func matched(pattern, name string) bool {
	ok, err := path.Match(pattern, name)
	return ok && err == nil
}

// untag takes a name from an image; the image itself stays known.
func (e *Engine) untag(w http.ResponseWriter, r *http.Request) {
	ref := r.PathValue("ref")
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.images[ref] == nil {
		fail(w, http.StatusNotFound, "No such image: "+ref)
		return
	}
	e.called(r, Call{Op: "untag", On: ref})
	delete(e.images, ref)
	reply(w, http.StatusOK, []image.DeleteResponse{{Untagged: ref}})
}
