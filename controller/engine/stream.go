package engine

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// A container's output without a terminal comes in frames (Engine API, "attach", stream format): a byte that names the
// stream, three of no meaning, the length as a big-endian uint32, and so many bytes.
const (
	frameHeader = 8
	frameErrors = 3       // what the engine itself has to say
	maxFrameErr = 4 << 10 // of that
)

// demultiplex copies a container's output, which is framed by stream unless there is a terminal. A frame is copied as it
// comes: its length is only a claim, and no memory is taken for it.
func demultiplex(out io.Writer, stream io.Reader, tty bool) error {
	if tty {
		_, err := io.Copy(out, stream)
		return err
	}
	for {
		var header [frameHeader]byte
		if _, err := io.ReadFull(stream, header[:]); err != nil {
			return ended(err)
		}
		frame := io.LimitReader(stream, int64(binary.BigEndian.Uint32(header[4:])))
		switch {
		case header[0] < frameErrors:
			if _, err := io.Copy(out, frame); err != nil {
				return err
			}
		case header[0] == frameErrors:
			text, err := io.ReadAll(io.LimitReader(frame, maxFrameErr))
			return errors.Join(fmt.Errorf("the engine says: %s", text), err)
		default:
			return fmt.Errorf("the output is not framed as the Engine API says: it begins with %d", header[0])
		}
	}
}

// ended is nil for a stream that is over, in the middle of a header too: the container has ended.
func ended(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	return err
}
