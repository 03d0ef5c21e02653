package drift

// Line shows any text on one line: control characters, terminal escapes, invisible and bidirectional characters and
// line breaks become visible escapes. Every report for people passes the words of containers through it.
func Line(s string) string { return oneLine(safe(s)) }
