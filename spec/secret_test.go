package spec

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestSecretKey(t *testing.T) {
	for name, want := range map[string]bool{
		"PASSWORD": true, "DB_PASSWORD": true, "POSTGRES_PASSWORD": true, "MYSQL_ROOT_PASSWORD": true, "PGPASSWORD": true, "passwd": true,
		"db.password": true, "dbPassword": true, "SECRET_KEY_BASE": true, "client-secret": true, "AWS_SECRET_ACCESS_KEY": true,
		"GITHUB_TOKEN": true, "token": true, "apiKey": true, "API_KEY": true, "STRIPE_APIKEY": true, "PRIVATE_KEY": true,
		"GOOGLE_APPLICATION_CREDENTIALS": true, "SENTRY_DSN": true, "DATABASE_URL": true, "com.example.auth": true, "JWT_SECRET": true,
		"REDIS_PASS": true, "DB_PWD": true, "MASTER_KEY": true, "APP_KEY": true, "ssh-key": true, "ENCRYPTION_KEYS": true, "routing_key": true, "SMTP_PASSWORD_2": true,
		"MYSQLPASSWORD": true, "NGROK_AUTHTOKEN": true, "authToken": true, "CLIENTSECRET": true, "SLACK_WEBHOOK": true, "webhook": false, "DBPASSWORDFILE": false, "WEBHOOK_ENABLED": false,

		"": false, "PATH": false, "LOG_LEVEL": false, "MONKEY": false, "COMPASS": false, "BYPASS": false, "KEYBOARD": false,
		"PASSWORD_FILE": false, "POSTGRES_PASSWORD_FILE": false, "TOKEN_TTL": false, "PASSWORD_MIN_LENGTH": false,
		"SORT_KEY": false, "SSH_PUBLIC_KEY": false, "PRIVATE_KEY_PATH": false, "POSTGRES_HOST_AUTH_METHOD": false, "KEY_NAME": false, "KEYSTORE": false, "AUTHOR": false, "TOKENIZER": false, "SECRETARY": false, "HOST": false, "API_URL": false, "AUTH_ENABLED": false,
	} {
		if got := SecretKey(name); got != want {
			t.Errorf("SecretKey(%q) = %v", name, got)
		}
	}
}

func TestMask(t *testing.T) {
	for _, c := range []struct{ key, value, want string }{
		{"DB_PASSWORD", "hunter2", "••••••"},
		{"DB_PASSWORD", "", ""},
		{"LOG_LEVEL", "debug", "debug"},
		{"URL", "postgres://app:hunter2@db:5432/app", "postgres://app:••••••@db:5432/app"},
		{"JAVA_OPTS", "-Xmx1g -Dserver.ssl.key-store-password=hunter2 -Da=b", "-Xmx1g -Dserver.ssl.key-store-password=•••••• -Da=b"},
		{"", "JAVA_OPTS=-Dpassword=hunter2", "JAVA_OPTS=-Dpassword=••••••"},
		{"", "panic: token=hunter2", "panic: token=••••••"},
		{"", "a: b: c: secret: hunter2, d", "a: b: c: secret: ••••••, d"},
		{"", "using ghp_0123456789abcdefghijABCDEFGHIJ012345", "using ••••••"},
		{"", "got eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl back", "got •••••• back"},
		{"URL", "redis://:hunter2@cache:6379/0", "redis://:••••••@cache:6379/0"},
		{"URL", "amqp://app:p@ss:w0rd@mq/", "amqp://app:••••••@mq/"},
		{"URL", "http://example.com:8080/a@b", "http://example.com:8080/a@b"},
		{"URL", "http://example.com/path?token=abc&x=1", "http://example.com/path?token=••••••&x=1"},
		{"OPTS", "host=db user=app password=hunter2 dbname=app", "host=db user=app password=•••••• dbname=app"},
		{"OPTS", "password='hunter 2' x=1", "password=•••••• x=1"},
		{"OPTS", `{"password":"hunter2","user":"app"}`, `{"password":••••••,"user":"app"}`},
		{"OPTS", "password:hunter2", "password:••••••"},
		{"OPTS", `{"password": "hunter2", "user": "app"}`, `{"password": ••••••, "user": "app"}`},
		{"HEADER", "Authorization: Bearer abcdef123456", "Authorization: Bearer ••••••"},
		{"HEADER", "authorization: basic YXBwOmh1bnRlcjI=", "authorization: basic ••••••"},
		{"HEADER", "X-Api-Key: abcdef", "X-Api-Key: ••••••"},
		{"command", "server --token abcdef --port 80", "server --token •••••• --port 80"},
		{"command", "server --password=hunter2 -v", "server --password=•••••• -v"},
		{"command", "curl -u app", "curl -u app"},
		{"", "the key A=b is fine", "the key A=b is fine"},
		{"", "-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----", "-----BEGIN PRIVATE KEY-----••••••-----END PRIVATE KEY-----"},
		{"PASSWORD_FILE", "/run/secrets/password", "/run/secrets/password"},
		{"LC", "TOKENIZER=gpt", "TOKENIZER=gpt"},
	} {
		got := Mask(c.key, c.value)
		if got != c.want {
			t.Errorf("Mask(%q, %q) = %q, want %q", c.key, c.value, got, c.want)
		}
		if again := Mask(c.key, got); again != got {
			t.Errorf("masking %q again gives %q", got, again)
		}
	}
}

func TestHide(t *testing.T) {
	secrets := []string{"hunter2hunter2", "hunter2"}
	if got := Hide("redis-server -a hunter2hunter2 -b hunter2", secrets); got != "redis-server -a •••••• -b ••••••" {
		t.Error(got)
	}
	for _, c := range []struct{ text, other, want string }{
		{"login -pold x", "login -p•••••• x", "login •••••• x"},
		{"login -pold", "login -p•••••• x", "••••••"},
		{"login a", "login b", "login a"},
	} {
		if got := HideBeside(c.text, c.other); got != c.want {
			t.Errorf("%q beside %q: %q", c.text, c.other, got)
		}
	}
	for name, want := range map[string]bool{"PASSWORD=hunter2": true, "PASSWORD=short": false, "PWD=/srv/app": false, "PIN=123456": false, "USER=hunter2": false} {
		name, value, _ := strings.Cut(name, "=")
		if got := SecretValue(name, value); got != want {
			t.Errorf("SecretValue(%s, %s) = %v", name, value, got)
		}
	}
}

// TestSecretContents: the lines of what is under secrets, whoever says it.
func TestSecretContents(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"compose.yaml": "services: {web: {image: a, secrets: [file, shell, absent]}}\nsecrets: {file: {file: ./a.txt}, shell: {environment: FROM_SHELL}, absent: {file: ./none.txt}}\n",
		"a.txt":        "first-line\n\nab\n123456\nthe second line\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	stack, err := Load(t.Context(), Options{WorkingDir: dir, Environ: []string{"FROM_SHELL=swordfish"}})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"the second line", "first-line", "swordfish"}
	if got := stack.SecretContents(); !slices.Equal(got, want) || !slices.Equal(stack.Secrets(), want) {
		t.Errorf("%q and %q, expected %q", got, stack.Secrets(), want)
	}
}

// TestMaskLooksForNames: a text that is not searched for assignments has none to a secret's name.
func TestMaskLooksForNames(t *testing.T) {
	for _, word := range secretWords {
		for _, name := range []string{word, strings.ToUpper(word), "APP_" + strings.ReplaceAll(word, "_", "-")} {
			if text := name + "=hunter2"; strings.Contains(Mask("", text), "hunter2") {
				t.Errorf("shown: %s", text)
			}
		}
	}
}
