package spec

import (
	"cmp"
	"os"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/compose-spec/compose-go/v2/types"
)

// masked stands where a secret stood.
const masked = "••••••"

// secretWords are the words of a name that say its value is a secret. Several words are joined with "_".
var secretWords = []string{
	"password", "passwd", "passphrase", "pass", "pwd", "pw", "pgpassword", "secret", "secrets", "token", "tokens", "credential", "credentials",
	"key", "keys", "apikey", "accesskey", "privatekey", "secretkey", "jwt", "dsn", "salt", "pepper",
	"auth", "authorization", "basic_auth", "bearer", "cookie", "otp", "pin", "database_url", "db_url", "redis_url", "amqp_url", "mongo_url", "mongodb_uri",
	"connection_string", "webhook_url", "slack_webhook", "discord_webhook", "teams_webhook", "sas", "basicauth", "requirepass", "masterauth",
}

// joinedWords are those of them that people also write without a space before them, as in MYSQLPASSWORD and AUTHTOKEN, and that
// end no other word.
var joinedWords = []string{"password", "passwd", "token", "secret"}

// harmlessEndings are words behind a secret word that make the value harmless: the name of a file, a length, a switch.
var harmlessEndings = []string{
	"file", "path", "dir", "length", "len", "min", "max", "ttl", "expiry", "expires", "expiration", "timeout", "lifetime", "enabled", "disabled", "required",
	"policy", "method", "type", "mode", "algorithm", "header", "name", "field", "url", "uri", "host", "endpoint", "issuer", "audience", "provider",
}

// publicKeys are words before "key" that make it no secret: parts of a data model, or a key that is meant to be known.
var publicKeys = []string{
	"public", "pub", "primary", "foreign", "sort", "partition", "shard", "cache", "object", "lookup", "index", "group", "row", "map", "message", "unique",
	"authorized", "host", "label", "header",
}

// SecretKey says whether the name of a variable, label or build argument says that its value is a secret:
// DB_PASSWORD, apiKey, com.example.token; but not PASSWORD_FILE, TOKEN_TTL, MONKEY or COMPASS.
func SecretKey(name string) bool {
	text := "_" + strings.Join(words(name), "_") + "_"
	for _, word := range secretWords {
		at := strings.LastIndex(text, "_"+word+"_")
		if at < 0 {
			continue
		}
		before, rest := strings.Trim(text[:at], "_"), strings.Trim(text[at+len(word)+1:], "_")
		if strings.HasPrefix(word, "key") && slices.Contains(publicKeys, lastWord(before)) {
			continue
		}
		if rest == "" || !slices.Contains(harmlessEndings, lastWord(rest)) {
			return true
		}
	}
	return false
}

func lastWord(text string) string { return text[strings.LastIndexByte(text, '_')+1:] }

// words splits a name at what is no letter or digit, where a capital follows a small letter, and before joinedWords, in lower
// case.
func words(name string) []string {
	var b strings.Builder
	previous := rune('_')
	for _, r := range name {
		switch {
		case !unicode.IsLetter(r) && !unicode.IsDigit(r):
			r = '_'
		case unicode.IsUpper(r) && unicode.IsLower(previous):
			b.WriteByte('_')
		}
		previous = r
		b.WriteRune(unicode.ToLower(r))
	}
	split := strings.FieldsFunc(b.String(), func(r rune) bool { return r == '_' })
	for i, word := range split {
		for _, secret := range joinedWords {
			if before, joined := strings.CutSuffix(word, secret); joined && before != "" {
				split[i] = before + "_" + secret
			}
		}
	}
	return split
}

