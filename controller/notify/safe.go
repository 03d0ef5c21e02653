package notify

import (
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"composure/controller/incident"
	"composure/spec"
)

// longestError is how much of an error is shown, in bytes.
const longestError = 300

// scrub makes the text of an error fit to be shown: without settings of the channel, other secrets and what cannot be
// seen, on one bounded line.
func (g *guard) scrub(text string) string {
	for _, secret := range g.secrets {
		text = strings.ReplaceAll(text, secret, "•••")
	}
	return shorten(incident.Clean(text), longestError)
}

// shorten cuts a text to so many bytes and marks the cut.
func shorten(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	limit -= len("…")
	for limit > 0 && !utf8.RuneStart(text[limit]) {
		limit--
	}
	return text[:limit] + "…"
}

// shortest is the length from which a part of a setting is taken out of errors: "v2" or "hook" is no secret.
const shortest = 6

// secretsOf are the texts that no error may hold, the longest first: values that are secret, addresses, and the parts of
// addresses in which services put tokens, each also as it is written in an address.
func secretsOf(n spec.Notifier) []string {
	var found []string
	add := func(text string) {
		for _, form := range []string{text, url.QueryEscape(text), url.PathEscape(text)} {
			if len(form) >= shortest {
				found = append(found, form)
			}
		}
	}
	for key, value := range n.Set {
		switch key {
		case "token", "password", "routing_key", "username":
			add(value)
			found = append(found, value)
		case "url":
			add(value)
			for _, part := range parts(value, n.Type == "url") {
				add(part)
			}
		}
	}
	found = slices.DeleteFunc(found, func(text string) bool { return text == "" })
	slices.SortFunc(found, func(a, b string) int { return len(b) - len(a) })
	return slices.Compact(found)
}

// parts are the pieces of an address; its host too where services keep tokens there.
func parts(address string, host bool) []string {
	u, err := url.Parse(address)
	if err != nil {
		return strings.FieldsFunc(address, func(r rune) bool { return strings.ContainsRune("/:@?&=#", r) })
	}
	pieces := append(strings.Split(u.Path, "/"), u.Path, u.RawQuery, u.Fragment, u.User.Username())
	if password, set := u.User.Password(); set {
		pieces = append(pieces, password)
	}
	for _, values := range u.Query() {
		pieces = append(pieces, values...)
	}
	if host {
		pieces = append(pieces, u.Hostname(), u.Host)
	}
	return pieces
}
