package spec

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// extension is the key of the policy, at the top level and in services.
const extension = "x-composure"

// readPolicy decodes the policy of the stack and of every service. The values are compose-go's, merged and
// interpolated; the places are the index's.
func (s *Stack) readPolicy() error {
	d := &decoder{positions: s.positions}
	setDefaults(reflect.ValueOf(&s.Policy).Elem())
	d.decode(reflect.ValueOf(&s.Policy).Elem(), s.project.Extensions[extension], []string{extension})
	for _, pos := range s.positions.lost(extension) {
		s.warn(pos.String() + ": " + extension + ": has no effect at the top of an included file; move it to the file that includes it")
	}
	for _, m := range s.positions.misplaced() {
		if m.path[len(m.path)-1] == extension {
			d.errs = append(d.errs, &Error{Pos: m.pos, Key: keyText(m.path), Problem: "has no effect here", Fix: "move it to the service, or to the top of the file"})
		} else {
			s.warn(fmt.Sprintf("%s: %s: has no effect; did you mean %q?", m.pos, keyText(m.path), extension))
		}
	}
	for _, svc := range s.Services {
		svc.Policy = s.Policy.Defaults
		s.labelledMode(svc)
		d.decode(reflect.ValueOf(&svc.Policy).Elem(), svc.model.Extensions[extension], []string{"services", svc.Name, extension})
	}
	return joined(d.errs)
}

// labelledMode honours the labels of autoheal, so that people can move over: `autoheal=true` heals, `autoheal=false` only
// observes, `autoheal.stop.timeout` is the grace of a restart in seconds. AUTOHEAL_CONTAINER_LABEL names another label, and
// "all" none, as it does there. x-composure of the service itself wins.
func (s *Stack) labelledMode(svc *Service) {
	if seconds, err := strconv.ParseUint(svc.model.Labels["autoheal.stop.timeout"], 10, 16); err == nil {
		svc.Policy.Remediation.StopGrace = time.Duration(seconds) * time.Second
	}
	label := cmp.Or(s.project.Environment["AUTOHEAL_CONTAINER_LABEL"], "autoheal")
	value, ok := svc.model.Labels[label]
	switch {
	case !ok || label == "all":
	case value == "true":
		svc.Policy.Mode = "heal"
	case value == "false":
		svc.Policy.Mode = "observe"
	default:
		s.warn(fmt.Sprintf("%s: services.%s.labels.%s: is neither true nor false and has no effect; use x-composure.mode",
			svc.Pos("labels", label), svc.Name, label))
	}
}

// decoder fills the policy types from plain values, strictly. It goes on after an error, to report all of them.
type decoder struct {
	positions *Positions
	errs      []*Error
}

// fail records what is wrong with a key.
func (d *decoder) fail(path []string, problem, fix string) {
	d.errs = append(d.errs, &Error{Pos: d.positions.Of(path...), Key: keyText(path), Problem: problem, Fix: fix})
}

// keyText renders a path as people write it: services.api.x-composure.probes[0].http.
func keyText(path []string) string {
	return strings.ReplaceAll(strings.Join(path, "."), ".[", "[")
}

// decode fills a struct from a mapping. Nothing (an empty section) changes nothing.
func (d *decoder) decode(out reflect.Value, in any, path []string) {
	if in == nil {
		return
	}
	mapping, ok := in.(map[string]any)
	if !ok {
		d.fail(path, "must be a mapping", "its keys are "+strings.Join(validKeys(out), ", "))
		return
	}
	before := len(d.errs)
	fields := fieldsOf(out)
	for _, key := range slices.Sorted(maps.Keys(mapping)) {
		at := append(slices.Clone(path), key)
		if f, ok := fields[key]; ok {
			d.field(f, mapping[key], at)
		} else if !d.setting(out, key, mapping[key], at) {
			d.unknown(at, validKeys(out), out)
		}
	}
	if pos := out.FieldByName("Pos"); pos.IsValid() {
		pos.Set(reflect.ValueOf(d.positions.Of(path...)))
	}
	if v, ok := out.Addr().Interface().(validated); ok && len(d.errs) == before {
		v.validate(func(key, problem, fix string) {
			at := slices.Clone(path)
			if key != "" {
				at = append(at, strings.Split(key, ".")...)
			}
			d.fail(at, problem, fix)
		})
	}
}

// validated types have rules between their keys.
type validated interface {
	validate(fail func(key, problem, fix string))
}

func (d *decoder) unknown(path []string, valid []string, out reflect.Value) {
	key := path[len(path)-1]
	if _, ok := out.Interface().(ServicePolicy); ok && slices.Contains(validKeys(reflect.ValueOf(StackPolicy{})), key) {
		d.fail(path, "concerns the stack as a whole", "move it to the top-level "+extension)
		return
	}
	fix := "valid keys are " + strings.Join(valid, ", ")
	if near := nearest(key, valid); near != "" {
		fix = fmt.Sprintf("did you mean %q?", near)
	}
	d.fail(path, "unknown key", fix)
}

// field is one key of a struct: where it goes and how it is written.
type field struct {
	value reflect.Value
	tag   reflect.StructTag
}

