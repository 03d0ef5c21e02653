package engine

import (
	"encoding/binary"
	"encoding/json"
	"strings"
)

// buildTrace turns BuildKit's progress into lines. The engine sends it as protocol buffers (moby/buildkit
// api/services/control, StatusResponse); the few fields that people read are taken from the wire format, so that a
// progress display does not bring all of BuildKit's API along. What cannot be read is left out.
type buildTrace struct {
	progress func(Progress)
	names    map[string]string // digest → name of a step
	done     map[string]bool
}

func newBuildTrace(progress func(Progress)) *buildTrace {
	return &buildTrace{progress: progress, names: map[string]string{}, done: map[string]bool{}}
}

// Field numbers of the messages.
const (
	statusVertexes  = 1
	statusLogs      = 3
	vertexDigest    = 1
	vertexName      = 3
	vertexCached    = 4
	vertexStarted   = 5
	vertexCompleted = 6
	logVertex       = 1
	logText         = 4
)

// read reports what one message says.
func (t *buildTrace) read(detail json.RawMessage) {
	var encoded []byte
	if t.progress == nil || json.Unmarshal(detail, &encoded) != nil {
		return
	}
	eachField(encoded, func(number int, value []byte) {
		switch number {
		case statusVertexes:
			t.step(value)
		case statusLogs:
			t.output(value)
		}
	})
}

// step reports the start and the end of a step, each once.
func (t *buildTrace) step(encoded []byte) {
	var digest, name, state string
	eachField(encoded, func(number int, value []byte) {
		switch number {
		case vertexDigest:
			digest = string(value)
		case vertexName:
			name = string(value)
		case vertexStarted:
			state = max(state, "a started")
		case vertexCompleted:
			state = max(state, "b done")
		case vertexCached:
			state = max(state, "c cached")
		}
	})
	t.names[digest] = name
	_, state, _ = strings.Cut(state, " ")
	if state == "" || t.done[digest+state] {
		return
	}
	t.done[digest+state] = true
	t.progress(Progress{ID: name, Status: state})
}

// output reports the lines a step printed.
func (t *buildTrace) output(encoded []byte) {
	var digest, text string
	eachField(encoded, func(number int, value []byte) {
		switch number {
		case logVertex:
			digest = string(value)
		case logText:
			text = string(value)
		}
	})
	for line := range strings.Lines(text) {
		t.progress(Progress{ID: t.names[digest], Status: strings.TrimRight(line, "\r\n")})
	}
}

// eachField walks the fields of an encoded message; the value of a number is nil. It stops at the first that it cannot
// read.
func eachField(encoded []byte, visit func(number int, value []byte)) {
	for len(encoded) > 0 {
		tag, n := binary.Uvarint(encoded)
		if n <= 0 {
			return
		}
		encoded = encoded[n:]
		var skip int
		switch tag & 7 {
		case 0: // varint
			_, skip = binary.Uvarint(encoded)
		case 1:
			skip = 8
		case 5:
			skip = 4
		case 2: // length and bytes
			length, n := binary.Uvarint(encoded)
			if n <= 0 || length > uint64(len(encoded)-n) {
				return
			}
			visit(int(tag>>3), encoded[n:n+int(length)])
			encoded = encoded[n+int(length):]
			continue
		}
		if skip <= 0 || skip > len(encoded) {
			return
		}
		visit(int(tag>>3), nil)
		encoded = encoded[skip:]
	}
}
