package drift

import (
	"crypto/sha256"
	"encoding/hex"
	"net/url"
	"path"
	"strings"
)

// The part of SARIF 2.1.0 (OASIS) that a drift report needs, with what GitHub's code scanning demands beyond it.
type (
	sarifLog struct {
		Schema  string     `json:"$schema"`
		Version string     `json:"version"`
		Runs    []sarifRun `json:"runs"`
	}
	sarifRun struct {
		Tool        sarifTool                `json:"tool"`
		Automation  sarifAutomation          `json:"automationDetails"`
		BaseIDs     map[string]sarifArtifact `json:"originalUriBaseIds,omitempty"`
		Invocations []sarifInvocation        `json:"invocations"`
		Results     []sarifResult            `json:"results"`
	}
	sarifTool struct {
		Driver sarifDriver `json:"driver"`
	}
	sarifDriver struct {
		Name    string      `json:"name"`
		Version string      `json:"version,omitempty"`
		Rules   []sarifRule `json:"rules"`
	}
	sarifRule struct {
		ID    string    `json:"id"`
		Short sarifText `json:"shortDescription"`
		Help  sarifText `json:"help"`
	}
	sarifText struct {
		Text string `json:"text"`
	}
	sarifAutomation struct {
		ID string `json:"id"`
	}
	sarifInvocation struct {
		Successful    bool                `json:"executionSuccessful"`
		End           string              `json:"endTimeUtc,omitempty"`
		Notifications []sarifNotification `json:"toolExecutionNotifications,omitempty"`
	}
	sarifNotification struct {
		Level   string    `json:"level"`
		Message sarifText `json:"message"`
	}
	sarifResult struct {
		RuleID       string             `json:"ruleId"`
		RuleIndex    int                `json:"ruleIndex"`
		Level        string             `json:"level"`
		Message      sarifText          `json:"message"`
		Locations    []sarifLocation    `json:"locations"`
		Fingerprints map[string]string  `json:"partialFingerprints"`
		Suppressions []sarifSuppression `json:"suppressions,omitempty"`
		Properties   map[string]string  `json:"properties"`
	}
	sarifSuppression struct {
		Kind          string `json:"kind"`
		Justification string `json:"justification,omitempty"`
	}
	sarifLocation struct {
		Physical *sarifPhysical `json:"physicalLocation,omitempty"`
		Logical  []sarifLogical `json:"logicalLocations"`
	}
	sarifLogical struct {
		Name string `json:"fullyQualifiedName"`
	}
	sarifPhysical struct {
		Artifact sarifArtifact `json:"artifactLocation"`
		Region   sarifRegion   `json:"region"`
	}
	sarifArtifact struct {
		URI    string `json:"uri"`
		BaseID string `json:"uriBaseId,omitempty"`
	}
	sarifRegion struct {
		StartLine int `json:"startLine"`
	}
)

// sourceRoot is the name that consumers know the root of a checkout by.
const sourceRoot = "%SRCROOT%"

// renderSARIF writes one result a drift; a rule is a field without its key, such as environment. An override is a
// suppressed result. A gap is a notification of a run that did not succeed.
func renderSARIF(v view) (string, error) {
	run := sarifRun{
		Tool:        sarifTool{sarifDriver{Name: "composure", Version: v.options.Version, Rules: []sarifRule{}}},
		Automation:  sarifAutomation{"composure/drift/" + v.Stack + "/"},
		Invocations: []sarifInvocation{invocation(v)},
		Results:     []sarifResult{},
	}
	if path.IsAbs(v.options.Root) {
		run.BaseIDs = map[string]sarifArtifact{sourceRoot: {URI: fileURI(strings.TrimSuffix(v.options.Root, "/") + "/")}}
	}
	index := map[string]int{}
	for _, d := range v.Drifts {
		id := ruleOf(d)
		if _, known := index[id]; !known {
			index[id] = len(run.Tool.Driver.Rules)
			run.Tool.Driver.Rules = append(run.Tool.Driver.Rules, ruleText(id))
		}
		run.Results = append(run.Results, resultOf(d, id, index[id], v.options.File))
	}
	return encode(sarifLog{Schema: "https://json.schemastore.org/sarif-2.1.0.json", Version: "2.1.0", Runs: []sarifRun{run}})
}

