package sim

import (
	"bufio"
	"net"
	"net/http"
	"net/url"
)

// serve answers one request with a status.
func serve(conn net.Conn, status int) {
	defer conn.Close()
	if r, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
		_ = (&http.Response{StatusCode: status, ProtoMajor: 1, ProtoMinor: 1, Request: r, Close: true}).Write(conn)
	}
}

// eventURL stands for an event where chance asks for a request.
func eventURL(id string) *url.URL { return &url.URL{Path: "/" + id} }
