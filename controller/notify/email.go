package notify

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/textproto"
	"strconv"
	"strings"

	"github.com/wneessen/go-mail"
)

// email sends plain text by SMTP. A repeat has the same Message-ID, and all mails of an incident are one thread.
type email struct {
	host  string
	from  string
	to    []string
	opts  []mail.Option
	calls single
}

func newEmail(settings map[string]string) (sender, error) {
	host, port, err := hostPort(settings["host"], settings["tls"])
	if err != nil {
		return nil, err
	}
	e := email{host: host, from: settings["from"], calls: make(single, 1), opts: []mail.Option{mail.WithPort(port), mail.WithTimeout(Timeout)}}
	for address := range strings.SplitSeq(settings["to"], ",") {
		if address = strings.TrimSpace(address); address != "" {
			e.to = append(e.to, address)
		}
	}
	switch settings["tls"] {
	case "", "starttls":
		e.opts = append(e.opts, mail.WithTLSPolicy(mail.TLSMandatory))
	case "tls":
		e.opts = append(e.opts, mail.WithSSL())
	case "none":
		if settings["password"] != "" {
			return nil, errors.New("tls: none would send the password readable; use starttls or tls")
		}
		e.opts = append(e.opts, mail.WithTLSPolicy(mail.NoTLS))
	default:
		return nil, errors.New("tls: write starttls, tls or none")
	}
	if settings["username"] != "" {
		e.opts = append(e.opts, mail.WithSMTPAuth(mail.SMTPAuthAutoDiscover), mail.WithUsername(settings["username"]), mail.WithPassword(settings["password"]))
	}
	if _, err := mail.NewClient(e.host, e.opts...); err != nil {
		return nil, fmt.Errorf("host: %w", err)
	}
	_, err = e.compose(Message{})
	return e, err
}

// hostPort splits host or host:port; the port of submission is 587, of implicit TLS 465 (RFC 8314), of none 25.
func hostPort(text, tls string) (string, int, error) {
	if text == "" {
		return "", 0, errors.New("host: is missing")
	}
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		return strings.Trim(text, "[]"), defaultPort(tls), nil
	}
	n, err := strconv.Atoi(port)
	if err != nil || n < 1 || n > 65535 {
		return "", 0, errors.New("host: the port is not a number from 1 to 65535")
	}
	return host, n, nil
}

func defaultPort(tls string) int {
	switch tls {
	case "tls":
		return mail.DefaultPortSSL
	case "none":
		return mail.DefaultPort
	}
	return mail.DefaultPortTLS
}

func (e email) send(ctx context.Context, m Message) error {
	message, err := e.compose(m)
	if err != nil {
		return err
	}
	client, err := mail.NewClient(e.host, e.opts...)
	if err != nil {
		return err
	}
	// The library looks at the context while it connects, and at its timeout from then on.
	return e.calls.run(ctx, func() error { return transfer(ctx, client, message) })
}

// transfer connects and hands the mail over. What goes wrong after the server has taken it is no failure: the mail would
// be sent twice.
func transfer(ctx context.Context, client *mail.Client, message *mail.Msg) error {
	connection, err := client.DialToSMTPClientWithContext(ctx)
	if err != nil {
		var said *textproto.Error // such as 535, a wrong password
		return &Error{Text: "connect: " + err.Error(), Permanent: errors.As(err, &said) && said.Code >= 500}
	}
	err = client.SendWithSMTPClient(connection, message)
	_ = client.CloseWithSMTPClient(connection)
	var refused *mail.SendError
	if errors.As(err, &refused) {
		return &Error{Text: refused.Error(), Permanent: refused.ErrorCode() >= 500}
	}
	return err
}

// compose writes the mail.
func (e email) compose(m Message) (*mail.Msg, error) {
	message := mail.NewMsg()
	if err := message.From(e.from); err != nil {
		return nil, errors.New("from: not an address")
	}
	if err := message.To(e.to...); err != nil || len(e.to) == 0 {
		return nil, errors.New("to: not a list of addresses")
	}
	message.SetDateWithValue(m.At)
	message.SetMessageIDWithValue(m.ID + "@composure.invalid")
	thread := "<" + m.Incident + "@composure.invalid>"
	message.SetGenHeader(mail.HeaderInReplyTo, thread)
	message.SetGenHeader(mail.HeaderReferences, thread)
	message.SetGenHeader("Auto-Submitted", "auto-generated") // RFC 3834: no vacation replies
	message.Subject(m.title(200))
	message.SetBodyString(mail.TypeTextPlain, m.text())
	return message, nil
}