func invocation(v view) sarifInvocation {
	out := sarifInvocation{Successful: len(v.Gaps) == 0, End: timestamp(v.options.At)}
	for _, g := range v.Gaps {
		out.Notifications = append(out.Notifications, sarifNotification{"error", sarifText{"not compared: " + g.Subject + ": " + g.Why}})
	}
	return out
}

// ruleOf names the rule of a drift: the key of the compose file without what stands below it, so that rules stay few.
func ruleOf(d Drift) string {
	if d.Field == FieldSevered {
		return "drift/" + d.Field
	}
	key, _, _ := strings.Cut(d.Field, ".")
	return "drift/" + key
}

// ruleTexts describe the fields that are no key of the compose file.
var ruleTexts = map[string]string{
	FieldUnique:    "Several networks of the stack have one name",
	FieldExistence: "A container, network or volume of the file is missing",
	FieldReplicas:  "There are fewer replicas than the file says",
	FieldSurplus:   "There are more replicas than the file says",
	FieldOrphan:    "A container belongs to no service of the file",
	FieldLeftover:  "An interrupted recreation left a container behind",
	FieldName:      "A container does not have the name that the file gives it",
	FieldState:     "A container is not in the state that the file asks for",
	FieldHealth:    "A container is not healthy",
	FieldSevered:   "A container has lost the network that it shares",
	FieldImage:     "A container runs another image than the file names",
}

func ruleText(id string) sarifRule {
	key := strings.TrimPrefix(id, "drift/")
	short := ruleTexts[key]
	if short == "" {
		short = "The file and what runs differ in " + key
	}
	return sarifRule{
		ID:    id,
		Short: sarifText{short},
		Help:  sarifText{short + ". Deploy the file, or change it to what is meant to run; composure reconcile --once --dry-run shows what a deployment would do."},
	}
}

func resultOf(d Drift, rule string, index int, home string) sarifResult {
	_, name := kindOf(d)
	levels := map[Severity]string{SeverityError: "error", SeverityWarning: "warning", SeverityNotice: "note"}
	result := sarifResult{
		RuleID: rule, RuleIndex: index, Level: levels[SeverityOf(d)],
		Message:      sarifText{name + ": " + d.Field + ": " + annotationText(d)},
		Locations:    []sarifLocation{{Physical: physical(place(d, home)), Logical: []sarifLogical{{logicalName(d)}}}},
		Fingerprints: map[string]string{"composureDrift/v1": fingerprint(d)},
		Properties:   map[string]string{"origin": string(d.Origin), "remedy": string(d.Remedy)},
	}
	if d.Override != nil {
		result.Suppressions = []sarifSuppression{{Kind: "external", Justification: overrideText(*d.Override)}}
	}
	return result
}

// physical is a place in a file; code scanning wants a line, so what has none stands at the first.
func physical(at location) *sarifPhysical {
	if at.file == "" {
		return nil
	}
	out := &sarifPhysical{Artifact: sarifArtifact{URI: (&url.URL{Path: at.file}).String(), BaseID: sourceRoot}, Region: sarifRegion{max(at.line, 1)}}
	if path.IsAbs(at.file) {
		out.Artifact = sarifArtifact{URI: fileURI(at.file)}
	}
	return out
}

func fileURI(file string) string { return (&url.URL{Scheme: "file", Path: file}).String() }

func logicalName(d Drift) string {
	var parts []string
	for _, part := range []string{d.Service, d.Container, d.Subject, d.Field} {
		if part != "" {
			parts = append(parts, part)
		}
	}
	return strings.Join(parts, "/")
}

// fingerprint follows a drift from one report to the next, also when its line or its values move.
func fingerprint(d Drift) string {
	sum := sha256.Sum256([]byte(strings.Join([]string{d.Service, d.Container, d.Subject, d.Field}, "\x00")))
	return hex.EncodeToString(sum[:16])
}
