package drift

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/versions"
	"github.com/docker/docker/api/types/volume"

	"composure/controller/observe"
	"composure/spec"
)

// networks compares the networks that services use.
func (c *comparison) networks() {
	for _, n := range c.Stack.Networks {
		subject := "network " + n.Name
		if c.unread("networks") || c.unread(subject) || !c.used(func(svc *spec.Service) []string { return svc.NetworkKeys }, n.Key) {
			continue
		}
		pos := c.Stack.Pos("networks", n.Key)
		found, there := c.Snapshot.Networks[n.Name]
		switch {
		case !there:
			c.absent(subject, pos, n.External)
		case !n.External:
			hash := found.Labels[spec.LabelConfigHash]
			made := found
			if hash == "" || hash == n.Hash { // nothing says that the file was edited
				made = c.withoutChosen(found, n.Create)
			}
			c.definition(definition{
				subject: subject, pos: pos, path: []string{"networks", n.Key}, same: hash == n.Hash,
				want: networkElements(requestedNetwork(n.Create), n.Create), have: networkElements(made, n.Create),
				advice: "to change it, stop the services that use it, `docker network rm " + n.Name + "`, and deploy; no data is lost",
			})
			c.owner(subject, pos, spec.LabelNetwork, n.Key, found.Labels)
			c.twins(subject, pos, n.Name)
		}
	}
}

// twins reports the networks that have the name of another one of the stack.
func (c *comparison) twins(subject string, pos spec.Position, name string) {
	twins := c.Snapshot.Twins[name]
	if len(twins) == 0 {
		return
	}
	d := Drift{
		Subject: subject, Field: FieldUnique, Desired: "one of this name", Observed: fmt.Sprintf("%d of this name", 1+len(twins)), Pos: pos,
		Origin: OriginLive, Remedy: RemedyInPlace, Cause: "made twice at one moment; the engine starts nothing on a name that two networks have",
	}
	if slices.ContainsFunc(twins, func(t observe.Twin) bool { return t.Used }) {
		d.Remedy = RemedyReport
		d.Cause += ", and containers are attached to both: stop the services that use it, `docker network rm` one of them by its id, and deploy"
	}
	c.add(d)
}

// volumes compares the named volumes that services use.
func (c *comparison) volumes() {
	for _, v := range c.Stack.Volumes {
		subject := "volume " + v.Name
		if c.unread("volumes") || c.unread(subject) || !c.used(func(svc *spec.Service) []string { return svc.VolumeKeys }, v.Key) {
			continue
		}
		pos := c.Stack.Pos("volumes", v.Key)
		found, there := c.Snapshot.Volumes[v.Name]
		switch {
		case !there:
			c.absent(subject, pos, v.External)
		case !v.External:
			want := volume.Volume{Driver: v.Create.Driver, Options: v.Create.DriverOpts, Labels: v.Create.Labels}
			c.definition(definition{
				subject: subject, pos: pos, path: []string{"volumes", v.Key}, same: found.Labels[spec.LabelConfigHash] == v.Hash,
				want: c.volumeElements(want, c.Stack.WorkingDir), have: c.volumeElements(found, c.directory()),
				advice: "a volume cannot be changed: save its data, remove it by hand, deploy, and restore the data",
			})
			c.owner(subject, pos, spec.LabelVolume, v.Key, found.Labels)
		}
	}
}

func (c *comparison) used(keys func(*spec.Service) []string, key string) bool {
	return slices.ContainsFunc(c.Stack.Services, func(svc *spec.Service) bool { return slices.Contains(keys(svc), key) })
}

// absent: what the stack owns is created, what is external belongs to somebody else.
func (c *comparison) absent(subject string, pos spec.Position, external bool) {
	d := Drift{
		Subject: subject, Field: FieldExistence, Desired: "exists", Observed: "missing", Pos: pos,
		Origin: OriginFile, Remedy: RemedyInPlace, Cause: "not created yet",
	}
	if external {
		d.Remedy, d.Cause = RemedyReport, "it is external and does not exist; create it, or correct its name in the file"
	}
	if c.Applied != nil {
		d.Origin = OriginLive
		if !external {
			d.Cause = "it was removed"
		}
	}
	c.add(d)
}

// definition is a network or volume beside what it must be.
type definition struct {
	subject    string
	pos        spec.Position
	path       []string // of its key in the file
	same       bool     // it carries the hash of the file's definition
	want, have elements
	advice     string
}

// definition reports each part of a network or volume that is not as in the file. Neither can be changed: a human must.
func (c *comparison) definition(def definition) {
	for _, element := range differing(def.want, def.have, false) {
		at := c.Stack.Pos(append(slices.Clone(def.path), strings.SplitN(element, ".", 2)...)...)
		d := Drift{
			Subject: def.subject, Field: element, Desired: either(def.want[element], "unset"), Observed: either(def.have[element], "unset"),
			Pos: either(at, def.pos), Origin: OriginFile, Remedy: RemedyReport, Cause: "edited in the file; " + def.advice,
		}
		if def.same {
			d.Origin, d.Cause = OriginLive, "it was made again by hand with another definition; "+def.advice
		}
		_, leaf, _ := strings.Cut(element, ".")
		c.hide(&d, leaf, "unset")
		c.add(d)
	}
}

