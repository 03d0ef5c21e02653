package observe

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"time"

	"composure/spec"
)

// maxPeers bounds how many containers are tried for a tool that can ask.
const maxPeers = 3

// unable is how a program says that it cannot do what it was asked: an option or /dev/tcp is not compiled in.
var unable = regexp.MustCompile(`(?i)usage:|(invalid|unrecognized|unknown) option|no such file`)

// inside asks a container from within one of its networks where this host has no way to it: with the first program
// there that can. Programs get an address, because names crash some static ones. The error is why nobody could ask, or
// that there was no answer in time.
func (at place) inside(ctx context.Context, why error, target Container, tools func(ip string) [][]string) (ExecResult, error) {
	for _, peer := range at.peers(target) {
		there := at
		there.self = peer.container
		for _, argv := range tools(peer.ip) {
			result, a := there.command(ctx, argv)
			if a != nil && a.state == ProbeFailing {
				return result, context.DeadlineExceeded
			}
			if a == nil && result.ExitCode < 128 && (result.ExitCode == 0 || !unable.MatchString(result.Output)) {
				return result, nil
			}
		}
	}
	return ExecResult{}, noAddress(reason(why) + ", and no container there has a program that can ask")
}

// peer is a container that can reach another one at an address.
type peer struct {
	container Container
	ip        string
}

// peers are running containers on a network of the target: others first, because they take the way that users take.
func (at place) peers(target Container) []peer {
	mine := target.Inspect.NetworkSettings
	if mine == nil {
		return nil
	}
	var others, itself []peer
	for _, c := range at.seen.snapshot.Containers {
		if !c.Running() || c.Status() == "paused" || c.Inspect.NetworkSettings == nil {
			continue
		}
		for _, name := range sortedKeys(c.Inspect.NetworkSettings.Networks) {
			ip := endpointIP(mine.Networks[name])
			if !ip.IsValid() {
				continue
			}
			if found := (peer{c, ip.String()}); c.ID == target.ID {
				itself = append(itself, found)
			} else {
				others = append(others, found)
			}
			break
		}
	}
	return append(others[:min(len(others), maxPeers)], itself...)
}

// tcpInside opens a connection with netcat, of which there are two kinds, or with bash.
func (at place) tcpInside(ctx context.Context, port int, why error) answer {
	to := strconv.Itoa(port)
	address := net.JoinHostPort(at.self.Name, to)
	result, err := at.inside(ctx, why, at.self, func(ip string) [][]string {
		return [][]string{
			{"nc", "-z", "-w", at.seconds(), ip, to},
			{"nc", "-w", at.seconds(), ip, to, "-e", "true"},
			{"bash", "-c", `exec 3<>"/dev/tcp/$0/$1"`, ip, to},
		}
	})
	switch {
	case err != nil:
		return at.refusal(ctx, address, err)
	case result.ExitCode != 0:
		return failing("%s, asked inside the network: %s", address, lastLine(result.Output))
	}
	return okay("%s accepts connections inside the network", address)
}

// statusLine is the first line of an HTTP answer, as curl -i and wget -S show it.
var statusLine = regexp.MustCompile(`HTTP/[0-9.]+ ([0-9]{3})`)

// httpInside asks with curl or wget, which print the head of the answer before its body.
func (at place) httpInside(ctx context.Context, p spec.HTTPProbe, target *url.URL, why error) answer {
	what := "GET " + target.Redacted() + " inside the network"
	c, found := at.named(target.Hostname())
	if !found || target.Scheme != "http" {
		return unknown("%s: %s", what, reason(why))
	}
	asked := time.Now()
	result, err := at.inside(ctx, why, c, func(ip string) [][]string {
		direct := *target
		direct.Host = net.JoinHostPort(ip, cmp.Or(target.Port(), "80"))
		host := "Host: " + target.Host
		return [][]string{
			{"curl", "-s", "-S", "-i", "--noproxy", "*", "-m", at.seconds(), "-H", host, direct.String()},
			{"wget", "-q", "-S", "-O", "-", "-T", at.seconds(), "--header", host, direct.String()},
		}
	})
	took := time.Since(asked)
	if err != nil {
		return at.refusal(ctx, what, err)
	}
	said := statusLine.FindStringSubmatch(result.Output)
	if said == nil {
		return failing("%s: %s", what, lastLine(result.Output))
	}
	status, _ := strconv.Atoi(said[1])
	a := judgeHTTP(p, status, []byte(result.Output[:min(len(result.Output), maxBody)]), took)
	a.status, a.detail = status, what+" "+a.detail
	return a
}

// seconds is the probe's timeout as those programs want it.
func (at place) seconds() string { return strconv.Itoa(max(int(at.probe.Timeout.Seconds()), 1)) }

// besideHost says whether an address means this host while the containers are somewhere else: Composure runs in a
// container, whose localhost is its own. On the engine's host an interface has the gateway's address.
func (at place) besideHost(address string) bool {
	host, _, err := net.SplitHostPort(address)
	ip, notIP := netip.ParseAddr(host)
	if err != nil || (host != "localhost" && (notIP != nil || !ip.IsLoopback())) || at.self.Inspect.NetworkSettings == nil {
		return false
	}
	gateways := 0
	for name, endpoint := range at.self.Inspect.NetworkSettings.Networks {
		if endpoint == nil || endpoint.Gateway == "" || !at.isBridge(name) {
			continue
		}
		gateways++
		if hostHas(endpoint.Gateway) {
			return false
		}
	}
	return gateways > 0
}

// hostHas says whether an interface of this host has an address.
func hostHas(address string) bool {
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return true // unknown: nothing is concluded from it
	}
	for _, a := range addresses {
		if own, ok := a.(*net.IPNet); ok && own.IP.String() == address {
			return true
		}
	}
	return false
}

// isNoAddress says whether an error is that there is no way to a container from here.
func isNoAddress(err error) bool {
	var missing noAddress
	return errors.As(err, &missing)
}
