package notify

import (
	"context"
	"strings"
)

// slack posts to an incoming webhook. All words stand in plain_text objects, in which Slack reads neither formatting nor
// mentions nor links; the text shown in previews is escaped as Slack asks for.
type slack struct{ address, channel string }

func newSlack(settings map[string]string) (sender, error) {
	s := slack{address: settings["url"], channel: settings["channel"]}
	return s, endpoint(s.address)
}

// Limits of Block Kit, in characters; held in bytes, which is never more.
const (
	slackHeader  = 150
	slackSection = 3000
)

type slackMessage struct {
	Channel string       `json:"channel,omitempty"`
	Text    string       `json:"text"`
	Blocks  []slackBlock `json:"blocks"`
}

type slackBlock struct {
	Type     string      `json:"type"`
	Text     *slackText  `json:"text,omitempty"`
	Elements []slackText `json:"elements,omitempty"`
}

type slackText struct {
	Type  string `json:"type"`
	Text  string `json:"text"`
	Emoji bool   `json:"emoji"`
}

// slackEscape is Slack's own rule for text: with these three as references nothing is a mention or a link.
var slackEscape = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

func (s slack) send(ctx context.Context, m Message) error {
	message := slackMessage{Channel: s.channel, Text: slackEscape.Replace(m.title(slackSection))}
	words := func(text string, limit int) *slackText {
		return &slackText{Type: "plain_text", Text: shorten(text, limit)}
	}
	message.Blocks = []slackBlock{
		{Type: "header", Text: words(m.title(slackHeader), slackHeader)},
		{Type: "section", Text: words(strings.Join(m.lines(), "\n"), slackSection)},
	}
	if proof := strings.Join(m.Body.Proof, "\n"); proof != "" {
		message.Blocks = append(message.Blocks, slackBlock{Type: "section", Text: words("What proves it\n"+proof, slackSection)})
	}
	if steps := strings.Join(m.Body.Steps, "\n"); steps != "" {
		message.Blocks = append(message.Blocks, slackBlock{Type: "section", Text: words("Decision tree\n"+steps, slackSection)})
	}
	foot := words(m.Body.ID+" · composure incidents show "+m.Body.ID, slackSection)
	message.Blocks = append(message.Blocks, slackBlock{Type: "context", Elements: []slackText{*foot}})
	return post(ctx, s.address, nil, message)
}
