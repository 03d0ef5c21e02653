package spec

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"composure/test/corpus"
)

// TestCanonicalRoundTrip writes and reads the model of every file of the corpus: the stack, its hashes and its create
// requests must be the same.
func TestCanonicalRoundTrip(t *testing.T) {
	if err := corpus.Install(); err != nil {
		t.Fatal(err)
	}
	for _, name := range corpus.Names() {
		t.Run(name, func(t *testing.T) {
			stack, err := Load(context.Background(), Options{Files: []string{corpus.File(name)}, Environ: corpus.Environ})
			if err != nil {
				t.Fatal(err)
			}
			data, err := stack.Canonical()
			if err != nil {
				t.Fatal(err)
			}
			again, err := FromCanonical(data, edited(stack))
			if err != nil {
				t.Fatalf("%v\n%s", err, data)
			}
			sameStack(t, stack, again)
			unread, err := FromCanonical(data, stack)
			if err != nil {
				t.Fatal(err)
			}
			sameStack(t, again, unread)
			if len(unread.Unset)+len(unread.Warnings) > 0 {
				t.Error("what is said about the files is said of what was applied")
			}
			twice, err := again.Canonical()
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(data), string(twice)); diff != "" {
				t.Errorf("canonical form (-first +second):\n%s", diff)
			}
		})
	}
}

// edited is a stack like another one, which does not know of itself what Canonical writes of it: that has to be read.
func edited(s *Stack) *Stack {
	next := *s
	next.canonical = nil
	return &next
}

// TestCanonicalOfAnother: what was applied is read as it stands there, whatever has been put in the place of the file's services.
func TestCanonicalOfAnother(t *testing.T) {
	stack := loadText(t, "services:\n  web: {image: 'app:1', mem_limit: 100m}\n")
	data, err := stack.Canonical()
	if err != nil {
		t.Fatal(err)
	}
	raised := stack.With(stack.Service("web").WithMemory(200 << 20))
	other := loadText(t, "services:\n  web: {image: 'app:2', mem_limit: 100m}\n")
	for name, like := range map[string]*Stack{"raised": raised, "raised, with policies": raised.WithPolicies(stack), "edited": other, "none": nil} {
		again, err := FromCanonical(data, like)
		if err != nil {
			t.Fatal(err)
		}
		if web := again.Service("web"); web.Image != "app:1" || web.model.MemLimit != 100<<20 {
			t.Errorf("%s: read back: %s, %d bytes", name, web.Image, web.model.MemLimit)
		}
	}
}

// sameStack compares what people and the engine see of two stacks.
func sameStack(t *testing.T, want, got *Stack) {
	t.Helper()
	options := cmp.Options{
		cmpopts.IgnoreUnexported(Stack{}, Service{}),
		cmpopts.IgnoreFields(Stack{}, "Sources", "Warnings", "Unset"),
		cmpopts.EquateEmpty(),
	}
	if diff := cmp.Diff(want, got, options); diff != "" {
		t.Errorf("stack (-loaded +read back):\n%s", diff)
	}
	for i, svc := range want.Services {
		first, err := want.Container(svc, 1, Facts{})
		if err != nil {
			t.Fatal(err)
		}
		second, err := got.Container(got.Services[i], 1, Facts{})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(first, second, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("container of %s (-loaded +read back):\n%s", svc.Name, diff)
		}
	}
}

// TestCanonicalKeepsSecretsByReference: the content of secrets is not in the stored state, and comes back from where
// it is kept.
func TestCanonicalKeepsSecretsByReference(t *testing.T) {
	stack, err := Load(context.Background(), Options{
		Files: []string{"-"}, WorkingDir: t.TempDir(), ProjectName: "app", Environ: []string{"TOKEN=hunter2"},
		Stdin: strings.NewReader("services:\n  web:\n    image: app:1\n    secrets: [token]\nsecrets:\n  token:\n    environment: TOKEN\n"),
	})
	if err != nil {
		t.Fatal(err)
	}
	data, err := stack.Canonical()
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(data), "hunter2") {
		t.Errorf("the secret is stored:\n%s", data)
	}
	again, err := FromCanonical(data, edited(stack))
	if err != nil {
		t.Fatal(err)
	}
	sameStack(t, stack, again)
}

