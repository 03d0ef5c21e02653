package simengine

import (
	"bytes"
	"encoding/json"
)

// said is the answer to whoever inspects a container, without its size. What the container was made with is encoded once, and
// again when a limit or the restart policy has changed: it is most of what there is to say.
func (i *instance) said() []byte {
	if i.made == nil {
		found := i.inspect()
		i.made = [][]byte{encode(found.HostConfig), encode(found.Mounts), encode(found.Config)}
	}
	rest := encode(i.changing())
	var text []byte
	for n, name := range []string{`"HostConfig":`, `"Mounts":`, `"Config":`} { // as they follow; a quote within a text is escaped
		before, after, _ := bytes.Cut(rest, []byte(name+"null"))
		text, rest = append(append(append(text, before...), name...), i.made[n]...), after
	}
	return append(append(text, rest...), '\n')
}

// encode encodes what can be encoded.
func encode(v any) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return text
}
