package engine

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
)

// session is what BuildKit asks back during a build: credentials of registries, secrets, ssh agents. The engine calls it
// by gRPC over one upgraded connection (moby/buildkit session). Of gRPC this takes a frame of five bytes and a status
// in the trailers, which net/http's HTTP/2 carries; BuildKit's own package would add 8 to 11 MB to the program and 150
// packages for the same five methods.
type session struct {
	id     string
	conn   net.Conn
	server *http.Server
	unary  map[string]func(request []byte) ([]byte, error)
	stream map[string]func(ctx context.Context, header http.Header, s *grpcStream) error
}

// Status codes of gRPC.
const (
	grpcNotFound      = 5
	grpcUnimplemented = 12
	grpcInternal      = 13
)

// grpcError is an error with a status of gRPC.
type grpcError struct {
	code int
	text string
}

func (e *grpcError) Error() string { return e.text }

// maxGRPCMessage bounds what is read at once; a chunk of an agent's conversation is the largest there is.
const maxGRPCMessage = 4 << 20

// openSession announces the session's methods to the engine and answers its calls until Close.
func (e *Engine) openSession(ctx context.Context, s *session) error {
	s.id = rand.Text()
	s.unary["/grpc.health.v1.Health/Check"] = func([]byte) ([]byte, error) { return []byte{1 << 3, 1}, nil } // status: SERVING
	header := http.Header{
		"X-Docker-Expose-Session-Uuid": {s.id}, "X-Docker-Expose-Session-Name": {"composure"},
	}
	for method := range s.unary {
		header.Add("X-Docker-Expose-Session-Grpc-Method", method)
	}
	for method := range s.stream {
		header.Add("X-Docker-Expose-Session-Grpc-Method", method)
	}
	dialing, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	conn, err := e.api().DialHijack(dialing, "/session", "h2c", header)
	if err != nil {
		return fmt.Errorf("open a build session: %w", classify(err))
	}
	s.conn = conn
	s.server = &http.Server{Handler: s, Protocols: new(http.Protocols)}
	s.server.Protocols.SetUnencryptedHTTP2(true)
	go func() { _ = s.server.Serve(&oneConnection{conn: conn, closed: make(chan struct{})}) }()
	return nil
}

// Close ends the session.
func (s *session) Close() {
	_ = s.server.Close()
	_ = s.conn.Close()
}

// ServeHTTP answers one call.
func (s *session) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/grpc")
	err := s.answer(&grpcStream{in: r.Body, out: w, flush: http.NewResponseController(w).Flush}, r)
	code, text := 0, ""
	if err != nil {
		code, text = grpcInternal, err.Error()
		if known := (*grpcError)(nil); errors.As(err, &known) {
			code = known.code
		}
	}
	w.Header().Set(http.TrailerPrefix+"Grpc-Status", strconv.Itoa(code))
	w.Header().Set(http.TrailerPrefix+"Grpc-Message", text)
}

func (s *session) answer(stream *grpcStream, r *http.Request) error {
	if handle, ok := s.stream[r.URL.Path]; ok {
		return handle(r.Context(), r.Header, stream)
	}
	handle, ok := s.unary[r.URL.Path]
	if !ok {
		return &grpcError{grpcUnimplemented, "unknown method " + r.URL.Path}
	}
	request, err := stream.read()
	if err != nil {
		return err
	}
	response, err := handle(request)
	if err != nil {
		return err
	}
	return stream.write(response)
}

// grpcStream reads and writes length-prefixed messages.
type grpcStream struct {
	in    io.Reader
	out   io.Writer
	flush func() error
}

func (s *grpcStream) read() ([]byte, error) {
	var prefix [5]byte
	if _, err := io.ReadFull(s.in, prefix[:]); err != nil {
		return nil, err
	}
	length := binary.BigEndian.Uint32(prefix[1:])
	if prefix[0] != 0 || length > maxGRPCMessage {
		return nil, fmt.Errorf("message of %d bytes, compressed %v", length, prefix[0] != 0)
	}
	message := make([]byte, length)
	_, err := io.ReadFull(s.in, message)
	return message, err
}

func (s *grpcStream) write(message []byte) error {
	framed := binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message)))
	if _, err := s.out.Write(append(framed, message...)); err != nil {
		return err
	}
	return s.flush()
}

// oneConnection is a listener with one connection to accept.
type oneConnection struct {
	conn   net.Conn
	given  bool
	closed chan struct{}
	once   sync.Once
}

func (l *oneConnection) Accept() (net.Conn, error) {
	if !l.given {
		l.given = true
		return l.conn, nil
	}
	<-l.closed
	return nil, net.ErrClosed
}

func (l *oneConnection) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *oneConnection) Addr() net.Addr { return l.conn.LocalAddr() }

// field returns the value of a field of an encoded message, "" when it is not there.
func field(encoded []byte, wanted int) string {
	var found string
	eachField(encoded, func(number int, value []byte) {
		if number == wanted {
			found = string(value)
		}
	})
	return found
}

// appendField encodes a field of bytes or text.
func appendField(encoded []byte, number int, value []byte) []byte {
	encoded = binary.AppendUvarint(encoded, uint64(number)<<3|2)
	encoded = binary.AppendUvarint(encoded, uint64(len(value)))
	return append(encoded, value...)
}
