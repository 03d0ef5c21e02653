package spec

import (
	"slices"
	"strconv"
	"strings"
)

// signals are those of Linux, where the containers run, whatever system Composure runs on.
var signals = strings.Fields(`ABRT ALRM BUS CHLD CLD CONT FPE HUP ILL INT IO IOT KILL PIPE POLL PROF PWR QUIT SEGV STKFLT
	STOP SYS TERM TRAP TSTP TTIN TTOU URG USR1 USR2 VTALRM WINCH XCPU XFSZ RTMIN RTMAX`)

// knownSignal says whether the engine knows a signal, by name (SIGTERM, TERM, RTMIN+3) or number.
func knownSignal(text string) bool {
	if n, err := strconv.Atoi(text); err == nil {
		return n > 0
	}
	name := strings.TrimPrefix(strings.ToUpper(text), "SIG")
	if base, offset, ok := strings.Cut(name, "+"); ok && base == "RTMIN" {
		n, err := strconv.Atoi(offset)
		return err == nil && n >= 0 && n <= 15
	}
	if base, offset, ok := strings.Cut(name, "-"); ok && base == "RTMAX" {
		n, err := strconv.Atoi(offset)
		return err == nil && n >= 0 && n <= 14
	}
	return slices.Contains(signals, name)
}
