package notify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v4"

	"composure/controller/incident"
)

// Due is one announcement on its way through one channel.
type Due struct {
	ID       string // of the notification, the same in every try
	Channel  string
	Payload  []byte // an incident.Announcement as JSON
	Created  time.Time
	Attempts int       // including this one
	Next     time.Time // when it is due again unless Delivered is called
}

// Outbox is where announcements wait. Implementations are safe for concurrent use.
type Outbox interface {
	// Claim returns up to limit deliveries through a channel that are due, and keeps them from others for so long. What was
	// never tried comes first: an alarm does not wait for what a receiver missed that was down.
	Claim(ctx context.Context, channel string, now time.Time, keep time.Duration, limit int) ([]Due, error)
	// Behind returns until when an earlier message of the same incident and tier is on its way through a channel; zero when
	// none is.
	Behind(ctx context.Context, id, channel string) (time.Time, error)
	// Delivered records that a channel has taken a notification.
	Delivered(ctx context.Context, id, channel string, at time.Time) error
	// Retry records why it has not, and when it is due again.
	Retry(ctx context.Context, id, channel, reason string, next time.Time) error
}

// Payload is what goes into the outbox for an announcement.
func Payload(a incident.Announcement) ([]byte, error) { return json.Marshal(a) }

// Config is what a Deliverer works with.
type Config struct {
	Outbox   Outbox
	Channels []Channel
	Logger   *slog.Logger
	Poll     time.Duration // between two looks into the outbox when nobody calls Wake; 0: 15 s
}

// Deliverer empties the outbox. Each channel takes what is its own and delivers it, one message after the other: one that
// hangs or fails holds up no other. What is for a channel that is not configured any more stays where it is.
type Deliverer struct {
	Config
	wake map[string]chan struct{} // by channel
}

// Bounds of the work at hand.
const (
	batch  = 8               // claimed in one look: what has just come waits for no more
	keep   = 5 * time.Minute // a process that dies leaves its claims due again after this
	record = 5 * time.Second // for recording an outcome, also when the process is told to end
)

// NewDeliverer returns a deliverer; Run or Flush starts it.
func NewDeliverer(c Config) *Deliverer {
	if c.Poll <= 0 {
		c.Poll = 15 * time.Second
	}
	d := &Deliverer{Config: c, wake: map[string]chan struct{}{}}
	for _, channel := range c.Channels {
		d.wake[channel.Name()] = make(chan struct{}, 1)
	}
	return d
}

// Wake makes Run look into the outbox now. It never waits.
func (d *Deliverer) Wake() {
	for channel := range d.wake {
		d.wakeOne(channel)
	}
}

func (d *Deliverer) wakeOne(channel string) {
	select {
	case d.wake[channel] <- struct{}{}:
	default:
	}
}

// Run delivers until ctx ends. What is being sent then is given up and is due again at once; Run returns when that is
// recorded. An outbox that fails is asked again later. A deliverer runs once at a time.
func (d *Deliverer) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	for channel := range d.wake {
		wg.Go(func() { d.work(ctx, channel) })
	}
	<-ctx.Done()
	wg.Wait()
	return nil
}

