package main

import (
	"context"
	"log/slog"
	"reflect"
	"sync"
	"time"

	"composure/controller/incident"
	"composure/controller/notify"
	"composure/controller/store"
	"composure/spec"
)

// postman delivers what people are to be told through the channels that the compose file names now. It is safe for concurrent
// use.
type postman struct {
	outbox outbox
	log    *slog.Logger

	mu       sync.Mutex
	policy   []spec.Notifier // as read last, also when it cannot be used
	channels []notify.Channel
	at       *notify.Deliverer // what delivers now
	replaced chan struct{}     // closed when another one takes over
}

// newPostman returns a postman for a policy, or says what is wrong with it.
func newPostman(b *store.Buffered, policy []spec.Notifier, log *slog.Logger) (*postman, error) {
	p := &postman{outbox: outbox{b}, log: log}
	return p, p.read(policy)
}

// read makes the channels of a policy. The last ones stay when it cannot be used. The caller holds mu.
func (p *postman) read(policy []spec.Notifier) error {
	p.policy = policy
	channels, err := notify.Channels(policy)
	if err != nil {
		return err
	}
	if p.replaced != nil {
		close(p.replaced)
	}
	p.channels, p.replaced = channels, make(chan struct{})
	p.at = notify.NewDeliverer(notify.Config{Outbox: p.outbox, Channels: channels, Logger: p.log})
	return nil
}

// follow takes over the settings of a file that was read again. What has failed is tried at once: a setting that was wrong
// may be right now.
func (p *postman) follow(ctx context.Context, policy []spec.Notifier) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if reflect.DeepEqual(policy, p.policy) {
		return
	}
	if err := p.read(policy); err != nil {
		p.log.Error("the new settings of notify cannot be used; people are told as before", "error", err)
		return
	}
	p.retry(ctx)
	p.log.Info("people are told by new settings", "channels", len(p.channels))
}

// retry makes due what has failed before.
func (p *postman) retry(ctx context.Context) {
	if err := p.outbox.RetryNow(ctx, time.Now()); err != nil {
		p.log.Warn("deliveries that have failed are not tried at once", "error", err)
	}
}

// to are the names of the channels that a tier is told through.
func (p *postman) to(tier incident.Tier) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return notify.Names(p.channels, tier)
}

// wake has what was just put into the outbox delivered.
func (p *postman) wake() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.at.Wake()
}

// run delivers until ctx ends.
func (p *postman) run(ctx context.Context) {
	for ctx.Err() == nil {
		p.mu.Lock()
		now, replaced := p.at, p.replaced
		p.mu.Unlock()
		if err := untilClosed(ctx, replaced, now.Run); err != nil {
			p.log.Error("delivery ended", "error", err)
		}
	}
}

// untilClosed runs f until ctx ends or a channel is closed.
func untilClosed(ctx context.Context, over <-chan struct{}, f func(context.Context) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-over:
			cancel()
		case <-ctx.Done():
		}
	}()
	return f(ctx)
}

// outbox is the store's outbox as the deliverer sees it.
type outbox struct{ *store.Buffered }

// Claim implements notify.Outbox.
func (o outbox) Claim(ctx context.Context, channel string, now time.Time, keep time.Duration, limit int) ([]notify.Due, error) {
	claimed, err := o.ClaimDue(ctx, channel, now, keep, limit)
	var due []notify.Due
	for _, d := range claimed {
		due = append(due, notify.Due{ID: d.ID, Channel: d.Channel, Payload: d.Payload, Created: d.Created, Attempts: d.Attempts, Next: d.Next})
	}
	return due, err
}