// TestCanonicalWithoutAStack reads a stored state whose files are gone.
func TestCanonicalWithoutAStack(t *testing.T) {
	stack := loadText(t, "services:\n  web:\n    image: app:1\n    environment: {PRICE: $$5}\n    x-composure: {mode: observe}\n")
	data, err := stack.Canonical()
	if err != nil {
		t.Fatal(err)
	}
	again, err := FromCanonical(data, nil)
	if err != nil {
		t.Fatal(err)
	}
	web := again.Service("web")
	if again.Name != "app" || web == nil || web.Policy.Mode != "observe" || *web.model.Environment["PRICE"] != "$5" {
		t.Errorf("read back: %+v", again)
	}
	if pos := web.Pos("image"); pos != (Position{}) {
		t.Errorf("place of a key without files: %v", pos)
	}
	if _, err := FromCanonical([]byte("services: ["), nil); err == nil {
		t.Error("a broken state was read")
	}
}

// TestCanonicalPart: what is recorded of a deployment of one service is the file's word on it, and on what it uses; all else
// stays as it was applied.
func TestCanonicalPart(t *testing.T) {
	loaded := func(text string) *Stack {
		t.Helper()
		dir := t.TempDir()
		file := filepath.Join(dir, "compose.yaml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		stack, err := Load(t.Context(), Options{Files: []string{file}, ProjectName: "shop", WorkingDir: "/srv/shop", Environ: []string{}})
		if err != nil {
			t.Fatal(err)
		}
		return stack
	}
	before := loaded("services:\n  web: {image: 'web:1', networks: [front]}\n  db: {image: 'db:1', networks: [back], volumes: ['rows:/rows']}\n  old: {image: 'old:1'}\nnetworks: {front: {}, back: {}}\nvolumes: {rows: {}}\n")
	file := loaded("services:\n  web: {image: 'web:2', networks: [front]}\n  db: {image: 'db:2', networks: [back], volumes: ['rows:/rows']}\n  new: {image: 'new:1'}\nnetworks: {front: {internal: true}, back: {internal: true}}\nvolumes: {rows: {labels: {a: b}}}\n")
	data, err := file.CanonicalPart(before, map[string]bool{"web": true})
	if err != nil {
		t.Fatal(err)
	}
	got, err := FromCanonical(data, file)
	if err != nil {
		t.Fatal(err)
	}
	var services []string
	for _, svc := range got.Services {
		services = append(services, svc.Image)
	}
	slices.Sort(services)
	if want := []string{"db:1", "old:1", "web:2"}; !slices.Equal(services, want) {
		t.Errorf("services %q, want %q", services, want)
	}
	for _, n := range got.Networks {
		if deployed := n.Key == "front"; n.Key != "default" && n.Create.Internal != deployed {
			t.Errorf("network %s: internal %v, as %v deployed", n.Key, n.Create.Internal, deployed)
		}
	}
	if file.Service("db").Image != "db:2" || before.Service("web").Image != "web:1" {
		t.Error("what was merged has changed")
	}
}

// TestInactiveServices: what is kept as last applied knows, too, which services of the file only lack their profile.
func TestInactiveServices(t *testing.T) {
	stack := loadText(t, "services:\n  web: {image: a}\n  tool: {image: a, profiles: [tools]}\n")
	data, err := stack.Canonical()
	if err != nil {
		t.Fatal(err)
	}
	again, err := FromCanonical(data, edited(stack))
	if err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]*Stack{"loaded": stack, "as applied": again} {
		if !s.Inactive["tool"] || s.Inactive["web"] || s.Service("tool") != nil {
			t.Errorf("%s: inactive are %v", name, s.Inactive)
		}
	}
}
