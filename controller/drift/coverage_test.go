package drift

import (
	"composure/test/fixture"

	"reflect"
	"testing"
)

// notCompared are parts of a create request that drift does not look at, each with the reason.
var notCompared = map[string]string{
	"Config.AttachStdin":       "of the client that attaches",
	"Config.AttachStdout":      "of the client that attaches",
	"Config.AttachStderr":      "of the client that attaches",
	"Config.StdinOnce":         "of the client that attaches",
	"Config.ArgsEscaped":       "Windows, and the image's",
	"Config.Image":             "by what it resolves to: imageDrift",
	"Config.Volumes":           "by what is mounted",
	"Config.NetworkDisabled":   "the same as no networks",
	"Config.OnBuild":           "of builds",
	"Config.Shell":             "of builds",
	"HostConfig.Binds":         "by what is mounted",
	"HostConfig.Mounts":        "by what is mounted",
	"HostConfig.VolumesFrom":   "by what is mounted",
	"HostConfig.Links":         "by the links of each network",
	"HostConfig.NetworkMode":   "a network's name: by what is attached; the engine's own modes are compared",
	"HostConfig.Cgroup":        "no key of compose sets it, and no engine reads it",
	"HostConfig.ConsoleSize":   "of the client that attaches",
	"HostConfig.MaskedPaths":   "with ReadonlyPaths, as systempaths=unconfined of security_opt",
	"HostConfig.ReadonlyPaths": "with MaskedPaths, as systempaths=unconfined of security_opt",
	"HostConfig.CgroupnsMode":  "a service that sets none gets what the daemon is set to, which it does not tell",

	"HostConfig.Resources.Ulimits": "one that the file does not set may be of the daemon's default-ulimits, which it does not tell",

	"HostConfig.ContainerIDFile":              "of the docker command line",
	"HostConfig.Resources.CpusetMems":         "no key of compose sets it",
	"HostConfig.Resources.KernelMemory":       "no key of compose sets it, and kernels dropped it",
	"HostConfig.Resources.KernelMemoryTCP":    "no key of compose sets it, and kernels dropped it",
	"HostConfig.Resources.IOMaximumIOps":      "Windows, and no key of compose sets it",
	"HostConfig.Resources.IOMaximumBandwidth": "Windows, and no key of compose sets it",
}

// TestEveryPartOfACreateRequestIsCompared sets each field of the Engine API's create request by hand on a container, and
// wants a drift, or a reason in the table above: a new version of the API cannot add a field in silence.
func TestEveryPartOfACreateRequestIsCompared(t *testing.T) {
	stack := fixture.LoadText(t, "services:\n  web:\n    image: web:1\n    restart: always\n    mem_limit: 64m\n")
	differs := func(change func(config, host reflect.Value)) bool {
		snapshot := fixture.Made(t, stack)
		inspect := snapshot.Containers[0].Inspect
		change(reflect.ValueOf(inspect.Config).Elem(), reflect.ValueOf(inspect.HostConfig).Elem())
		return Compute(Input{Stack: stack, Snapshot: snapshot}).Differs()
	}
	check := func(name string, change func(config, host reflect.Value)) {
		switch found, reason := differs(change), notCompared[name]; {
		case !found && reason == "":
			t.Errorf("%s changed and nothing is reported: compare it in the field table, or say why not", name)
		case found && reason != "":
			t.Errorf("%s is compared: it has no place among what is not", name)
		}
	}
	snapshot := fixture.Made(t, stack)
	config := reflect.TypeOf(*snapshot.Containers[0].Inspect.Config)
	for i := range config.NumField() {
		check("Config."+config.Field(i).Name, func(config, _ reflect.Value) { disturb(config.Field(i)) })
	}
	host := reflect.TypeOf(*snapshot.Containers[0].Inspect.HostConfig)
	for i := range host.NumField() {
		if host.Field(i).Name != "Resources" {
			check("HostConfig."+host.Field(i).Name, func(_, host reflect.Value) { disturb(host.Field(i)) })
			continue
		}
		resources := host.Field(i).Type
		for j := range resources.NumField() {
			check("HostConfig.Resources."+resources.Field(j).Name, func(_, host reflect.Value) { disturb(host.Field(i).Field(j)) })
		}
	}
}

// disturb sets a value to another one.
func disturb(v reflect.Value) {
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(!v.Bool())
	case reflect.String:
		v.SetString("host:other") // a value that modes and names alike take for something
	case reflect.Int, reflect.Int64:
		v.SetInt(v.Int() + 77)
	case reflect.Uint, reflect.Uint16, reflect.Uint64:
		v.SetUint(v.Uint() + 77)
	case reflect.Pointer:
		value := reflect.New(v.Type().Elem())
		disturb(value.Elem())
		v.Set(value)
	case reflect.Slice:
		value := reflect.New(v.Type().Elem()).Elem()
		disturb(value)
		v.Set(reflect.Append(v, value))
	case reflect.Map:
		changed := reflect.MakeMap(v.Type())
		for _, key := range v.MapKeys() {
			changed.SetMapIndex(key, v.MapIndex(key))
		}
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		disturb(key)
		disturb(value)
		changed.SetMapIndex(key, value)
		v.Set(changed)
	case reflect.Array:
		disturb(v.Index(0))
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Field(i).CanSet() {
				disturb(v.Field(i))
			}
		}
	}
}
