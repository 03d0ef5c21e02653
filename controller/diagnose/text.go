package diagnose

import (
	"regexp"
	"strings"
	"unicode/utf8"

	"composure/controller/drift"
)

// longest is how much of one text of a container is looked at, and longestShown how much of it is shown. Both in bytes.
const (
	longest      = 2048
	longestShown = 240
)

// clip bounds a text of a container before it is matched or shown.
func clip(text string) string { return cut(text, longest) }

func cut(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	for limit > 0 && !utf8.RuneStart(text[limit]) {
		limit--
	}
	return text[:limit]
}

// wrapping is what engine and runtime put before the reason of a failed start, in whatever version.
var wrapping = regexp.MustCompile(`^(?:failed to (?:create|start|set up)[^:]*: |driver failed programming external connectivity on endpoint [^:]*: |Error starting userland proxy: |OCI runtime create failed: |runc create failed: |unable to start container process: |container_linux\.go:\d+: starting container process caused: |error during container init: )+`)

// reason is what the engine says about a start that failed, without what it wraps it in.
func reason(text string) string {
	return quoted(wrapping.ReplaceAllString(clip(strings.TrimSpace(text)), ""))
}

var (
	login  = regexp.MustCompile(`(://[^/\s:@]*:)[^@\s]+@`)
	secret = regexp.MustCompile(`(?i)((?:password|passwd|passphrase|pwd|secret|token|api[_-]?key|authorization|credential)s?["']?\s*[=:]\s*["']?(?:(?:basic|bearer)\s+)?|--(?:password|token|secret)\s+)[^\s"',;&]+`)
)

// quoted makes a text of a container fit to be shown: one bounded line, without what cannot be seen, and without what
// looks like a secret.
func quoted(text string) string {
	text = clip(strings.TrimSpace(text))
	text = login.ReplaceAllString(text, "${1}***@")
	text = secret.ReplaceAllString(text, "${1}***")
	if len(text) > longestShown {
		text = cut(text, longestShown) + "…"
	}
	return drift.Line(text)
}
