package drift

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/rivo/uniseg"
)

// safe makes what cannot be seen visible: control characters, terminal escapes, invisible and bidirectional
// characters and invalid UTF-8 become escapes such as \x1b, \u202e. Newlines and tabs stay. "##[" is broken because
// GitHub's runner obeys it anywhere in a line of a log.
func safe(s string) string {
	if !strings.ContainsFunc(s, hidden) && utf8.ValidString(s) && !strings.Contains(s, "##[") {
		return s
	}
	var b strings.Builder
	for i, r := range s {
		switch {
		case r == utf8.RuneError && !strings.HasPrefix(s[i:], "\uFFFD"):
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case r == '[' && strings.HasSuffix(b.String(), "##"):
			b.WriteString(`\x5b`)
		case !hidden(r):
			b.WriteRune(r)
		case r == '\r':
			b.WriteString(`\r`)
		case r < 0x100:
			fmt.Fprintf(&b, `\x%02x`, r)
		case r < 0x10000:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			fmt.Fprintf(&b, `\U%08x`, r)
		}
	}
	return b.String()
}

func hidden(r rune) bool { return r != '\n' && r != '\t' && !unicode.IsPrint(r) }

var lineBreaks = strings.NewReplacer("\n", `\n`, "\t", `\t`)

// oneLine shows a safe text on one line.
func oneLine(s string) string { return lineBreaks.Replace(s) }

// value shows one side of a drift on one line; what is empty, or ends in blanks, would otherwise not be seen.
func value(s string) string {
	switch {
	case s == "":
		return "(none)"
	case strings.TrimSpace(s) != s:
		return `"` + oneLine(s) + `"`
	}
	return oneLine(s)
}

// pair shows both sides of a drift on one line each, cut to limit columns together. What differs stays visible: when
// the sides begin alike, the cut takes the common beginning first. limit is at least 24.
func pair(desired, observed string, limit int) (string, string) {
	a, b := value(desired), value(observed)
	room := max(limit, 24)
	half := room / 2
	roomA, roomB := half, room-half
	if w := uniseg.StringWidth(a); w < roomA {
		roomA, roomB = w, room-w
	} else if w := uniseg.StringWidth(b); w < roomB {
		roomA, roomB = room-w, w
	}
	if uniseg.StringWidth(a) <= roomA && uniseg.StringWidth(b) <= roomB {
		return a, b
	}
	common := commonPrefix(a, b)
	if shown := min(roomA, roomB) / 2; uniseg.StringWidth(common) > shown {
		keep := lastColumns(common, shown/2)
		a, b = "…"+keep+a[len(common):], "…"+keep+b[len(common):]
	}
	return clip(a, roomA), clip(b, roomB)
}

// commonPrefix returns the longest beginning that both share, in whole characters as people see them.
func commonPrefix(a, b string) string {
	end := 0
	for restA, restB := a, b; restA != "" && restB != ""; {
		var charA, charB string
		charA, restA, _, _ = uniseg.FirstGraphemeClusterInString(restA, -1)
		charB, restB, _, _ = uniseg.FirstGraphemeClusterInString(restB, -1)
		if charA != charB {
			break
		}
		end += len(charA)
	}
	return a[:end]
}

// lastColumns returns the end of s that fits into so many columns.
func lastColumns(s string, columns int) string {
	for uniseg.StringWidth(s) > columns {
		_, s, _, _ = uniseg.FirstGraphemeClusterInString(s, -1)
	}
	return s
}

// clip cuts s to so many columns, at least one, and marks the cut.
func clip(s string, columns int) string {
	if uniseg.StringWidth(s) <= columns {
		return s
	}
	end, used := 0, 1 // one column is the mark's
	for rest := s; rest != ""; {
		var char string
		var width int
		char, rest, width, _ = uniseg.FirstGraphemeClusterInString(rest, -1)
		if used+width > columns {
			break
		}
		end, used = end+len(char), used+width
	}
	return s[:end] + "…"
}

// pad fills s with blanks to so many columns.
func pad(s string, columns int) string {
	return s + strings.Repeat(" ", max(columns-uniseg.StringWidth(s), 0))
}

// wrap breaks a one-line text at blanks into lines of so many columns; a longer word keeps a line of its own.
func wrap(s string, columns int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(s) {
		switch {
		case line == "":
			line = word
		case uniseg.StringWidth(line)+1+uniseg.StringWidth(word) > columns:
			lines, line = append(lines, line), word
		default:
			line += " " + word
		}
	}
	return append(lines, line)
}
