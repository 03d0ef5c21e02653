package web

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// TestAPIAnswersAsDescribed: every operation is described, what is described is answered, and an answer has exactly the
// fields that the description names.
func TestAPIAnswersAsDescribed(t *testing.T) {
	_, url := helped(t, secret)
	strict, err := json.Marshal(describe(true))
	if err != nil {
		t.Fatal(err)
	}
	document, err := jsonschema.UnmarshalJSON(strings.NewReader(string(strict)))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("openapi.json", document); err != nil {
		t.Fatal(err)
	}
	for path, operations := range description()["paths"].(object) {
		for method, operation := range operations.(object) {
			t.Run(operation.(object)["operationId"].(string), func(t *testing.T) {
				body := "" // every field that is described
				if described, asks := operation.(object)["requestBody"].(object); asks {
					fields := map[string]string{}
					for name := range described["content"].(object)["application/json"].(object)["schema"].(object)["properties"].(object) {
						fields[name] = map[bool]string{true: "", false: "api"}[name == "confirm"]
					}
					text, err := json.Marshal(fields)
					if err != nil {
						t.Fatal(err)
					}
					body = string(text)
				}
				place := strings.NewReplacer("{service}", "api", "{id}", "api", "{kind}", "restart").Replace(path)
				request, err := http.NewRequest(strings.ToUpper(method), url+place, strings.NewReader(body))
				if err != nil {
					t.Fatal(err)
				}
				request.Header.Set("Authorization", "Bearer "+secret)
				answer, body := send(t, request)
				if answer.StatusCode != http.StatusOK {
					t.Fatalf("%d: %s", answer.StatusCode, body)
				}
				kind, _, _ := strings.Cut(answer.Header.Get("Content-Type"), ";")
				content := operation.(object)["responses"].(object)["200"].(object)["content"].(object)
				if content[kind] == nil {
					t.Fatalf("answers with %s, described is %v", kind, content)
				}
				if kind != "application/json" {
					return
				}
				if strings.Contains(body, "\u009b") {
					t.Error("a control character went through")
				}
				place = "openapi.json#/paths/" + strings.ReplaceAll(path, "/", "~1") + "/" + method + "/responses/200/content/application~1json/schema"
				schema, err := compiler.Compile(place)
				if err != nil {
					t.Fatal(err)
				}
				value, err := jsonschema.UnmarshalJSON(strings.NewReader(body))
				if err != nil {
					t.Fatal(err)
				}
				if err := schema.Validate(value); err != nil {
					t.Errorf("%v\n%s", err, body)
				}
			})
		}
	}
}

// TestAPIErrors: what is wrong is said as JSON, with the right status.
func TestAPIErrors(t *testing.T) {
	from := &source{status: trouble()}
	s, url := open(t, from)
	for path, code := range map[string]int{
		"/services/nobody": 404, "/services/nobody/log": 404, "/incidents/none": 404, "/incidents/none/report": 404, "/nothing": 404,
		"/history?limit=0": 400, "/history?limit=many": 400, "/incidents?limit=1001": 400, "/history?limit=%zz": 400,
		"/history": 200, "/history?limit=7&service=api": 200, "/openapi.json": 200,
	} {
		answer, body := get(t, url+root+path)
		var says struct{ Error string }
		if err := json.Unmarshal([]byte(body), &says); err != nil {
			t.Errorf("%s: %v: %s", path, err, body)
		}
		if answer.StatusCode != code || (code >= 400 && says.Error == "") {
			t.Errorf("%s answers %d, expected %d: %s", path, answer.StatusCode, code, body)
		}
	}
	from.set(trouble(), ErrNotReady)
	s.Changed()
	if answer, _ := get(t, url+root+"/status"); answer.StatusCode != 503 || answer.Header.Get("Retry-After") == "" {
		t.Errorf("before the first look: %d", answer.StatusCode)
	}
}

// TestHarmless: what a terminal obeys, or what hides, is an escape in JSON.
func TestHarmless(t *testing.T) {
	for in, want := range map[string]string{
		`"plain äß漢 😀"`:  `"plain äß漢 😀"`,
		"\"\u009b31m\"":  `"\u009b31m"`,
		"\"a\u202eb\"":   `"a\u202eb"`,
		"\"\U000e0001\"": `"\udb40\udc01"`,
	} {
		got := string(harmless([]byte(in)))
		var before, after string
		if err := json.Unmarshal([]byte(in), &before); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal([]byte(got), &after); err != nil || got != want || before != after {
			t.Errorf("%q became %q (%v), expected %q", in, got, err, want)
		}
	}
}