// Secrets inside a longer text.
var (
	urlPassword   = regexp.MustCompile(`([a-zA-Z][a-zA-Z0-9+.-]*://[^\s:/?#@"']*):([^\s"'/?#]*)@([^\s@/]*)`)
	assignment    = regexp.MustCompile(`(?i)([a-z0-9_.-]*[a-z0-9_-])(\s*=\s*|["']?\s*:\s+)("[^"]*"|'[^']*'|[^\s,;&"'(){}\[\]]+)`)
	tight         = regexp.MustCompile(`(?i)([a-z0-9_.-]*[a-z0-9_-])(["']?:)("[^"]*"|'[^']*'|[^\s,;&"'(){}\[\]/][^\s,;&"'(){}\[\]]*)`)
	authorization = regexp.MustCompile(`(?i)\b(bearer|basic)\s+([A-Za-z0-9._~+/=-]{6,})`)
	flagValue     = regexp.MustCompile(`(?i)(--?([a-z0-9][a-z0-9_-]*))(\s+)("[^"]*"|'[^']*'|[^\s"'-][^\s"']*)`)
	knownToken    = regexp.MustCompile(`\b(eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{4,}\.[A-Za-z0-9_-]{4,}|gh[pousr]_\w{20,}|github_pat_\w{20,}|glpat-[\w-]{16,}|xox[abeoprs]-[\w-]{10,}|[rs]k_(?:live|test)_\w{16,}|npm_\w{30,})`)
	pemBlock      = regexp.MustCompile(`(?s)(-----BEGIN [A-Z ]*PRIVATE KEY-----).*?(-----END [A-Z ]*PRIVATE KEY-----|$)`)
)

// Mask returns a value as it may be shown: nothing of it when the key is a secret's, else the value with the
// secrets inside it hidden: passwords of URLs, `password=…`, `--token …`, `Authorization: Bearer …`, private keys, and
// tokens that are known by their form, such as JSON web tokens.
// Key may be empty, for free text such as a log line or an error. Masking a masked value changes nothing.
func Mask(key, value string) string {
	if value == "" {
		return ""
	}
	if SecretKey(key) {
		return masked
	}
	// Nearly all texts have none of it, and to see that takes a fraction of a search for the whole form.
	if strings.Contains(value, "-----BEGIN ") {
		value = pemBlock.ReplaceAllString(value, "${1}"+masked+"${2}")
	}
	if strings.Contains(value, "://") {
		value = urlPassword.ReplaceAllString(value, "${1}:"+masked+"@${3}")
	}
	if lower := strings.ToLower(value); slices.ContainsFunc(schemes, func(name string) bool { return strings.Contains(lower, name) }) {
		value = authorization.ReplaceAllString(value, "${1} "+masked)
	}
	if slices.ContainsFunc(tokenMarks, func(mark string) bool { return strings.Contains(value, mark) }) {
		value = knownToken.ReplaceAllString(value, masked)
	}
	if strings.Contains(value, "-") {
		value = replace(flagValue, value, func(m []string) string {
			if !SecretKey(m[2]) {
				return m[0]
			}
			return m[1] + m[3] + masked
		})
	}
	if strings.ContainsAny(value, "=:") && mayName(value) {
		for _, form := range []*regexp.Regexp{assignment, tight} {
			value = maskAssigned(form, value)
		}
	}
	return value
}

// What one of the forms has in it: an authorization in lower case, where the form also takes a long s for an s, and a known token.
var (
	schemes    = []string{"bearer", "basic", "baſic"}
	tokenMarks = []string{"eyJ", "gh", "github_pat_", "glpat-", "xox", "k_live_", "k_test_", "npm_"}
)

// mayName says whether a text may hold the name of a secret: one without any of the words is not searched for assignments.
func mayName(text string) bool {
	lower := strings.ToLower(text)
	return slices.ContainsFunc(wordStems, func(stem string) bool { return strings.Contains(lower, stem) })
}

// wordStems are in the names that have secretWords in them, whatever stands between their words. A stem that holds another one, as
// "pgpassword" does "pass", is left out.
var wordStems = func() []string {
	var stems []string
	for _, word := range secretWords {
		stems = append(stems, word[strings.LastIndexByte(word, '_')+1:])
	}
	slices.SortFunc(stems, func(a, b string) int { return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b)) })
	var least []string
	for _, stem := range stems {
		if !slices.ContainsFunc(least, func(shorter string) bool { return strings.Contains(stem, shorter) }) {
			least = append(least, stem)
		}
	}
	return least
}()

