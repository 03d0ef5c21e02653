package diagnose

import "testing"

// TestCannotRun: what engines and runtimes say about a start that failed, and whether it is about the command.
func TestCannotRun(t *testing.T) {
	const runc = "failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: "
	for text, want := range map[string]bool{
		runc + `exec: "nope": executable file not found in $PATH: unknown`:                                              true,
		runc + `exec: "nope/x": stat nope/x: no such file or directory: unknown`:                                        true,
		runc + `exec: "/etc": permission denied: unknown`:                                                               true,
		runc + `exec: "/app/network-probe": stat /app/network-probe: no such file or directory: unknown`:                true,
		runc + `error during container init: exec /entrypoint.sh: no such file or directory: unknown`:                   true,
		runc + `chdir to cwd ("/app") set in config.json failed: permission denied: unknown`:                            true,
		`standard_init_linux.go:228: exec user process caused: no such file or directory`:                               true,
		`exec /usr/bin/api: exec format error`:                                                                          true,
		`error gathering device information while adding custom device "/dev/ttyUSB0": no such file or directory`:       false,
		`error while creating mount source path '/proc/nope': mkdir /proc/nope: no such file or directory`:              false,
		runc + `error during container init: error setting rlimit type 8: operation not permitted: unknown`:             false,
		runc + `error during container init: open /proc/sys/net/nope/x: no such file or directory: unknown`:             false,
		runc + `error during container init: error mounting "/a" to rootfs at "/b": not a directory: unknown`:           false,
		runc + `unable to apply caps: operation not permitted: unknown`:                                                 false,
		runc + `error running hook #0: fork/exec /usr/bin/nvidia-container-runtime-hook: no such file or directory`:     false,
		runc + `error running hook #0: exit status 1, stderr: nvidia-container-cli: nvml error: driver not loaded`:      false,
		runc + `unable to apply apparmor profile: write /proc/self/attr/exec: no such file or directory: unknown`:       false,
		`driver failed programming external connectivity on endpoint x: Bind for 0.0.0.0:80: port is already allocated`: false,
	} {
		if got := cannotRun.MatchString(text); got != want {
			t.Errorf("%v, want %v: %s", got, want, text)
		}
	}
}