// fieldsOf returns the keys of a struct, with those of inlined structs.
func fieldsOf(v reflect.Value) map[string]field {
	fields := map[string]field{}
	for i := range v.NumField() {
		tag := v.Type().Field(i).Tag
		switch key := tag.Get("key"); key {
		case "", ",settings":
		case ",inline":
			maps.Copy(fields, fieldsOf(v.Field(i)))
		default:
			fields[key] = field{v.Field(i), tag}
		}
	}
	return fields
}

func validKeys(v reflect.Value) []string { return slices.Sorted(maps.Keys(fieldsOf(v))) }

// field decodes one value by the kind of its field.
func (d *decoder) field(f field, in any, path []string) {
	switch v := f.value; {
	case in == nil:
	case v.Kind() == reflect.Struct:
		d.decode(v, in, path)
	case v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Struct:
		d.list(v, in, path)
	case v.Kind() == reflect.Slice:
		d.scalars(f, in, path)
	case v.Kind() == reflect.Pointer && v.Type().Elem().Kind() == reflect.Struct:
		d.pointer(f, in, path)
	case v.Kind() == reflect.Pointer:
		value := reflect.New(v.Type().Elem())
		if d.scalar(field{value.Elem(), f.tag}, in, path) {
			v.Set(value)
		}
	default:
		d.scalar(f, in, path)
	}
}

// list replaces a list of structs; each item starts from its defaults.
func (d *decoder) list(out reflect.Value, in any, path []string) {
	items, ok := in.([]any)
	if !ok {
		d.fail(path, "must be a list", `write each item with a leading "- "`)
		return
	}
	list := reflect.MakeSlice(out.Type(), len(items), len(items))
	for i, item := range items {
		setDefaults(list.Index(i))
		at := append(slices.Clone(path), fmt.Sprintf("[%d]", i))
		if item == nil {
			d.fail(at, "is empty", "its keys are "+strings.Join(validKeys(list.Index(i)), ", "))
			continue
		}
		d.decode(list.Index(i), item, at)
	}
	out.Set(list)
}

// scalars decodes a list of plain values; one value stands for a list of it.
func (d *decoder) scalars(f field, in any, path []string) {
	items, ok := in.([]any)
	if !ok {
		items = []any{in}
	}
	list := reflect.MakeSlice(f.value.Type(), len(items), len(items))
	for i, item := range items {
		at := path
		if ok {
			at = append(slices.Clone(path), fmt.Sprintf("[%d]", i))
		}
		d.scalar(field{list.Index(i), f.tag}, item, at)
	}
	f.value.Set(list)
}

// pointer decodes a section that is there only when the file writes it; a plain value stands for its main key.
func (d *decoder) pointer(f field, in any, path []string) {
	value := reflect.New(f.value.Type().Elem())
	setDefaults(value.Elem())
	if _, ok := in.(map[string]any); !ok {
		in = map[string]any{f.tag.Get("short"): in}
	}
	d.decode(value.Elem(), in, path)
	f.value.Set(value)
}

// scalar decodes one plain value. Values of keys that look like secrets are not repeated in errors.
func (d *decoder) scalar(f field, in any, path []string) bool {
	problem, fix := setScalar(f.value, f.tag, in)
	if problem == "" {
		return true
	}
	if text, ok := plain(in); ok {
		problem = fmt.Sprintf("%q %s", Mask(path[len(path)-1], text), problem)
	}
	d.fail(path, problem, fix)
	return false
}

// setting stores a key of a notifier that belongs to its type; which ones do is checked by validate.
func (d *decoder) setting(out reflect.Value, key string, in any, path []string) bool {
	n, ok := out.Addr().Interface().(*Notifier)
	if !ok {
		return false
	}
	text, isText := plain(in)
	if !isText {
		d.fail(path, "must be a text", "put it in quotes")
		return true
	}
	if n.Set == nil {
		n.Set = map[string]string{}
	}
	n.Set[key] = text
	return true
}

// setDefaults fills a struct from its tags.
func setDefaults(v reflect.Value) {
	for i := range v.NumField() {
		f, tag := v.Field(i), v.Type().Field(i).Tag
		if f.Kind() == reflect.Struct && tag.Get("key") != "" {
			setDefaults(f)
			continue
		}
		text, ok := tag.Lookup("default")
		if !ok {
			continue
		}
		if f.Kind() == reflect.Slice {
			words := strings.Split(text, ",")
			f.Set(reflect.ValueOf(words))
			continue
		}
		setScalar(f, tag, text)
	}
}

// joined makes one error of many, in the order of the files.
func joined(errs []*Error) error {
	if len(errs) == 0 {
		return nil
	}
	slices.SortStableFunc(errs, func(a, b *Error) int {
		if c := strings.Compare(a.Pos.File, b.Pos.File); c != 0 {
			return c
		}
		return a.Pos.Line - b.Pos.Line
	})
	list := make([]error, len(errs))
	for i, e := range errs {
		list[i] = e
	}
	if len(list) == 1 {
		return list[0]
	}
	return errors.Join(list...)
}
