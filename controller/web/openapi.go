package web

import (
	"reflect"
	"strings"
	"time"
)

// The description of the API is made from the routes and from the types that they answer with: it cannot say anything
// else than what is answered.

// object is a JSON object; its keys are written in order.
type object = map[string]any

// description is the OpenAPI document.
func description() object { return describe(false) }

// describe is the OpenAPI document. strict forbids what it does not name, which tests want and readers do not: fields
// may be added.
func describe(strict bool) object {
	d := describer{strict: strict, schemas: object{}}
	paths := object{}
	for _, r := range routes {
		operations, known := paths[root+r.path].(object)
		if !known {
			operations = object{}
			paths[root+r.path] = operations
		}
		operations[strings.ToLower(r.method)] = d.operation(r)
	}
	d.schemas["Problem"] = d.fields(reflect.TypeFor[problem]())
	return object{
		"openapi": "3.1.0",
		"info": object{
			"title": "Composure", "version": "v1",
			"description": "What the remediator of one Compose stack sees and does. Fields may be added within v1. Times are RFC 3339 in UTC.",
			"license":     object{"name": "Apache-2.0", "identifier": "Apache-2.0"},
		},
		"servers":  []any{object{"url": "/"}},
		"paths":    paths,
		"security": []any{object{"bearer": []any{}}, object{}},
		"components": object{
			"schemas":         d.schemas,
			"securitySchemes": object{"bearer": object{"type": "http", "scheme": "bearer", "description": "The token, where one is configured."}},
		},
	}
}

// describer collects the schemas of the types that it meets.
type describer struct {
	strict  bool
	schemas object
}

func (d describer) operation(r route) object {
	failure := object{"description": "What is wrong.", "content": object{"application/json": object{"schema": ref("Problem")}}}
	content := object{"application/json": object{"schema": d.schema(reflect.TypeOf(r.answer))}}
	if _, text := r.answer.(string); text {
		content = object{"text/markdown": object{"schema": object{"type": "string"}}}
	}
	op := object{
		"operationId": r.id, "summary": r.summary,
		"responses": object{"200": object{"description": r.summary, "content": content}, "default": failure},
	}
	var params []any
	body := object{}
	for _, p := range r.params {
		if p.in == "body" {
			body[p.name] = object{"type": "string", "description": p.about}
			continue
		}
		kind := "string"
		if p.number {
			kind = "integer"
		}
		params = append(params, object{"name": p.name, "in": p.in, "description": p.about, "required": p.in == "path", "schema": object{"type": kind}})
	}
	if params != nil {
		op["parameters"] = params
	}
	if len(body) > 0 {
		schema := object{"type": "object", "properties": body, "additionalProperties": false}
		op["requestBody"] = object{"content": object{"application/json": object{"schema": schema}}}
	}
	return op
}

func ref(name string) object { return object{"$ref": "#/components/schemas/" + name} }

// schema describes a type; structs by reference.
func (d describer) schema(t reflect.Type) object {
	switch {
	case t == reflect.TypeFor[time.Time]():
		return object{"type": "string", "format": "date-time"}
	case t.Kind() == reflect.Pointer:
		return object{"anyOf": []any{d.schema(t.Elem()), object{"type": "null"}}}
	case t.Kind() == reflect.Struct:
		name := nameOf(t)
		if _, known := d.schemas[name]; !known {
			d.schemas[name] = object{} // it may contain itself
			d.schemas[name] = d.fields(t)
		}
		return ref(name)
	}
	switch t.Kind() {
	case reflect.Slice:
		return object{"type": []any{"array", "null"}, "items": d.schema(t.Elem())}
	case reflect.Map:
		return object{"type": []any{"object", "null"}, "additionalProperties": d.schema(t.Elem())}
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.Float64:
		return object{"type": "number"}
	case reflect.String:
		return object{"type": "string"}
	}
	return object{"type": "integer"}
}

// nameOf is the name of a struct: those of package view go without their package.
func nameOf(t reflect.Type) string { return strings.TrimPrefix(t.String(), "view.") }

// fields describes a struct. What is embedded is part of it, as in the JSON.
func (d describer) fields(t reflect.Type) object {
	properties, required := object{}, []any{}
	var add func(t reflect.Type)
	add = func(t reflect.Type) {
		for f := range t.Fields() {
			if f.Anonymous {
				add(f.Type)
				continue
			}
			name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
			if name == "-" || !f.IsExported() {
				continue
			}
			properties[name] = d.schema(f.Type)
			if !strings.Contains(options, "omitempty") {
				required = append(required, name)
			}
		}
	}
	add(t)
	schema := object{"type": "object", "properties": properties, "required": required}
	if d.strict {
		schema["additionalProperties"] = false
	}
	return schema
}
