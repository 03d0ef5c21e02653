package notify

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/mail"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// certificate is where the server's certificate and key are; TestMain makes both and has the process trust them.
var certificate, key string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "composure-notify-")
	if err == nil {
		certificate, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
		err = errors.Join(makeCertificate(), os.Setenv("SSL_CERT_FILE", certificate), os.Setenv("SSL_CERT_DIR", dir))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

func makeCertificate() error {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "127.0.0.1"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, &private.PublicKey, private)
	if err != nil {
		return err
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(certificate, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600),
		os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}), 0o600))
}

// delivered is a message as the SMTP server took it.
type delivered struct {
	From  string
	To    []string
	TLS   bool
	Login bool
	Data  []byte
}

// smtpServer is a real SMTP server in a process of its own.
type smtpServer struct {
	address string
	out     *bufio.Scanner
}

// startSMTP starts one: mode is none, starttls or tls.
func startSMTP(t *testing.T, mode string) *smtpServer {
	t.Helper()
	path, err := exec.Command("../../hack/smtp.sh").Output()
	if err != nil {
		t.Fatalf("hack/smtp.sh: %v", err)
	}
	command := exec.Command("python3", "testdata/smtpd.py", mode, "0", certificate, key)
	command.Env = append(os.Environ(), "PYTHONPATH="+strings.TrimSpace(string(path)))
	var words bytes.Buffer
	command.Stderr = &words
	out, err := command.StdoutPipe()
	if err == nil {
		err = command.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait()
		if t.Failed() {
			t.Logf("the SMTP server says:\n%s", &words)
		}
	})
	s := &smtpServer{out: bufio.NewScanner(out)}
	s.out.Buffer(nil, 1<<20)
	var ready struct{ Port int }
	s.next(t, &ready)
	s.address = fmt.Sprintf("127.0.0.1:%d", ready.Port)
	return s
}

func (s *smtpServer) next(t *testing.T, into any) {
	t.Helper()
	if !s.out.Scan() {
		t.Fatalf("the SMTP server ended: %v", s.out.Err())
	}
	if err := json.Unmarshal(s.out.Bytes(), into); err != nil {
		t.Fatal(err)
	}
}

const mailPassword = "mail-canary-7d1f" // as testdata/smtpd.py knows it

// TestEmail delivers to a real server, by STARTTLS, TLS and in the clear, and reads the mail as a receiver would.
func TestEmail(t *testing.T) {
	for _, mode := range []string{"starttls", "tls", "none"} {
		t.Run(mode, func(t *testing.T) {
			server := startSMTP(t, mode)
			settings := []string{"host", server.address, "from", "Composure <composure@example.com>", "to", "ops@example.com, lead@example.com", "tls", mode}
			if mode != "none" {
				settings = append(settings, "username", "ops", "password", mailPassword)
			}
			n := notifier(t, "email", settings...)
			for range 2 { // a repeat is recognised by its Message-ID
				if err := n.Send(context.Background(), message("escalated")); err != nil {
					t.Fatal(err)
				}
				var got delivered
				server.next(t, &got)
				if got.TLS != (mode != "none") || got.Login != (mode != "none") || got.From != "composure@example.com" || len(got.To) != 2 {
					t.Errorf("tls %v, login %v, from %s, to %s", got.TLS, got.Login, got.From, got.To)
				}
				checkMail(t, got.Data)
			}
		})
	}
}

func checkMail(t *testing.T, data []byte) {
	t.Helper()
	m, err := mail.ReadMessage(strings.NewReader(string(data)))
	if err != nil {
		t.Fatal(err)
	}
	for header, want := range map[string]string{
		"Message-Id": "<N1@composure.invalid>", "References": "<shop-20260301-100000@composure.invalid>",
		"Subject": "[DEVOPS] shop/api: crash_loop", "Auto-Submitted": "auto-generated",
	} {
		if got := m.Header.Get(header); got != want {
			t.Errorf("%s: %q", header, got)
		}
	}
	body, err := io.ReadAll(m.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"3 attempts did not help", "exited with 1", "composure incidents ack"} {
		if !strings.Contains(strings.ReplaceAll(string(body), "=\r\n", ""), want) {
			t.Errorf("the body lacks %q:\n%s", want, body)
		}
	}
}

// TestEmailRefused: what the server refuses for good is permanent; nothing is sent in the clear that was to be
// encrypted; and no error shows the password.
func TestEmailRefused(t *testing.T) {
	starttls, none := startSMTP(t, "starttls"), startSMTP(t, "none")
	cases := []struct {
		name, host, to, password, tls string
		permanent                     bool
	}{
		{"busy", starttls.address, "busy@example.com", mailPassword, "starttls", false},
		{"unknown receiver", starttls.address, "unknown@example.com", mailPassword, "starttls", true},
		{"wrong password", starttls.address, "ops@example.com", canary, "starttls", true},
		{"no TLS there", none.address, "ops@example.com", mailPassword, "starttls", false},
		{"unknown certificate", strings.Replace(starttls.address, "127.0.0.1", "localhost", 1), "ops@example.com", mailPassword, "starttls", false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			n := notifier(t, "email", "host", c.host, "from", "a@example.com", "to", c.to, "username", "ops", "password", c.password, "tls", c.tls)
			err := n.Send(context.Background(), message("escalated"))
			var e *Error
			if !errors.As(err, &e) || e.Permanent != c.permanent {
				t.Fatalf("%v, permanent %v", err, e != nil && e.Permanent)
			}
			if strings.Contains(err.Error(), c.password) {
				t.Errorf("shows the password: %v", err)
			}
		})
	}
}
