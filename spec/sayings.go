package spec

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// sayings are tried in order. Forms that are not listed are passed on as they are, with the first file as place.
func sayings() []saying {
	return []saying{
		say(`failed to parse (.+?): (?:failed to parse .*?: )?yaml: (.*)`, (*explainer).yaml),
		say(`(?:.*: )?validating (.+?): (.*)`, func(x *explainer, m []string) *Error { return x.schema(m[2]) }),
		say(`error while interpolating (\S+): required variable (\w+) is missing a value(?:: (.*))?`, (*explainer).required),
		say(`error while interpolating (\S+): failed to cast to expected type: (.*)`, (*explainer).cast),
		say(`invalid interpolation format for (\S+)\..*`, func(x *explainer, m []string) *Error {
			return x.at(m[1], "a variable is not written as it must be", "write ${NAME}, and $$ for a dollar sign")
		}),
		say(`'([^']+)' (.*)`, (*explainer).decoding),
		say(`failed to read (.+): line (\d+): (.*)`, (*explainer).envFile),
		say(`env file (.+) not found.*`, func(x *explainer, m []string) *Error { return x.missing(m[1], "the env file") }),
		say(`label file (.+) not found.*`, func(x *explainer, m []string) *Error { return x.missing(m[1], "the label file") }),
		say(`(?:failed to read .+?: )?read (.+): is a directory`, func(x *explainer, m []string) *Error {
			e := x.missing(m[1], "the file")
			e.Problem, e.Fix = e.Problem+": it is a directory", "name a file"
			return e
		}),
		say(`(?:open|stat) (.+): (no such file or directory|permission denied|is a directory)`, func(x *explainer, m []string) *Error {
			return x.missing(m[1], "the file")
		}),
		say(`unsupported env_file format "(.*)"`, func(x *explainer, m []string) *Error {
			return x.about(m[1], fmt.Sprintf("%q is not a format", m[1]), "use raw, or leave format out")
		}),
		say(`include cycle detected:\n(\S+)\n.*`, func(x *explainer, m []string) *Error {
			pos, _ := x.positions.exact([]string{"include"})
			return &Error{Pos: pos, Key: "include", Problem: "the files include each other in a cycle", Fix: "remove one of the includes"}
		}),
		say("`include` must be a list, .*", func(x *explainer, _ []string) *Error {
			return x.at("include", "must be a list", `write each file with a leading "- "`)
		}),
		say(`cannot extend service "(.+)" in .+?: service "(.+)" not found(?: in (.+))?`, (*explainer).noBase),
		say(`cannot extend service "(.+)" in (.+): (?:no services section|services must be a mapping)`, func(x *explainer, m []string) *Error {
			return x.at("services."+m[1]+".extends", "the file has no services", "correct extends.file")
		}),
		say(`extends\.(.+)\.service is required`, func(x *explainer, m []string) *Error {
			return x.at("services."+m[1]+".extends", "service is missing", "name the service to extend")
		}),
		say(`Circular reference:\n(.*)`, (*explainer).extendsCycle),
		say(`service (?:ports|volume|device) (\S+) is missing (.*)`, func(x *explainer, m []string) *Error {
			return x.at(m[1], "is missing "+m[2], "add target")
		}),
		say(`invalid ranges specified for container and host Ports: (\S+) and (\S+)`, (*explainer).portRanges),
		say(`(?:invalid|Invalid) (hostPort|containerPort|proto|IP address|ranges|range|empty|port).*?: (.*)`, (*explainer).port),
		say(`invalid (?:empty volume spec|spec: (.*?)(?:: .*)?)`, func(x *explainer, m []string) *Error {
			return x.mount(m[1])
		}),
		say(`confusing device mapping, please use long syntax: (.*)`, func(x *explainer, m []string) *Error {
			return x.about(m[1], "is not a device", "write it as /dev/host:/dev/container:rwm")
		}),
		say(`empty compose file`, func(x *explainer, _ []string) *Error {
			return &Error{Pos: x.first(), Problem: "the file is empty", Fix: "add services"}
		}),
		say(`top-level object must be a mapping`, func(x *explainer, _ []string) *Error {
			return &Error{Pos: x.notMapping(), Problem: "the file is not a mapping", Fix: "start it with services:"}
		}),
		say(`non-string key (?:at top level|in (\S+)): (.*)`, func(x *explainer, m []string) *Error {
			return x.at(m[1]+"."+m[2], "the key is not a text", "put it in quotes")
		}),
		say(`cannot override (\S+)`, func(x *explainer, m []string) *Error {
			return x.at(m[1], "is of another kind than in the file that it overrides", "write it the same way in both files")
		}),
		say(`project name must not be empty`, func(x *explainer, _ []string) *Error {
			return x.at("name", "the project has no name", "set name: in the file, or use -p")
		}),
		say(`((?:services|jobs)(?:\.[^ :]+)?|networks|volumes|secrets|configs) must be a mapping`, func(x *explainer, m []string) *Error {
			return x.at(m[1], "must be a mapping", "write keys below it, one a line")
		}),
		say(`([^ :]+): cannot merge logging: .*`, func(x *explainer, m []string) *Error {
			return x.at(m[1], "must be a mapping", "write driver and options below it")
		}),
		say(`(\S+): conflicting parameters "external" and "(.+)" specified`, func(x *explainer, m []string) *Error {
			return x.at(m[1]+"."+m[2], "cannot stand beside external", "remove one of the two")
		}),
		say(`(\S+): (\S+) attributes are mutually exclusive`, func(x *explainer, m []string) *Error {
			return x.at(m[1], "has more than one of "+strings.ReplaceAll(m[2], "|", ", "), "keep one of them")
		}),
		say(`(\S+): one of (\S+) must be set`, func(x *explainer, m []string) *Error {
			return x.at(m[1], "has no content", "set one of "+strings.ReplaceAll(m[2], "|", ", "))
		}),
		say(`(\S+): "count" and "device_ids" attributes are exclusive`, func(x *explainer, m []string) *Error {
			return x.at(m[1], "has both count and device_ids", "keep one of the two")
		}),
		say(`(\S+): (?:unexpected|invalid) type (\S+)(?: .*)?`, func(x *explainer, m []string) *Error {
			return x.wrongType(keyPath(m[1]), kindOfGo(m[2]))
		}),
		say(`((?:services|jobs|networks|volumes|secrets|configs|include|models)\.\S+): (.*)`, func(x *explainer, m []string) *Error {
			return x.at(m[1], Mask(m[1], m[2]), "correct it")
		}),
	}
}

