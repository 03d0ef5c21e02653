package main

import "testing"

// TestRelativeTo: a path below the working directory is shown as people type it; what only contains its name is left as it is.
func TestRelativeTo(t *testing.T) {
	for text, want := range map[string]string{
		"/srv/shop/compose.yaml:3: image: …":                 "compose.yaml:3: image: …",
		"differs (/srv/shop/a.yaml:1), \"/srv/shop/b.yaml\"": "differs (a.yaml:1), \"b.yaml\"",
		"first\n/srv/shop/compose.yaml:3":                    "first\ncompose.yaml:3",
		"unix:///srv/shop/docker.sock":                       "unix:///srv/shop/docker.sock",
		"/mnt/srv/shop/compose.yaml":                         "/mnt/srv/shop/compose.yaml",
		"/srv/shopping/compose.yaml":                         "/srv/shopping/compose.yaml",
	} {
		if got := relativeTo("/srv/shop", text); got != want {
			t.Errorf("%q is shown as %q, expected %q", text, got, want)
		}
	}
	const address = "http://127.0.0.1:9180//x /etc/composure.yaml"
	if got := relativeTo("/", address); got != address {
		t.Errorf("in the root directory %q is shown as %q", address, got)
	}
	const latin = "/srv/caf\xe9/compose.yaml:3: image: …"
	if got := relativeTo("/srv/caf\xe9", latin); got != latin {
		t.Errorf("in a directory whose name is not in UTF-8 %q is shown as %q", latin, got)
	}
}
