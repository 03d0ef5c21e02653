package spec

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
)

// TestGoodFiles loads what docker compose loads: one case a folder of an archive in testdata/good, with what the stack
// must be in `want`. `ask` holds keys whose places are wanted. -update writes the texts anew.
func TestGoodFiles(t *testing.T) {
	archives, err := filepath.Glob("testdata/good/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range archives {
		archive, err := txtar.ParseFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range caseNames(archive) {
			t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar")+"/"+name, func(t *testing.T) {
				dir := filepath.Join(t.TempDir(), "app")
				extract(t, archive, name, dir)
				stack, err := Load(context.Background(), caseOptions(t, dir))
				if err != nil {
					t.Fatal(err)
				}
				roundTrip(t, stack)
				withAllCasts(t, caseOptions(t, dir), stack)
				got := describeStack(stack, readOptional(t, dir, "ask"))
				got = strings.NewReplacer(dir+"/", "", dir, ".").Replace(got)
				if *update {
					setFile(archive, name+"/want", got)
					return
				}
				if diff := cmp.Diff(getFile(archive, name+"/want"), got); diff != "" {
					t.Errorf("stack (-want +got):\n%s", diff)
				}
			})
		}
		if *update {
			if err := os.WriteFile(path, txtar.Format(archive), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// withAllCasts loads again without the choice of casts that makes loading quicker.
func withAllCasts(t *testing.T, o Options, want *Stack) {
	t.Helper()
	files, err := Read(o)
	if err != nil {
		t.Fatal(err)
	}
	if name := files.Name(); name != want.Name {
		t.Errorf("the name was said to be %q before the load, and is %q", name, want.Name)
	}
	files.positions.partial = true
	got, err := files.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(canonical(t, want), canonical(t, got)); diff != "" {
		t.Errorf("with all casts (-without +with):\n%s", diff)
	}
}

func canonical(t *testing.T, s *Stack) string {
	t.Helper()
	data, err := s.Canonical()
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func roundTrip(t *testing.T, stack *Stack) {
	t.Helper()
	data, err := stack.Canonical()
	if err != nil {
		t.Fatal(err)
	}
	again, err := FromCanonical(data, edited(stack))
	if err != nil {
		t.Fatalf("%v\n%s", err, data)
	}
	sameStack(t, stack, again)
}

// describeStack writes what a stack is, leaving out what is empty.
func describeStack(s *Stack, ask string) string {
	var b strings.Builder
	line := func(indent, name string, value any) {
		if text := strings.Trim(fmt.Sprint(value), "[]"); text != "" && text != "0" && text != "0s" && text != "false" && text != "map" {
			fmt.Fprintf(&b, "%s%s: %s\n", indent, name, text)
		}
	}
	line("", "name", s.Name)
	line("", "dir", s.WorkingDir)
	line("", "files", s.ConfigFiles)
	line("", "env files", s.EnvFiles)
	line("", "sources", s.Sources)
	for _, u := range s.Unset {
		line("", "unset", u.Name+" at "+u.Pos.String())
	}
	for _, w := range s.Warnings {
		line("", "warning", w)
	}
	for _, svc := range s.Services {
		fmt.Fprintf(&b, "%s\n", svc.Name)
		describeService(svc, func(name string, value any) { line("  ", name, value) })
	}
	for _, n := range s.Networks {
		line("", "network", n.Key+" = "+n.Name)
	}
	for _, v := range s.Volumes {
		line("", "volume", v.Key+" = "+v.Name)
	}
	for key := range strings.Lines(ask) {
		key = strings.TrimSpace(key)
		line("", "at "+key, s.Pos(strings.Fields(key)...))
	}
	return b.String()
}

func describeService(svc *Service, line func(name string, value any)) {
	line("image", svc.Image)
	if svc.Replicas != 1 {
		line("replicas", fmt.Sprintf("%d ", svc.Replicas))
	}
	line("container name", svc.ContainerName)
	if svc.Build != nil {
		line("build", svc.Build.Context+" "+svc.Build.Dockerfile)
		line("build secrets", svc.Build.Secrets)
	}
	if svc.Pull.Mode != "missing" {
		line("pull", svc.Pull)
	}
	for _, d := range svc.DependsOn {
		line("depends on", fmt.Sprintf("%s %s restart=%v required=%v", d.Service, d.Condition, d.Restart, d.Required))
	}
	line("namespaces", svc.Namespaces)
	if strings.Join(svc.NetworkKeys, " ") != "default" {
		line("networks", svc.NetworkKeys)
	}
	line("volumes", svc.VolumeKeys)
	if svc.Restart != "no" {
		line("restart", svc.Restart)
	}
	line("healthcheck", svc.Healthcheck)
	for _, p := range svc.Ports {
		line("port", fmt.Sprintf("%s:%s:%d/%s", p.HostIP, p.Published, p.Target, p.Protocol))
	}
	line("stop grace", svc.StopGrace)
	line("command", strings.Join(svc.model.Command, " "))
	line("environment", strings.Join(environmentOf(svc), " "))
	line("labels", svc.model.Labels)
	if svc.Policy.Mode != "heal" {
		line("mode", svc.Policy.Mode)
	}
}

func environmentOf(svc *Service) []string {
	var list []string
	for name, value := range svc.model.Environment {
		if value == nil {
			list = append(list, name)
			continue
		}
		list = append(list, name+"="+*value)
	}
	return sorted(list)
}

func sorted(list []string) []string {
	slices.Sort(list)
	return list
}
