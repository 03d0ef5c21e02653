package drift

import (
	"composure/test/fixture"

	"fmt"
	"strings"
	"testing"
)

// BenchmarkCompute is a stack of 100 services without drift, with what was applied on record.
func BenchmarkCompute(b *testing.B) {
	var text strings.Builder
	text.WriteString("services:\n")
	for i := range 100 {
		fmt.Fprintf(&text, "  s%03d:\n    image: web:1\n    restart: always\n    mem_limit: 64m\n    environment: {A: b, C: d}\n    ports: ['80']\n    volumes: ['data:/data']\n", i)
	}
	text.WriteString("volumes: {data: {}}\n")
	stack := fixture.LoadText(b, text.String())
	in := Input{Stack: stack, Applied: stack, Snapshot: fixture.Made(b, stack)}
	b.ReportAllocs()
	for b.Loop() {
		if Compute(in).Differs() {
			b.Fatal("drift")
		}
	}
}
