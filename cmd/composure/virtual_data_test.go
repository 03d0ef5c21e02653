package main

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"composure/controller/incident"
	"composure/controller/observe"
	"composure/spec"
)

// counted is the shop with rows that must not get fewer.
var counted = strings.Replace(shop, "    volumes: [data:/data]\n", "    volumes: [data:/data]\n    x-composure: {integrity: [{name: orders, sql: SELECT count(*) FROM orders}]}\n", 1)

// virtuallyCounted runs a test on a stack whose baseline of 120 rows has been captured.
func virtuallyCounted(t *testing.T, test func(w *world, rows *atomic.Int64)) {
	var rows atomic.Int64
	rows.Store(120)
	virtuallyWith(t, counted, func(w *world) {
		w.app.outside.measure = func(_ context.Context, _ *spec.Stack, _ *observe.Snapshot, service string) observe.Measurement {
			m := observe.Measurement{Values: map[string]float64{}}
			if service == "postgres" {
				m.Values["orders"] = float64(rows.Load())
			}
			return m
		}
	}, func(w *world) {
		w.sleep(12 * time.Minute) // the baseline is captured once a service is stable
		w.sim.ForgetCalls()
		test(w, &rows)
	})
}

// emergency wants one incident of data loss, and one call of the emergency tier.
func (w *world) emergency() {
	w.t.Helper()
	if all := w.all(); len(all) != 1 || all[0].Cause != "data_loss" || all[0].Service != "postgres" {
		w.t.Errorf("expected one incident, data_loss")
	}
	if n := w.escalations(incident.Emergency); n != 1 {
		w.t.Errorf("the emergency tier was called %d times", n)
	}
}

// TestVirtualDataLoss: after a restart rows are missing. From then on nothing is done to the database, whatever happens
// to it, until the rows are back.
func TestVirtualDataLoss(t *testing.T) {
	virtuallyCounted(t, func(w *world, rows *atomic.Int64) {
		rows.Store(3)
		w.sim.Stop("postgres", 0)
		w.until(2*time.Minute, "the loss is found", func() bool { return w.escalations(incident.Emergency) == 1 })
		w.sim.ForgetCalls()
		w.sim.Stop("postgres", 0)
		w.sleep(time.Hour)
		w.stop() // another process does not know what was measured, and cannot ask a database that is down
		w.start()
		w.sleep(2 * time.Hour)
		if calls := w.calls("postgres"); calls != 0 {
			t.Errorf("the database was touched: %q", w.sim.Calls())
		}
		w.emergency()
		rows.Store(120)
		if err := w.mem.eng.Start(w.ctx, w.sim.Of("postgres")[0].ID); err != nil {
			t.Fatal(err)
		}
		w.until(20*time.Minute, "it is resolved", func() bool { return w.well() && len(w.open()) == 0 })
		if all := w.all(); all[0].Impact.Data != incident.DataVerified {
			t.Errorf("data: %s", all[0].Impact.Data)
		}
	})
}

// TestVirtualVolumeGone: no empty volume is made in the place of one that held rows.
func TestVirtualVolumeGone(t *testing.T) {
	virtuallyCounted(t, func(w *world, _ *atomic.Int64) {
		w.sim.Remove("postgres")
		w.sim.RemoveVolume("shop_data")
		w.sleep(3 * time.Hour)
		if len(w.sim.Of("postgres")) > 0 || w.calls("postgres")+w.calls("volume") > 0 {
			t.Errorf("an empty database was made: %q", w.sim.Calls())
		}
		w.emergency()
	})
}

// TestVirtualRowsFewerByHand: what a person captures as the new baseline is no loss.
func TestVirtualRowsFewerByHand(t *testing.T) {
	virtuallyCounted(t, func(w *world, rows *atomic.Int64) {
		rows.Store(7)
		w.sim.Stop("postgres", 0)
		w.until(2*time.Minute, "the loss is found", func() bool { return w.escalations(incident.Emergency) == 1 })
		m := observe.Measurement{Values: map[string]float64{"orders": 7}}
		if err := kept(w.ctx, w.mem.SaveBaseline, w.mem.stack, "postgres", m, time.Now()); err != nil {
			t.Fatal(err)
		}
		w.until(20*time.Minute, "it is resolved", func() bool { return w.well() && len(w.open()) == 0 })
	})
}
