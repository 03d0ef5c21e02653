package sim

import (
	"database/sql"
	"net/url"
	"path/filepath"
)

// open are the incidents on record that are not resolved.
func (c *checker) open() []string {
	file := url.URL{Scheme: "file", Path: filepath.Join(c.w.dir, "state", "composure.db")}
	db, err := sql.Open("sqlite", file.String()+"?_pragma=busy_timeout(5000)")
	if err != nil {
		return []string{err.Error()}
	}
	defer db.Close()
	rows, err := db.Query(`SELECT id || ' of ' || service || ': ' || cause || ' ' || state FROM incidents WHERE resolved_at = 0 ORDER BY id`)
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
