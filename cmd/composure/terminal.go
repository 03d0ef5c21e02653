package main

import (
	"io"
	"os"

	"golang.org/x/term"
)

// look is how to write to one stream.
type look struct {
	Terminal bool // a person watches: lines may be rewritten in place
	Color    bool // ANSI colours are wanted
	Width    int  // columns to lay out for; 0: not a terminal, so lines are not wrapped
	Columns  int  // that there are, for what is painted over; 0: unknown
	Height   int  // rows; 0: unknown
}

// narrowest is the fewest columns that output is laid out for; a smaller or unknown width wraps by itself.
const narrowest = 40

// terminal decides, in one place for every command, how to write to w. Colour needs a terminal that understands it
// (TERM is neither empty nor dumb) and nobody who declined it (NO_COLOR is set and not empty, see no-color.org).
func terminal(w io.Writer) look {
	file, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) {
		return look{}
	}
	l := look{Width: 80}
	if columns, rows, err := term.GetSize(int(file.Fd())); err == nil {
		if columns > 0 {
			l.Width, l.Columns = max(columns, narrowest), columns
		}
		l.Height = rows
	}
	if kind := os.Getenv("TERM"); kind != "" && kind != "dumb" {
		l.Terminal = true
		l.Color = os.Getenv("NO_COLOR") == ""
	}
	return l
}
