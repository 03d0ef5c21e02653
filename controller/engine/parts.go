package engine

import (
	"bytes"
	"crypto/sha256"
	"slices"
)

// parts are the sums of members of an object, by name. Most of what an engine says of a container never changes, while each run
// of its healthcheck changes the rest.
type parts map[string][sha256.Size]byte

// changed is a copy of an answer without the large members that are as they were.
func (q *asking) changed(text []byte) []byte {
	q.parts, q.left = nil, nil
	if len(q.large) == 0 {
		return bytes.Clone(text)
	}
	found, whole := members(text)
	if !whole {
		return bytes.Clone(text)
	}
	q.parts = parts{}
	rest, from := make([]byte, 0, len(text)), 0
	for _, m := range found {
		if !slices.Contains(q.large, m.name) {
			continue
		}
		if _, twice := q.parts[m.name]; twice {
			q.parts, q.left = nil, nil
			return bytes.Clone(text)
		}
		sum := sha256.Sum256(text[m.from:m.to])
		q.parts[m.name] = sum
		if before, is := q.before.parts[m.name]; !is || before != sum {
			continue
		}
		rest = append(append(rest, text[from:m.from]...), "null"...)
		from = m.to
		q.left = append(q.left, m.name)
	}
	return append(rest, text[from:]...)
}

// member is one of an object: its value is text[from:to].
type member struct {
	name     string
	from, to int
}

// members are those of the object that a text is, in order; false: it is none, or cannot be read so simply. What is
// wrong within a value is for whoever reads that.
func members(text []byte) (found []member, whole bool) {
	at := space(text, 0)
	if at == len(text) || text[at] != '{' {
		return nil, false
	}
	for at = space(text, at+1); at < len(text) && text[at] == '"'; at = space(text, at+1) {
		end := value(text, at)
		if end < 0 || bytes.IndexByte(text[at:end], '\\') >= 0 {
			return nil, false
		}
		name := string(text[at+1 : end-1])
		if at = space(text, end); at == len(text) || text[at] != ':' {
			return nil, false
		}
		from := space(text, at+1)
		if at = value(text, from); at < 0 {
			return nil, false
		}
		found = append(found, member{name, from, at})
		if at = space(text, at); at == len(text) || text[at] != ',' {
			break
		}
	}
	return found, at < len(text) && text[at] == '}' && space(text, at+1) == len(text)
}

// space is where what follows after space begins.
func space(text []byte, at int) int {
	for at < len(text) && (text[at] == ' ' || text[at] == '\n' || text[at] == '\t' || text[at] == '\r') {
		at++
	}
	return at
}

// value is where the value that begins at a place ends; -1: it does not.
func value(text []byte, at int) int {
	depth := 0
	for begin := at; at < len(text); at++ {
		switch text[at] {
		case '"':
			for at++; at < len(text) && text[at] != '"'; at++ {
				if text[at] == '\\' {
					at++
				}
			}
			if at >= len(text) {
				return -1
			}
		case '{', '[':
			depth++
			continue
		case '}', ']':
			if depth == 0 { // of what it stands in
				return after(begin, at)
			}
			depth--
		case ',', ' ', '\n', '\t', '\r':
			if depth == 0 {
				return after(begin, at)
			}
			continue
		default:
			continue
		}
		if depth == 0 {
			return at + 1
		}
	}
	return -1
}

// after is the end of a value that must not be empty.
func after(begin, end int) int {
	if end == begin {
		return -1
	}
	return end
}