func (x *explainer) required(m []string) *Error {
	problem := fmt.Sprintf("the variable %s is required and has no value", m[2])
	if m[3] != "" {
		problem += ": " + m[3]
	}
	return x.at(m[1], problem, "set it in the environment or in .env")
}

// cast explains a value that does not fit its key after interpolation.
func (x *explainer) cast(m []string) *Error {
	switch {
	case strings.Contains(m[2], "invalid boolean"):
		return x.at(m[1], "is neither true nor false", "write true or false")
	case strings.Contains(m[2], "ParseFloat"):
		return x.at(m[1], "is not a number", "write a number such as 0.5")
	}
	return x.at(m[1], "is not a whole number", "write a number such as 2")
}

// decoding explains what a typed value refused.
func (x *explainer) decoding(m []string) *Error {
	path, said := keyPath(m[1]), m[2]
	problem, fix := oneLine(Mask(path[len(path)-1], said)), "correct it"
	switch {
	case strings.Contains(said, "invalid size"), strings.Contains(said, "invalid suffix"):
		problem, fix = "is not a size", "write it with a unit, such as 512m or 2g"
	case strings.Contains(said, "duration"):
		problem, fix = "is not a duration", "write it with a unit, such as 10s, 5m or 1h30m"
	case strings.Contains(said, "strconv."):
		problem, fix = "is not a number", "write a number"
	case strings.Contains(said, "missing IP"):
		problem, fix = "an entry has no address", "write it as host:address"
	case strings.Contains(said, "trailing space"):
		problem, fix = strings.TrimPrefix(said, "environment "), "remove the space before ="
	}
	return x.at(m[1], problem, fix)
}

func (x *explainer) missing(path, what string) *Error {
	pos, key := x.fileMention(path)
	if pos.File == "" {
		pos = x.first()
	}
	return &Error{Pos: pos, Key: key, Problem: fmt.Sprintf("%s %s cannot be read", what, path), Fix: "create it or correct the path"}
}

var extendsLine = regexp.MustCompile(`(?m)^\s*(?:extends )?(\S+) in `)

// extendsCycle places a cycle at its first service by name: compose-go starts anywhere in it.
func (x *explainer) extendsCycle(m []string) *Error {
	var services []string
	for _, line := range extendsLine.FindAllStringSubmatch(m[1], -1) {
		services = append(services, line[1])
	}
	slices.Sort(services)
	services = slices.Compact(services)
	return x.at("services."+services[0]+".extends", "the services extend each other in a cycle: "+strings.Join(services, ", "), "remove one of the extends")
}

func (x *explainer) noBase(m []string) *Error {
	problem := fmt.Sprintf("there is no service %q", m[2])
	if m[3] != "" {
		problem += " in " + m[3]
	}
	return x.at("services."+m[1]+".extends", problem, "correct the name, or define the service")
}

// mount explains the short syntax of volumes; an empty one has no text to look for.
func (x *explainer) mount(text string) *Error {
	const fix = "write it as source:/target or source:/target:ro"
	if text != "" {
		return x.about(text, "is not a mount", fix)
	}
	pos, key := x.positions.where(func(path []string, value string) bool {
		return value == "" && len(path) > 3 && path[2] == "volumes"
	})
	return &Error{Pos: pos, Key: key, Problem: "is empty", Fix: fix}
}

// port explains the short syntax of ports, whose errors name the value only.
func (x *explainer) port(m []string) *Error {
	value := m[2]
	switch m[1] {
	case "proto":
		return x.about("/"+value, fmt.Sprintf("%q is not a protocol", value), "accepted are tcp, udp, sctp")
	case "IP address":
		return x.about(value, fmt.Sprintf("%q is not an IP address", value), "write it as 127.0.0.1")
	}
	e := x.about(value, fmt.Sprintf("%q is not a port", value), "write [ip:][host:]container[/protocol], with ports from 1 to 65535")
	if !strings.Contains(e.Key, "ports") { // the text came from a variable
		e.Key = "ports"
	}
	return e
}

func (x *explainer) portRanges(m []string) *Error {
	return x.about(m[1], fmt.Sprintf("the ranges %s and %s differ in length", m[2], m[1]), "publish as many ports as the container has")
}

// notMapping is the first document that is no mapping.
func (x *explainer) notMapping() Position {
	for _, d := range x.positions.documents {
		if len(mergedMappings(d.root)) == 0 {
			return Position{File: d.file, Line: d.root.Line}
		}
	}
	return x.first()
}
