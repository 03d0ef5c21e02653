package drift

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// bytes renders a size exactly: in the largest unit that divides it. 0 is unset, -1 unlimited.
func bytes(n int64) string {
	switch {
	case n == 0:
		return ""
	case n < 0:
		return "unlimited"
	}
	units := []string{"GiB", "MiB", "KiB"}
	for i, unit := range units {
		if scale := int64(1) << (10 * (len(units) - i)); n%scale == 0 {
			return fmt.Sprintf("%d %s", n/scale, unit)
		}
	}
	return fmt.Sprintf("%d bytes", n)
}

// duration renders what is set, else the engine's default.
func duration(d, byDefault time.Duration) string {
	if d == 0 {
		d = byDefault
	}
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// quote renders an argument vector so that its parts can be told apart.
func quote(argv []string) string {
	parts := slices.Clone(argv)
	for i, arg := range parts {
		if arg == "" || strings.ContainsAny(arg, " \t\n\"'\\") {
			parts[i] = strconv.Quote(arg)
		}
	}
	return strings.Join(parts, " ")
}

// signal renders a signal without the prefix that may stand before it; SIGTERM is the engine's default.
func signal(name string) string {
	name = strings.TrimPrefix(strings.ToUpper(name), "SIG")
	switch name {
	case "", "15":
		return "TERM"
	case "2":
		return "INT"
	case "3":
		return "QUIT"
	case "9":
		return "KILL"
	}
	return name
}

// either is the first that is not zero.
func either[T comparable](value, other T) T {
	var zero T
	if value == zero {
		return other
	}
	return value
}