// Flush tries everything that is due now, once, and returns when that is done. It is for commands that end; what was not
// taken stays in the outbox. The error says what failed.
func (d *Deliverer) Flush(ctx context.Context) error {
	var wg sync.WaitGroup
	failed := make(chan error, len(d.wake))
	for channel := range d.wake {
		wg.Go(func() {
			for {
				n, err := d.deliverDue(ctx, channel, func(Due, error) {})
				if n == 0 || err != nil {
					failed <- err
					return
				}
			}
		})
	}
	wg.Wait()
	close(failed)
	errs := []error{ctx.Err()}
	for err := range failed {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// work delivers through one channel.
func (d *Deliverer) work(ctx context.Context, channel string) {
	said := ""
	tell := func(one Due, err error) {
		if err == nil {
			d.Logger.Info("notification delivered", "channel", channel, "notification", one.ID, "attempts", one.Attempts)
			said = ""
		} else if text := err.Error(); text != said { // the same failure is told once
			d.Logger.Warn("notification not delivered", "channel", channel, "notification", one.ID, "attempts", one.Attempts, "error", text)
			said = text
		}
	}
	for ctx.Err() == nil {
		n, err := d.deliverDue(ctx, channel, tell)
		var refused *Error
		switch {
		case errors.As(err, &refused) && refused.After > 0:
			d.rest(ctx, nil, refused.After)
		case n < batch || err != nil:
			d.rest(ctx, d.wake[channel], d.Poll)
		}
	}
}

// deliverDue delivers what is due through a channel, up to the first failure: then the receiver is down, and the rest is not
// tried. It returns how much was due, and why not all of it was taken.
func (d *Deliverer) deliverDue(ctx context.Context, channel string, tell func(Due, error)) (int, error) {
	due, err := d.Outbox.Claim(ctx, channel, time.Now(), keep, batch)
	if err != nil {
		if ctx.Err() == nil {
			d.Logger.Warn("the outbox cannot be read", "channel", channel, "error", err)
		}
		return 0, err
	}
	slices.SortStableFunc(due, func(a, b Due) int { return a.Created.Compare(b.Created) })
	for n, one := range due {
		err := d.deliver(ctx, channel, one)
		if errors.Is(err, errBehind) {
			continue
		}
		if ctx.Err() == nil {
			tell(one, err)
		}
		if err == nil {
			continue
		}
		for _, rest := range due[n+1:] {
			d.postpone(ctx, rest, err.Error(), afterAnother(ctx, err, rest.Attempts))
		}
		return len(due), err
	}
	return len(due), nil
}

// afterAnother is how long a message waits that was not tried because another one has failed.
func afterAnother(ctx context.Context, err error, attempts int) time.Duration {
	delay := Delay(attempts)
	var e *Error
	if errors.As(err, &e) {
		delay = max(delay, e.After)
	}
	if ctx.Err() != nil {
		return 0
	}
	return delay
}

// rest waits for a call, for so long at most, or for the end.
func (d *Deliverer) rest(ctx context.Context, call <-chan struct{}, pause time.Duration) {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-call:
	case <-timer.C:
	}
}

// errBehind says that an earlier message of the incident is to be delivered first.
var errBehind = errors.New("waits for an earlier message of the incident")

// deliver sends one message through its channel and records what came of it. A message that was interrupted is due again
// at once: it may have been taken, but nobody knows.
func (d *Deliverer) deliver(ctx context.Context, channel string, one Due) error {
	m := Message{ID: one.ID}
	err := json.Unmarshal(one.Payload, &m.Announcement)
	if err != nil {
		err = &Error{Text: "read the notification " + one.ID + ": it is damaged", Permanent: true}
	} else if until := d.behind(ctx, one, m); !until.IsZero() {
		d.postpone(ctx, one, errBehind.Error(), time.Until(until))
		return errBehind
	} else if err = ctx.Err(); err == nil {
		err = d.send(ctx, channel, m)
	}
	switch {
	case err == nil:
		d.recorded(ctx, func(ctx context.Context) error { return d.Outbox.Delivered(ctx, one.ID, channel, time.Now()) })
	case ctx.Err() != nil:
		d.postpone(ctx, one, "interrupted", 0)
	default:
		d.postpone(ctx, one, err.Error(), wait(err, one.Attempts))
	}
	return err
}

// behind returns until when a message has to wait because an earlier one of its incident and tier is still on its way
// through the channel, or zero: "resolved" before the alarm would leave an alert open for ever.
func (d *Deliverer) behind(ctx context.Context, one Due, m Message) time.Time {
	if m.event() == "escalated" {
		return time.Time{}
	}
	until, err := d.Outbox.Behind(ctx, one.ID, one.Channel)
	if err != nil || until.IsZero() { // late is worse than out of order
		return time.Time{}
	}
	return until.Add(time.Second)
}

func (d *Deliverer) send(ctx context.Context, channel string, m Message) error {
	for _, c := range d.Channels {
		if c.Name() == channel {
			return c.Send(ctx, m)
		}
	}
	return &Error{Text: fmt.Sprintf("no channel %q is configured", channel), Permanent: true}
}

// postpone makes a delivery due again later.
func (d *Deliverer) postpone(ctx context.Context, one Due, why string, later time.Duration) {
	d.recorded(ctx, func(ctx context.Context) error {
		return d.Outbox.Retry(ctx, one.ID, one.Channel, why, time.Now().Add(later))
	})
	if later > 0 && later < d.Poll {
		time.AfterFunc(later, func() { d.wakeOne(one.Channel) })
	}
}

// recorded writes to the outbox, also while the process ends. Without the record the claim runs out, and the message is
// sent again.
func (d *Deliverer) recorded(ctx context.Context, write func(context.Context) error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), record)
	defer cancel()
	if err := write(ctx); err != nil {
		d.Logger.Warn("a delivery is not recorded and will be repeated", "error", err)
	}
}

// longestDelay is between two tries of what the receiver refuses: nothing is dropped, since a setting can be corrected.
const longestDelay = time.Hour

// wait is how long to wait after a failure.
func wait(err error, attempts int) time.Duration {
	var e *Error
	if errors.As(err, &e) && e.Permanent {
		return longestDelay
	}
	delay := Delay(attempts)
	if e != nil {
		delay = max(delay, e.After)
	}
	return delay
}

// Delay is the backoff after so many tries: 5 s, doubled, at most 15 min. The count is what the store keeps, so the
// delays go on where they were after a restart.
func Delay(attempts int) time.Duration {
	b := backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(5*time.Second), backoff.WithMultiplier(2), backoff.WithMaxInterval(15*time.Minute),
		backoff.WithRandomizationFactor(0), backoff.WithMaxElapsedTime(0))
	delay := b.NextBackOff()
	for range min(attempts, 20) - 1 {
		delay = b.NextBackOff()
	}
	return delay
}