// owner: docker compose refuses a network or volume that does not carry its labels.
func (c *comparison) owner(subject string, pos spec.Position, label, key string, have map[string]string) {
	for name, want := range map[string]string{spec.LabelProject: c.Stack.Name, label: key} {
		if have[name] != want {
			c.add(Drift{
				Subject: subject, Field: "labels." + name, Desired: want, Observed: either(have[name], "unset"), Pos: pos,
				Origin: OriginLive, Remedy: RemedyReport,
				Cause: "it was not made for this stack; declare it `external: true`, or give it another name in the file",
			})
		}
	}
}

// requestedNetwork is what a create request gives.
func requestedNetwork(create network.CreateOptions) network.Inspect {
	n := network.Inspect{
		Driver: either(create.Driver, "bridge"), Options: create.Options, Internal: create.Internal,
		Attachable: create.Attachable, Labels: create.Labels, EnableIPv4: true,
	}
	if create.EnableIPv6 != nil {
		n.EnableIPv6 = *create.EnableIPv6
	}
	if create.EnableIPv4 != nil {
		n.EnableIPv4 = *create.EnableIPv4
	}
	if create.IPAM != nil {
		n.IPAM = *create.IPAM
	}
	return n
}

// withoutChosen is a network without what the engine has chosen: options that the daemon gives to every network of the driver
// (default-network-opts, of which nothing tells), and addresses of a family for which the request has none.
func (c *comparison) withoutChosen(n network.Inspect, request network.CreateOptions) network.Inspect {
	n.Options = maps.Clone(n.Options)
	maps.DeleteFunc(n.Options, func(key, value string) bool {
		_, asked := request.Options[key]
		return !asked && c.givenToAll(n.Driver, key, value)
	})
	if request.IPAM == nil {
		return n
	}
	n.IPAM.Config = slices.DeleteFunc(slices.Clone(n.IPAM.Config), func(have network.IPAMConfig) bool {
		return !slices.ContainsFunc(request.IPAM.Config, func(want network.IPAMConfig) bool { return isIPv6(want.Subnet) == isIPv6(have.Subnet) })
	})
	return n
}

// givenToAll says whether an option may be of default-network-opts: engines have that since 24.0, and then each network of the driver has
// the option. One that a single network has was given by hand.
func (c *comparison) givenToAll(driver, key, value string) bool {
	if versions.LessThan(c.Snapshot.Engine.APIVersion, "1.43") {
		return false
	}
	for _, other := range c.Snapshot.Networks {
		if _, ours := other.Labels[spec.LabelNetwork]; ours && other.Driver == driver && other.Options[key] != value {
			return false
		}
	}
	return true
}

func isIPv6(subnet string) bool { return strings.Contains(subnet, ":") }

// networkElements are the parts of a network as keys of the file. What the request leaves to the engine (addresses,
// and IPv4 and IPv6 of engines with other defaults) is not compared.
func networkElements(n network.Inspect, request network.CreateOptions) elements {
	found := elements{
		"driver": n.Driver, "internal": strconv.FormatBool(n.Internal), "attachable": strconv.FormatBool(n.Attachable),
	}
	if request.EnableIPv6 != nil {
		found["enable_ipv6"] = strconv.FormatBool(n.EnableIPv6)
	}
	for key, value := range n.Options {
		if !strings.HasSuffix(key, ".vxlanid_list") { // given by the engine to overlay networks
			found["driver_opts."+key] = value
		}
	}
	ownLabels(found, n.Labels)
	if request.IPAM == nil {
		return found
	}
	found["ipam.driver"] = either(n.IPAM.Driver, "default")
	for key, value := range n.IPAM.Options {
		found["ipam.options."+key] = value
	}
	if len(request.IPAM.Config) > 0 {
		found["ipam.config"] = pools(n.IPAM.Config, request.IPAM.Config)
	}
	return found
}

// pools renders address pools; a gateway that the request leaves open is the engine's choice.
func pools(have, request []network.IPAMConfig) string {
	open := map[string]bool{}
	for _, p := range request {
		open[p.Subnet] = p.Gateway == ""
	}
	var list []string
	for _, p := range have {
		text := p.Subnet
		if p.IPRange != "" {
			text += " range " + p.IPRange
		}
		if p.Gateway != "" && !open[p.Subnet] {
			text += " gateway " + p.Gateway
		}
		for _, name := range slices.Sorted(maps.Keys(p.AuxAddress)) {
			text += fmt.Sprintf(" %s %s", name, p.AuxAddress[name])
		}
		list = append(list, text)
	}
	return set(list)
}

func (c *comparison) volumeElements(v volume.Volume, dir string) elements {
	found := elements{"driver": either(v.Driver, "local")}
	for key, value := range v.Options {
		if key == "device" {
			value = relocate(value, dir, c.Stack.WorkingDir)
		}
		found["driver_opts."+key] = value
	}
	ownLabels(found, v.Labels)
	return found
}

// ownLabels adds the labels that are the file's own.
func ownLabels(found elements, labels map[string]string) {
	for key, value := range labels {
		if !strings.HasPrefix(key, "com.docker.") && !strings.HasPrefix(key, spec.LabelOwnPrefix) {
			found["labels."+key] = value
		}
	}
}

// directory is the project directory that the stack on the engine was made from.
func (c *comparison) directory() string {
	for i := range c.Snapshot.Containers {
		if dir := c.Snapshot.Containers[i].Label(spec.LabelWorkingDir); dir != "" {
			return dir
		}
	}
	return ""
}
