package observe

import (
	"cmp"
	"net/url"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"composure/spec"
)

// Bounds of texts that containers wrote.
const (
	maxLine   = 2 << 10  // bytes of one line
	maxDetail = 512      // bytes of what a probe saw
	maxText   = 64 << 10 // bytes of a log tail
	minSecret = 4        // bytes: a shorter value is no secret worth destroying a text for
)

// Secrets are the values of the container's secret-looking variables that must not be shown wherever they appear.
func (c Container) Secrets() []string {
	return slices.DeleteFunc(secretValues(nil, c), func(v string) bool { return !spec.SecretValue("password", v) })
}

// secretValues are values that must not be shown, wherever they appear: what the stack has as secrets, and of the container's
// environment the variables that are secrets by their name, and the passwords of URLs. The longest come first: one may begin
// like another.
func secretValues(stack *spec.Stack, c Container) []string {
	values := stack.SecretContents()
	if c.Inspect == nil || c.Inspect.Config == nil {
		return values
	}
	for _, v := range c.Inspect.Config.Env {
		key, value, _ := strings.Cut(v, "=")
		if address, err := url.Parse(value); err == nil && address.User != nil {
			password, _ := address.User.Password()
			values = append(values, password)
		}
		if spec.SecretKey(key) {
			values = append(values, value)
		}
	}
	slices.SortStableFunc(values, func(a, b string) int { return cmp.Compare(len(b), len(a)) })
	return slices.DeleteFunc(values, func(v string) bool { return len(v) < minSecret })
}

// Shown is a text that a container of a stack wrote as it may be shown.
func Shown(stack *spec.Stack, c Container, text string) string {
	return maskText(text, secretValues(stack, c))
}

// maskText is a text as it may be shown: without what looks like a secret, without the values that are ones.
func maskText(text string, secrets []string) string {
	text = spec.Mask("", text)
	for _, secret := range secrets {
		text = strings.ReplaceAll(text, secret, spec.Mask("password", secret))
	}
	return text
}

// line is one bounded printable line of a text.
func line(text string, secrets []string) string {
	return cut(oneLine(maskText(text, secrets)), maxDetail)
}

// oneLine replaces what moves a terminal's cursor or colours it.
func oneLine(text string) string {
	text = strings.ToValidUTF8(text, "?")
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		switch {
		case r == '\t' || r == '\n' || r == '\r':
			return ' '
		case unicode.IsControl(r):
			return -1
		}
		return r
	}, text))
}

// cut shortens a text to so many bytes, at the border of a character.
func cut(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	end := limit - len("…")
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + "…"
}
