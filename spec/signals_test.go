package spec

import "testing"

func TestKnownSignal(t *testing.T) {
	for text, want := range map[string]bool{
		"SIGTERM": true, "TERM": true, "sigquit": true, "USR1": true, "9": true, "65": true, "RTMIN+3": true, "SIGRTMAX-14": true, "SIGPOLL": true,
		"": false, "SIG": false, "SIGHELLO": false, "0": false, "-9": false, "RTMIN+16": false, "RTMAX-15": false, "TERM+1": false, "USR1;reboot": false,
	} {
		if got := knownSignal(text); got != want {
			t.Errorf("knownSignal(%q) = %v", text, got)
		}
	}
}
