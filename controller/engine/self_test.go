package engine

import (
	"strings"
	"testing"
)

// TestContainerOf holds the search to tables as real engines write them.
func TestContainerOf(t *testing.T) {
	id, other := strings.Repeat("0123abcd", 8), strings.Repeat("f0f0e1e1", 8)
	own := "2304 2209 254:0 /var/lib/docker/containers/" + id + "/resolv.conf /etc/resolv.conf rw,relatime - ext4 /dev/vda rw\n" +
		"2305 2209 254:0 /var/lib/docker/containers/" + id + "/hostname /etc/hostname rw,relatime - ext4 /dev/vda rw\n"
	for _, c := range []struct{ name, groups, mounts, want string }{
		{"cgroup v1", "12:pids:/docker/" + id + "\n1:name=systemd:/docker/" + id + "\n", own, id},
		{"cgroup v2, systemd driver, host namespace", "0::/system.slice/docker-" + id + ".scope\n", own, id},
		{"cgroup v2, private namespace", "0::/\n", own, id},
		{"the network, and so the files, of another container", "0::/system.slice/docker-" + other + ".scope\n", own, other},
		{"a host with containers", "0::/user.slice/user-0.slice/session-1.scope\n",
			"46 28 0:41 / /var/lib/docker/containers/" + id + "/mounts/shm rw - tmpfs shm rw\n47 28 0:4 net:[4026532] /run/docker/netns/0123abcd rw - nsfs nsfs rw\n", ""},
		{"a host with a mounted resolv.conf", "0::/init.scope\n", "30 28 0:25 /systemd/resolve/stub-resolv.conf /etc/resolv.conf rw - tmpfs tmpfs rw\n", ""},
		{"no Linux", "", "", ""},
	} {
		if got := containerOf(c.groups, c.mounts); got != c.want {
			t.Errorf("%s: %q, expected %q", c.name, got, c.want)
		}
	}
}
