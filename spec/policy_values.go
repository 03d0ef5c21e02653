package spec

import (
	"fmt"
	"math"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/adhocore/gronx"
	"github.com/docker/go-units"
	"github.com/xhit/go-str2duration/v2"
)

// plain renders a plain YAML value as the text it was written as.
func plain(in any) (string, bool) {
	switch v := in.(type) {
	case string:
		return v, true
	case bool, int, int64, uint64:
		return fmt.Sprint(v), true
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64), true
	}
	return "", false
}

// setScalar reads a plain value into a field. It returns what is wrong and what to do, or nothing.
func setScalar(out reflect.Value, tag reflect.StructTag, in any) (problem, fix string) {
	text, ok := plain(in)
	if !ok {
		return "must be a plain value", "it is a mapping or a list here"
	}
	switch out.Interface().(type) {
	case time.Duration:
		return setDuration(out, text)
	case int64:
		return setSize(out, text)
	case int:
		return setInt(out, tag, text)
	case float64:
		return setNumber(out, tag, text)
	case bool:
		return setBool(out, text)
	}
	if words := accepted(tag); len(words) > 0 && !slices.Contains(words, text) {
		fix = "accepted are " + strings.Join(words, ", ")
		if near := nearest(text, words); near != "" {
			fix = fmt.Sprintf("did you mean %q? Accepted are %s", near, strings.Join(words, ", "))
		}
		return "is not accepted", fix
	}
	if problem, fix = checkText(tag.Get("is"), text); problem == "" {
		out.SetString(text)
	}
	return problem, fix
}

func accepted(tag reflect.StructTag) []string {
	if words := tag.Get("accept"); words != "" {
		return strings.Split(words, ",")
	}
	return nil
}

func setDuration(out reflect.Value, text string) (problem, fix string) {
	duration, err := str2duration.ParseDuration(text)
	if err != nil || duration < 0 {
		return "is not a duration", "write it with a unit, such as 10s, 5m or 1h30m"
	}
	out.SetInt(int64(duration))
	return "", ""
}

func setSize(out reflect.Value, text string) (problem, fix string) {
	size, err := units.RAMInBytes(text)
	if err != nil || size < 0 {
		return "is not a size", "write it with a unit, such as 512m or 2g"
	}
	out.SetInt(size)
	return "", ""
}

func setInt(out reflect.Value, tag reflect.StructTag, text string) (problem, fix string) {
	low, high := 1, math.MaxInt32
	switch tag.Get("is") {
	case "port":
		high = 65535
	case "status":
		low, high = 100, 599
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < low || n > high {
		if high == math.MaxInt32 {
			return "is not a whole number above 0", "write a number such as 3"
		}
		return "is out of range", fmt.Sprintf("write a whole number from %d to %d", low, high)
	}
	out.SetInt(int64(n))
	return "", ""
}

func setNumber(out reflect.Value, tag reflect.StructTag, text string) (problem, fix string) {
	share := tag.Get("is") == "share"
	digits, percent := strings.CutSuffix(text, "%")
	n, err := strconv.ParseFloat(digits, 64)
	if percent && share {
		n /= 100
	}
	switch {
	case share && (err != nil || !(n > 0 && n <= 1)):
		return "is not a share", "write a number above 0 up to 1, or a percentage, such as 0.85 or 85%"
	case err != nil || percent && !share || !(n >= 1 && n <= 100) && !share:
		return "is not a factor", "write a number from 1 to 100, such as 2"
	}
	out.SetFloat(n)
	return "", ""
}

func setBool(out reflect.Value, text string) (problem, fix string) {
	if text != "true" && text != "false" {
		return "is neither true nor false", "write true or false"
	}
	out.SetBool(text == "true")
	return "", ""
}

// checkText checks a text by what it must be.
func checkText(is, text string) (problem, fix string) {
	switch is {
	case "regexp":
		if _, err := regexp.Compile(text); err != nil {
			return "is not a regular expression", "see https://pkg.go.dev/regexp/syntax: " + strings.TrimPrefix(err.Error(), "error parsing regexp: ")
		}
	case "cron":
		if len(strings.Fields(text)) != 5 || !gronx.IsValid(text) {
			return "is not a cron expression", `write five fields: minute, hour, day, month, weekday, such as "0 3 * * 0"`
		}
	case "signal":
		if !knownSignal(text) {
			return "is not a signal", "write its name, such as USR1 or QUIT"
		}
	case "http":
		u, err := url.Parse(text)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return "is not an http address", "write it in full, such as http://localhost:8080/health"
		}
	case "dsn":
		u, err := url.Parse(text)
		if err != nil || u.Host == "" || u.Scheme != "postgres" && u.Scheme != "postgresql" {
			return "is not a connection string", "write it as postgres://user:password@host:5432/database"
		}
	}
	return "", ""
}
