package spec

// Error is what is wrong with a compose file, at a place: "file:line: key: what is wrong; what to do".
type Error struct {
	Pos     Position
	Key     string
	Problem string
	Fix     string
	Err     error // what compose-go or the system said; may be nil
}

func (e *Error) Error() string {
	text := e.Problem
	if e.Fix != "" {
		text += "; " + e.Fix
	}
	if e.Key != "" {
		text = e.Key + ": " + text
	}
	if at := e.Pos.String(); at != "" {
		text = at + ": " + text
	}
	return text
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }
