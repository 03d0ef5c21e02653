package notify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"strings"

	"github.com/nicholas-fedor/shoutrrr"
	"github.com/nicholas-fedor/shoutrrr/pkg/types"
)

// service sends through the notification library, which knows many services by a URL. The library takes no context and
// makes connections of its own, whose redirects it follows.
type service struct {
	to    types.Service
	calls single
}

func newURL(settings map[string]string) (sender, error) {
	address := settings["url"]
	if scheme, _, found := strings.Cut(address, ":"); !found || scheme == "logger" {
		return nil, errors.New("url: names no service that tells people")
	}
	silent := log.New(io.Discard, "", 0) // the library's own words repeat the URL
	locator, err := shoutrrr.NewSender(silent)
	if err != nil {
		return nil, fmt.Errorf("start the notification library: %w", err)
	}
	to, err := locator.Locate(address)
	if err != nil {
		return nil, fmt.Errorf("url: not understood by the notification library: %w", err)
	}
	return service{to: to, calls: make(single, 1)}, nil
}

// urlText is how much is sent, in bytes: the smallest limits of the usual services are near 2,000 characters.
const urlText = 1800

func (s service) send(ctx context.Context, m Message) error {
	params := types.Params{"title": m.title(200)}
	return s.calls.run(ctx, func() error { return s.to.Send(shorten(m.title(200)+"\n"+m.text(), urlText), &params) })
}
