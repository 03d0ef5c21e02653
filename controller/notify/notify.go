// Package notify tells people about incidents: by webhook, Slack, email, PagerDuty, or whatever the notification library
// knows by its URL.
//
// What is to be told waits in an outbox until each channel has taken it. Delivery is at least once: a process that dies
// between a receiver's answer and the record of it sends again. Every repeat carries the same message id (webhook: id
// and Idempotency-Key; email: Message-ID; PagerDuty: dedup_key), so a receiver can tell. Slack and URL services have no
// place for one: there, such a death shows as a message that stands twice.
//
// A channel that fails holds up no other one. No setting of a channel, which may hold secrets, is ever in an error.
package notify

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"composure/controller/incident"
	"composure/spec"
)

// Notifier is one way to tell people. It is safe for concurrent use.
type Notifier interface {
	// Name is the channel's name in the outbox.
	Name() string
	// Send delivers a message, or returns an *Error. It ends when ctx does, and after Timeout at the latest.
	Send(ctx context.Context, m Message) error
}

// Timeout bounds every delivery.
const Timeout = 15 * time.Second

// Message is one announcement on its way. ID is the same for every try and every channel.
type Message struct {
	ID string
	incident.Announcement
}

// Error is why a message was not taken. Its text holds no setting of the channel and no more than a short, neutralised
// piece of what the receiver said.
type Error struct {
	Text      string
	Permanent bool          // the receiver refused it, and will again: the setting must change
	After     time.Duration // not to be tried before, says the receiver; 0: it says nothing
}

func (e *Error) Error() string { return e.Text }

// kinds are the notifiers: to add one, add a row, a file, and its settings in spec.
var kinds = map[string]func(settings map[string]string) (sender, error){
	"webhook":   newWebhook,
	"slack":     newSlack,
	"email":     newEmail,
	"pagerduty": newPagerDuty,
	"url":       newURL,
}

// sender is what one kind of notifier does. Its errors may say anything: guard takes the settings out of them.
type sender interface {
	send(ctx context.Context, m Message) error
}

// New returns the notifier that a policy asks for, named by its type. The error names the place in the file and none of
// the settings.
func New(n spec.Notifier) (Notifier, error) {
	return build(n, n.Type)
}

func build(n spec.Notifier, name string) (*guard, error) {
	kind, known := kinds[n.Type]
	if !known {
		return nil, fmt.Errorf("%s: notify: unknown type %q", n.Pos, n.Type)
	}
	g := &guard{name: name, secrets: secretsOf(n)}
	s, err := kind(n.Set)
	if err != nil {
		return nil, fmt.Errorf("%s: notify: %s: %s", n.Pos, n.Type, g.scrub(err.Error()))
	}
	g.sender = s
	return g, nil
}

// Channel is a notifier of a stack's policy with the tiers that it is for.
type Channel struct {
	Notifier
	tiers []string
}

// Channels returns the channels of a policy, named `<type>`, `<type>-2` and so on in the order of the file.
func Channels(policy []spec.Notifier) ([]Channel, error) {
	var all []Channel
	count := map[string]int{}
	var errs []error
	for _, n := range policy {
		count[n.Type]++
		name := n.Type
		if count[n.Type] > 1 {
			name = fmt.Sprintf("%s-%d", n.Type, count[n.Type])
		}
		g, err := build(n, name)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		all = append(all, Channel{Notifier: g, tiers: n.Tiers})
	}
	return all, errors.Join(errs...)
}

// Names are the channels that a tier is told through.
func Names(channels []Channel, tier incident.Tier) []string {
	var names []string
	for _, c := range channels {
		if len(c.tiers) == 0 || slices.Contains(c.tiers, string(tier)) {
			names = append(names, c.Name())
		}
	}
	return names
}

// guard runs a sender: bounded in time, without the channel's settings in what it says.
type guard struct {
	name    string
	secrets []string
	sender  sender
}

func (g *guard) Name() string { return g.name }

func (g *guard) Send(ctx context.Context, m Message) error {
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	err := g.sender.send(ctx, m)
	if err == nil {
		return nil
	}
	clean := &Error{Text: "send to " + g.name + ": "}
	var e *Error
	if errors.As(err, &e) {
		clean.Permanent, clean.After = e.Permanent, e.After
	}
	if errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("no answer within %s", Timeout)
	}
	clean.Text += g.scrub(err.Error())
	return clean
}
