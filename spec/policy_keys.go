package spec

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"
)

// PolicyKey documents one key of x-composure.
type PolicyKey struct {
	Path     string   // such as remediation.backoff.initial or probes[].http.url
	Type     string   // duration, size, number, share, true or false, word, text, list of …
	Accepted []string // the words accepted; nil: any
	Default  string   // as written in a file; empty: unset
	Doc      string   // one sentence
	Stack    bool     // only at the top level
}

// PolicyKeys lists every key of x-composure in the order of the types: first those of services, which at the top
// level are the defaults of all services, then those of the stack.
func PolicyKeys() []PolicyKey {
	keys := describe(reflect.TypeFor[ServicePolicy](), "")
	for _, k := range describe(reflect.TypeFor[StackPolicy](), "") {
		if !slices.ContainsFunc(keys, func(have PolicyKey) bool { return have.Path == k.Path }) {
			k.Stack = true
			keys = append(keys, k)
		}
	}
	return keys
}

func describe(t reflect.Type, prefix string) []PolicyKey {
	var keys []PolicyKey
	for i := range t.NumField() {
		f := t.Field(i)
		key := f.Tag.Get("key")
		inner, many := elem(f.Type)
		switch {
		case key == "":
		case key == ",settings":
			keys = append(keys, describeSettings(prefix)...)
		case key == ",inline":
			keys = append(keys, describe(f.Type, prefix)...)
		case inner.Kind() == reflect.Struct && many:
			keys = append(keys, describe(inner, prefix+key+"[].")...)
		case inner.Kind() == reflect.Struct:
			keys = append(keys, describe(inner, prefix+key+".")...)
		default:
			keys = append(keys, PolicyKey{
				Path: prefix + key, Type: typeName(inner, many, f.Tag), Accepted: accepted(f.Tag),
				Default: strings.ReplaceAll(f.Tag.Get("default"), ",", ", "), Doc: f.Tag.Get("doc"),
			})
		}
	}
	return keys
}

func describeSettings(prefix string) []PolicyKey {
	var keys []PolicyKey
	for _, kind := range slices.Sorted(maps.Keys(notifierSettings)) {
		for _, s := range notifierSettings[kind] {
			need := " (" + kind + ")"
			if s.required {
				need = " (" + kind + ", required)"
			}
			keys = append(keys, PolicyKey{Path: prefix + s.key, Type: "text", Doc: strings.TrimSuffix(s.doc, ".") + need + "."})
		}
	}
	return keys
}

func elem(t reflect.Type) (inner reflect.Type, many bool) {
	switch t.Kind() {
	case reflect.Slice:
		return t.Elem(), true
	case reflect.Pointer:
		return t.Elem(), false
	}
	return t, false
}

func typeName(t reflect.Type, many bool, tag reflect.StructTag) string {
	name := "text"
	switch is := tag.Get("is"); {
	case t == reflect.TypeFor[time.Duration]():
		name = "duration"
	case t.Kind() == reflect.Int64:
		name = "size"
	case t.Kind() == reflect.Bool:
		name = "true or false"
	case is != "" && is != "status":
		name = map[string]string{"regexp": "regular expression", "http": "URL", "dsn": "connection string"}[is]
		if name == "" {
			name = is
		}
	case t.Kind() == reflect.Int || t.Kind() == reflect.Float64:
		name = "number"
	case tag.Get("accept") != "":
		name = "word"
	}
	if many {
		return "list of " + name + "s"
	}
	return name
}
