package cli

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"composure/test/rig"
)

// canaries are secrets that must not come out anywhere: by their value, where each was put.
type canaries struct {
	mu  sync.Mutex
	put map[string]string
}

// at makes a canary. Its value looks like one that a generator made.
func (c *canaries) at(place string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	value := fmt.Sprintf("cnry%02dq7Zt4Lw9%02x", len(c.put), len(c.put)*37%256)
	c.put[value] = place
	return value
}

// in are the places whose canaries are in a text, as they are or in base64.
func (c *canaries) in(text []byte) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var found []string
	for value, place := range c.put {
		if bytes.Contains(text, []byte(value)) || bytes.Contains(text, []byte(base64.StdEncoding.EncodeToString([]byte(value))[:16])) {
			at := bytes.Index(text, []byte(value))
			found = append(found, fmt.Sprintf("%s (%s): …%.200q", place, value, text[max(0, at-120):]))
		}
	}
	slices.Sort(found)
	return found
}

// placeholder is `{{what it is}}` in a file of the stack: each gets a canary of its own, the same text the same one.
var placeholder = regexp.MustCompile(`\{\{([^}]+)\}\}`)

func (c *canaries) fill(text string) string {
	return placeholder.ReplaceAllStringFunc(text, func(found string) string {
		place := placeholder.FindStringSubmatch(found)[1]
		c.mu.Lock()
		for value, p := range c.put {
			if p == place {
				c.mu.Unlock()
				return value
			}
		}
		c.mu.Unlock()
		return c.at(place)
	})
}

