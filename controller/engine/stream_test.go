package engine

import (
	"bytes"
	"encoding/binary"
	"io"
	"runtime"
	"strings"
	"testing"

	"github.com/docker/docker/pkg/stdcopy"
)

// framed is a frame as the engine writes it.
func framed(stream byte, text string) []byte {
	header := [frameHeader]byte{stream}
	binary.BigEndian.PutUint32(header[4:], uint32(len(text)))
	return append(header[:], text...)
}

// claims is a frame whose header says that it is longer than it is.
func claims(length uint32, text string) []byte {
	frame := framed(1, text)
	binary.BigEndian.PutUint32(frame[4:], length)
	return frame
}

func TestDemultiplex(t *testing.T) {
	tests := []struct {
		name   string
		stream []byte
		want   string
		err    string
	}{
		{"both streams in their order", append(append(framed(1, "a\n"), framed(2, "b\n")...), framed(1, "c\n")...), "a\nb\nc\n", ""},
		{"nothing", nil, "", ""},
		{"an empty frame", append(framed(1, ""), framed(1, "a")...), "a", ""},
		{"cut in a header", framed(1, "a")[:5], "", ""},
		{"cut in a frame", claims(1000, "part"), "part", ""},
		{"the engine's own error", append(framed(1, "a"), framed(3, "disk is full")...), "a", "disk is full"},
		{"no frames", []byte("plain text, no frames"), "", "not framed"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var out strings.Builder
			err := demultiplex(&out, bytes.NewReader(test.stream), false)
			if out.String() != test.want || (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
				t.Errorf("%q, %v; expected %q, %q", out.String(), err, test.want, test.err)
			}
		})
	}
}

// TestLongLine: a line of 100 MB without an end, and a frame that claims 4 GB, take no memory.
func TestLongLine(t *testing.T) {
	const size = 100 << 20
	frame := framed(1, "")
	binary.BigEndian.PutUint32(frame[4:], size)
	line := io.MultiReader(bytes.NewReader(frame), io.LimitReader(endless{}, size), bytes.NewReader(claims(1<<32-1, "end")))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	out := &lastBytes{limit: 64 << 10}
	if err := demultiplex(out, line, false); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if kept := out.String(); len(kept) != 64<<10 || !strings.HasSuffix(kept, "xend") {
		t.Errorf("kept %d bytes", len(kept))
	}
	if took := after.TotalAlloc - before.TotalAlloc; took > 1<<20 {
		t.Errorf("%d bytes were allocated", took)
	}
}

// endless is a line that never ends.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

// FuzzDemultiplex: whatever comes, what is kept is bounded and part of it; what Docker's own decoder accepts is decoded
// the same.
func FuzzDemultiplex(f *testing.F) {
	f.Add(append(framed(1, "out\n"), framed(2, "err\n")...))
	f.Add(framed(3, "error"))
	f.Add(claims(1<<32-1, "x"))
	f.Add([]byte{1, 0, 0})
	f.Fuzz(func(t *testing.T, stream []byte) {
		out := &lastBytes{limit: 100}
		err := demultiplex(out, bytes.NewReader(stream), false)
		kept := out.String()
		if len(kept) > 100 {
			t.Fatalf("%d bytes are kept", len(kept))
		}
		if len(stream) > 1<<16 || claimed(stream) > 1<<16 { // the other one takes as much memory as is claimed
			return
		}
		var theirs bytes.Buffer
		_, theirErr := stdcopy.StdCopy(&theirs, &theirs, bytes.NewReader(stream))
		// What the engine has to say is told even when it is cut short; Docker's own says nothing then.
		if theirErr != nil && err == nil || err != nil && theirErr == nil && !cutShort(stream) {
			t.Fatalf("%v, Docker's own: %v", err, theirErr)
		}
		if whole := theirs.String(); err == nil && !cutShort(stream) && !strings.HasSuffix(whole, kept) {
			t.Fatalf("%q, Docker's own %q", kept, whole)
		}
	})
}

// frames walks over a stream's headers and returns the longest frame that is claimed, and whether the last is cut.
func frames(stream []byte) (longest int, cut bool) {
	for len(stream) >= frameHeader {
		n := int(binary.BigEndian.Uint32(stream[4:]))
		longest = max(longest, n)
		if n > len(stream)-frameHeader {
			return longest, true
		}
		stream = stream[frameHeader+n:]
	}
	return longest, false
}

func claimed(stream []byte) int   { n, _ := frames(stream); return n }
func cutShort(stream []byte) bool { _, cut := frames(stream); return cut }
