package sim

import (
	"database/sql"
	"net/url"
	"path/filepath"
)

// openRecords is the store as the simulation itself reads and writes it, behind everybody's back. It connects when it is
// first asked.
func openRecords(dir string) *sql.DB {
	file := url.URL{Scheme: "file", Path: filepath.Join(dir, "state", "composure.db")}
	db, err := sql.Open("sqlite", file.String()+"?_pragma=busy_timeout(5000)")
	if err != nil {
		panic(err)
	}
	db.SetMaxOpenConns(1)
	return db
}

// onStore runs a statement on the store.
func (w *world) onStore(text string) {
	defer w.writes.Add(1)
	if _, err := w.records.Exec(text); err != nil {
		w.trace.add("store: %v", err)
	}
}

// open are the incidents on record that are not resolved.
func (c *checker) open() []string {
	rows, err := c.w.records.Query(`SELECT id || ' of ' || service || ': ' || cause || ' ' || state FROM incidents WHERE resolved_at = 0 ORDER BY id`)
	if err != nil {
		return []string{err.Error()}
	}
	defer rows.Close()
	var all []string
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			return append(all, err.Error())
		}
		all = append(all, text)
	}
	return all
}
