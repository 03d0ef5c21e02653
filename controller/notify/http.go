package notify

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// client is for all that goes over HTTP. It follows no redirect: the message, and the token that goes with it, are for
// the address in the file alone.
var client = &http.Client{
	Timeout:       Timeout,
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// post sends a JSON document. An answer other than 2xx is an error with the beginning of what the receiver said.
func post(ctx context.Context, address string, header http.Header, document any) error {
	body, err := json.Marshal(document)
	if err != nil {
		return fmt.Errorf("encode the message: %w", err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		return errors.New("the address is not usable")
	}
	request.Header = header.Clone()
	if request.Header == nil {
		request.Header = http.Header{}
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", "composure")
	response, err := client.Do(request)
	if err != nil {
		var around *url.Error // whose text has the address
		if errors.As(err, &around) {
			err = around.Err
		}
		return fmt.Errorf("no answer: %w", err)
	}
	defer response.Body.Close()
	said, _ := io.ReadAll(io.LimitReader(response.Body, 4<<10)) // what could be read says more than why not all of it
	return answer(response, string(said))
}

// answer is nil when the receiver took the message.
func answer(response *http.Response, said string) error {
	status := response.StatusCode
	if status >= 200 && status < 300 {
		return nil
	}
	e := &Error{Text: "answered " + response.Status}
	if said = strings.TrimSpace(said); said != "" {
		e.Text += ": " + said
	}
	switch {
	case status >= 300 && status < 400:
		e.Text, e.Permanent = fmt.Sprintf("answered %d, a redirect, which is not followed; write the address it leads to", status), true
	case status == http.StatusRequestTimeout, status == http.StatusTooEarly, status == http.StatusTooManyRequests:
		e.After = retryAfter(response.Header.Get("Retry-After"))
	case status >= 400 && status < 500:
		e.Permanent = true
	default:
		e.After = retryAfter(response.Header.Get("Retry-After"))
	}
	return e
}

// longestWait bounds what a receiver may ask for.
const longestWait = time.Hour

// retryAfter reads the seconds of a Retry-After; a date, which depends on two clocks, counts as nothing.
func retryAfter(text string) time.Duration {
	seconds, err := strconv.Atoi(text)
	if err != nil || seconds < 0 {
		return 0
	}
	return min(time.Duration(min(seconds, 1<<20))*time.Second, longestWait)
}

// endpoint checks an address that messages are posted to.
func endpoint(address string) error {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return errors.New("url: not an http or https address")
	}
	return nil
}