// maskAssigned hides what is assigned to a secret's name. What is assigned to another name may be an assignment itself, as in
// `OPTS=-Dpassword=…` and `panic: token=…`.
func maskAssigned(form *regexp.Regexp, text string) string {
	var b strings.Builder
	for {
		at := form.FindStringSubmatchIndex(text)
		if at == nil {
			b.WriteString(text)
			return b.String()
		}
		name, value, end := strings.TrimPrefix(text[at[2]:at[3]], "-D"), text[at[6]:at[7]], at[6]
		switch {
		case SecretKey(name) && isScheme(value):
			b.WriteString(text[:at[7]])
			end = at[7]
		case SecretKey(name):
			b.WriteString(text[:at[6]] + masked)
			end = at[7]
		default:
			b.WriteString(text[:at[6]])
		}
		text = text[end:]
	}
}

// Secrets are values that must not be shown wherever they appear: of the variables that the files use, and of those of the
// services, whose names say that they are secrets; and SecretContents. The longest come first.
func (s *Stack) Secrets() []string {
	values := s.SecretContents()
	for name, value := range s.project.Environment {
		if SecretValue(name, value) {
			if pos, _ := s.positions.where(func(_ []string, text string) bool { return mentions(text, name) }); pos.File != "" {
				values = append(values, value)
			}
		}
	}
	for _, svc := range s.Services {
		for name, value := range svc.model.Environment {
			if value != nil && SecretValue(name, *value) {
				values = append(values, *value)
			}
		}
	}
	slices.SortFunc(values, func(a, b string) int { return cmp.Or(cmp.Compare(len(b), len(a)), cmp.Compare(a, b)) })
	return slices.Compact(values)
}

// SecretContents are the lines of what the file has under `secrets`, as far as this host can read it.
func (s *Stack) SecretContents() []string {
	if s == nil {
		return nil
	}
	return slices.Clone(s.contents)
}

// maxContent is how large a secret may be whose lines are looked for in other texts, in bytes.
const maxContent = 64 << 10

func secretContents(project *types.Project) []string {
	var lines []string
	for _, secret := range project.Secrets {
		content := cmp.Or(secret.Content, project.Environment[secret.Environment])
		if info, err := os.Stat(secret.File); secret.File != "" && err == nil && info.Mode().IsRegular() && info.Size() <= maxContent {
			text, _ := os.ReadFile(secret.File) // one that cannot be read here is the engine's to mount
			content = string(text)
		}
		for line := range strings.Lines(content) {
			if line = strings.TrimSpace(line); SecretValue("secret", line) {
				lines = append(lines, line)
			}
		}
	}
	slices.SortFunc(lines, func(a, b string) int { return cmp.Or(cmp.Compare(len(b), len(a)), cmp.Compare(a, b)) })
	return slices.Compact(lines)
}

// minSecret is how many bytes a value must have to be looked for in other texts: a shorter one is found by chance.
const minSecret = 6

// SecretValue says whether the value of a variable is a secret worth looking for wherever it may appear: not a path, a
// number, or a word so short that it is found by chance.
func SecretValue(name, value string) bool {
	return len(value) >= minSecret && value[0] != '/' && !isNumber(value) && SecretKey(name)
}

// Hide replaces values by what stands for a secret, wherever they are in a text.
func Hide(text string, values []string) string {
	for _, value := range values {
		text = strings.ReplaceAll(text, value, masked)
	}
	return text
}

// HideBeside hides in one text what stands where the other has a secret: the value from before a change is on record
// nowhere. Texts that do not correspond word by word are hidden as a whole.
func HideBeside(text, other string) string {
	words, others := strings.Fields(text), strings.Fields(other)
	if len(words) != len(others) {
		return masked
	}
	for i := range words {
		if words[i] != others[i] && strings.Contains(others[i], masked) {
			words[i] = masked
		}
	}
	return strings.Join(words, " ")
}

// isScheme says whether the text is the kind of an Authorization header, whose value is masked already.
func isScheme(text string) bool {
	return strings.EqualFold(text, "bearer") || strings.EqualFold(text, "basic")
}

func replace(form *regexp.Regexp, text string, with func(m []string) string) string {
	return form.ReplaceAllStringFunc(text, func(found string) string { return with(form.FindStringSubmatch(found)) })
}