// nest is a stack with secrets wherever people put them. What its containers say when they start, when they are asked and
// when they fail has secrets in every form that logs have.
const nest = `x-composure:
  min_healthy: 500ms
  remediation: {attempts: 1, stable: 2s, stop_grace: 1s, backoff: {initial: 200ms, factor: 1, max: 200ms, reset: 1h}}
  notify:
    - {type: webhook, url: 'HOOK/hook/{{webhook path}}?key={{webhook query}}', token: '{{webhook token}}'}
    - {type: email, host: MAIL, from: composure@example.com, to: ops@example.com, tls: none}
    - {type: email, host: '127.0.0.1:1', from: composure@example.com, to: ops@example.com, username: '{{mail login}}', password: '{{mail password}}'}
    - {type: slack, url: 'http://127.0.0.1:1/services/{{slack path}}'}
    - {type: pagerduty, routing_key: '{{pagerduty key}}', url: 'http://127.0.0.1:1/enqueue'}
    - {type: url, url: 'generic://127.0.0.1:1/{{url of the catch-all}}?disabletls=yes'}
services:
  app:
    image: composure-test/busybox:1
    command: [sh, -c, 'cat /leaks/*; env; cat /run/secrets/*; echo "$$@"; while :; do sleep 1; done', app, --token, '{{argument}}', '--password={{argument with =}}', '-H', 'Authorization: Bearer {{argument, header}}', 'postgres://app:{{argument, DSN}}@db/x']
    stop_signal: SIGKILL
    restart: always
    env_file: [app.env]
    environment:
      API_KEY: '{{environment}}'
      DATABASE_URL: 'postgres://app:{{environment, DSN}}@db/app'
      BROKER: 'amqp://app:{{environment, URL under a plain name}}@mq/'
      AWS_SECRET_ACCESS_KEY: '{{environment, AWS}}'
      JAVA_OPTS: '-Dserver.ssl.key-store-password={{environment, inside of options}}'
      SENTRY_DSN: 'https://{{environment, DSN that is a key}}@sentry.example.com/1'
      LDAP_BIND_PW: '{{environment, abbreviated}}'
      TLS_KEY: "-----BEGIN EC PRIVATE KEY-----\nMHc{{environment, private key}}\n-----END EC PRIVATE KEY-----"
      FROM_SHELL_TOKEN: '${SHELL_TOKEN}'
    labels:
      com.example.token: '{{label}}'
      login: 'user=app password={{label, inside of its text}}'
      traefik.http.middlewares.a.basicauth.users: 'admin:{{label, traefik}}'
    logging: {driver: json-file, options: {max-size: 1m, labels: com.example.token, env: API_KEY}}
    secrets: [from_file, from_shell]
    configs: [{source: leaks, target: /leaks/leaks}, {source: health, target: /health}, {source: probe, target: /probe}]
    healthcheck: {test: ['CMD-SHELL', 'cat /health; : --password {{healthcheck, argument}}; test ! -e /tmp/ill'], interval: 1s, timeout: 10s, retries: 2}
    x-composure:
      probes:
        - {exec: {command: [sh, -c, 'cat /probe; test ! -e /tmp/ill', x, --token, '{{probe, argument}}']}, interval: 2s, timeout: 2s, failures: 1}
        - {http: {url: 'PROBE/health?token={{probe, query}}', body: fine}, interval: 2s, timeout: 2s, failures: 1}
      integrity: [{name: files, command: [sh, -c, 'cat /probe; test ! -e /tmp/ill', x, --api-key, '{{integrity, argument}}']}]
      signatures: [{pattern: 'connections', cause: connection_pool_exhausted}]
  crash:
    image: composure-test/busybox:1
    command: [sh, -c, 'cat /leaks; until test -e /tmp/ill; do sleep 0.2; done; cat /leaks; exit 3']
    stop_signal: SIGKILL
    restart: always
    configs: [{source: crash, target: /leaks}]
  db:
    image: composure-test/postgres:15
    stop_signal: SIGKILL
    environment: {POSTGRES_PASSWORD: '{{database}}', POSTGRES_DB: ledger}
    healthcheck: {test: [CMD, pg_isready, --quiet, --host=127.0.0.1, --username=postgres, --dbname=ledger], interval: 1s, timeout: 10s, retries: 5, start_period: 60s}
    x-composure:
      probes: [{postgres: {dsn: 'postgres://postgres:{{database}}@db/ledger?application_name=x'}, interval: 2s, timeout: 2s, failures: 1}]
      integrity: [{name: rows, sql: SELECT 1, dsn: 'postgres://postgres:{{database}}@db/ledger'}]
secrets:
  from_file: {file: ./secret.txt}
  from_shell: {environment: SHELL_SECRET}
configs:
  leaks: {content: "password={{log}}\n{\"user\":\"app\",\"password\":\"{{log, JSON}}\"}\nAuthorization: Bearer {{log, bearer}}\nGET https://app:{{log, URL}}@example.com/\nSet-Cookie: session={{log, cookie}}\napi_key: {{log, YAML}}\nX-Api-Key: {{log, header}}\ncurl --token {{log, flag}} x\n-----BEGIN RSA PRIVATE KEY-----\nMIIE{{log, private key}}\n-----END RSA PRIVATE KEY-----\nusing ghp_{{log, token of a known form}}aaaaaaaaaaaaaaaaaaaa\ntoken eyJhbGciOiJIUzI1NiJ9.eyJ{{log, JWT}}.sflKxwRJSMeKKF2QT4fwpMeJf36POk6yJVadQssw5c\n"}
  health: {content: "login with password={{healthcheck output}}\nAuthorization: Basic {{healthcheck output, basic}}\n"}
  probe: {content: "connect to postgres://app:{{exec output, DSN}}@db failed, secret={{exec output}}\n"}
  crash: {content: "too many connections for postgres://crash:{{log of a crash, DSN}}@db/x\npanic: token={{log of a crash}}\n"}
`

// received is what people were sent: the bodies, which have no business to hold a secret.
type received struct {
	mu    sync.Mutex
	texts []string
}

func (r *received) add(text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.texts = append(r.texts, text)
}

func (r *received) all() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.texts)
}

// hook is a receiver of webhooks, and what the HTTP probe asks; it is fine until ill is closed, and answers with a secret.
func hook(t *testing.T, got *received, leak string) (address string, ill func()) {
	sick := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/health" {
			select {
			case <-sick:
				w.WriteHeader(http.StatusInternalServerError)
			default:
				fmt.Fprintln(w, "fine")
			}
			fmt.Fprintln(w, leak)
			return
		}
		body, _ := io.ReadAll(r.Body)
		got.add(string(body))
	}))
	t.Cleanup(server.Close)
	return server.URL, sync.OnceFunc(func() { close(sick) })
}

// mail starts the SMTP server of the notification tests and returns its address; what it takes is received.
func mail(t *testing.T, got *received) string {
	t.Helper()
	path, err := exec.Command("../../hack/smtp.sh").Output()
	if err != nil {
		t.Fatalf("hack/smtp.sh: %v", err)
	}
	cmd := exec.Command("python3", "../../controller/notify/testdata/smtpd.py", "none", "0", "-", "-")
	cmd.Env = append(os.Environ(), "PYTHONPATH="+strings.TrimSpace(string(path)))
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	if !lines.Scan() {
		t.Fatal("the SMTP server does not say its port")
	}
	var ready struct{ Port int }
	if err := json.Unmarshal(lines.Bytes(), &ready); err != nil {
		t.Fatal(err)
	}
	go func() {
		for lines.Scan() {
			var m struct{ Data []byte }
			if json.Unmarshal(lines.Bytes(), &m) == nil {
				got.add(plainMail(string(m.Data)))
			}
		}
	}()
	return fmt.Sprintf("127.0.0.1:%d", ready.Port)
}

// plainMail joins what quoted-printable has split.
func plainMail(text string) string {
	return strings.NewReplacer("=\r\n", "", "=3D", "=").Replace(text)
}

// TestNoSecretComesOut seeds secrets wherever people put them, makes incidents of all kinds happen, and looks for them in
// everything that comes out.
func TestNoSecretComesOut(t *testing.T) {
	t.Parallel()
	c := &canaries{put: map[string]string{}}
	var hooks, mails received
	at, ill := hook(t, &hooks, c.fill(`{"secret": "{{probe, body}}"}`))
	probe := strings.Replace(at, "://", "://probe:"+c.at("probe, password")+"@", 1)
	files := strings.NewReplacer("HOOK", at, "MAIL", mail(t, &mails), "PROBE", probe)
	p := newProject(t, "canary", files.Replace(c.fill(nest)))
	for name, text := range map[string]string{"app.env": "SESSION_SECRET={{env_file}}\nSMTP_URL=smtp://app:{{env_file, URL}}@mail\n", "secret.txt": "{{secret, file}}\n"} {
		if err := os.WriteFile(filepath.Join(p.dir, name), []byte(c.fill(text)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p.env = []string{"SHELL_TOKEN=" + c.at("variable of the shell"), "SHELL_SECRET=" + c.at("secret, from the shell"), "COMPOSURE_TOKEN=" + token}
	if len(c.put) < 50 {
		t.Fatalf("only %d canaries", len(c.put))
	}
	w := &walk{project: p, canaries: c}
	w.says("deployment", w.run(0, "--log-level", "debug", "reconcile", "--once"))
	w.run(0, "baseline", "capture")
	w.strangers()
	site, remediator := w.remediate()

	p.eventually("the container that was renamed has its name again", func() bool { return p.docker("ps", "-q", "--filter", "name=^/"+p.name+"-crash-1$") != "" })
	for _, service := range []string{"app", "crash"} {
		p.docker("exec", p.name+"-"+service+"-1", "touch", "/tmp/ill")
	}
	ill()
	p.docker("stop", p.name+"-db-1")
	p.eventually("incidents of app and crash are with people, by mail and by webhook", func() bool {
		text := strings.Join(hooks.all(), "\n")
		return len(mails.all()) > 0 && strings.Contains(text, `"app"`) && strings.Contains(text, `"crash"`) && len(read[incidents](p, "incidents", "list").Incidents) >= 2
	})
	w.commands()
	w.pages(site)
	w.edited()
	for i, text := range append(hooks.all(), mails.all()...) {
		w.says(fmt.Sprintf("notification %d", i), text)
	}
	_ = remediator.Process.Signal(syscall.SIGQUIT) // the runtime ends it as it does after a panic, with the stacks of all goroutines
	_ = remediator.Wait()
	log := remediator.Stderr.(*rig.Lines).String()
	if !strings.Contains(log, "goroutine ") || !strings.Contains(log, "level=DEBUG") {
		t.Errorf("the remediator did not say all it could:\n%s", log)
	}
	w.says("log and stacks of the remediator", log)
	w.files()
	t.Logf("%d canaries, %d outputs of %d bytes", len(c.put), w.outputs, w.bytes)
}
