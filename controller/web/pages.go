package web

import (
	"bytes"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/sync/singleflight"

	"composure/controller/view"
)

//go:embed assets pages
var embedded embed.FS

// pages are the templates and the files that they name.
type pages struct {
	templates map[string]*template.Template // by the name of the page
	assets    map[string]asset              // by name

	rendering singleflight.Group
	rendered  rendered
}

type asset struct {
	data []byte
	kind string
	hash string
}

// newPages reads what is embedded.
func newPages() (*pages, error) {
	p := &pages{templates: map[string]*template.Template{}, assets: map[string]asset{}}
	files, err := fs.Glob(embedded, "assets/*")
	if err != nil {
		return nil, err
	}
	for _, name := range files {
		data, err := embedded.ReadFile(name)
		if err != nil {
			return nil, err
		}
		sum := sha256.Sum256(data)
		p.assets[path.Base(name)] = asset{data, mime.TypeByExtension(path.Ext(name)), hex.EncodeToString(sum[:6])}
	}
	layout := template.New("layout.html").Funcs(functions).Funcs(template.FuncMap{
		"asset": func(name string) string { return "/assets/" + name + "?" + p.assets[name].hash },
	})
	if layout, err = layout.ParseFS(embedded, "pages/layout.html", "pages/parts.html"); err != nil {
		return nil, err
	}
	if files, err = fs.Glob(embedded, "pages/*.html"); err != nil {
		return nil, err
	}
	for _, name := range files {
		page, err := layout.Clone()
		if err == nil {
			page, err = page.ParseFS(embedded, name)
		}
		if err != nil {
			return nil, err
		}
		p.templates[path.Base(name)] = page
	}
	return p, nil
}

// asset serves an embedded file. Its address carries its hash, so it may be kept for ever.
func (s *Server) asset(w http.ResponseWriter, r *http.Request) {
	a, known := s.pages.assets[r.PathValue("name")]
	if !known {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", a.kind)
	if r.URL.RawQuery == a.hash {
		w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	_, _ = w.Write(a.data)
}

// shown is what every page is rendered from.
type shown struct {
	Title  string
	Here   string // the navigation entry that the page belongs to
	Below  bool   // it is not that page itself, but one below it
	Status view.Status
	Page   any

	Acts       bool        // who looks may act
	Operations []operation // that were begun here
}

// Current says of an entry of the navigation whether it is this page, or leads to it; empty: neither.
func (s shown) Current(entry string) string {
	switch {
	case s.Here != entry:
		return ""
	case s.Below:
		return "true"
	}
	return "page"
}

// overview shows every service at one glance.
func (s *Server) overview(w http.ResponseWriter, r *http.Request) {
	s.show(w, r, "overview.html", func(ctx context.Context) (shown, error) {
		now, err := s.status(ctx)
		return shown{Title: now.Stack, Here: "overview", Status: now}, err
	})
}

// show answers with a page. One rendering serves everybody who asks for the same address while nothing changes.
func (s *Server) show(w http.ResponseWriter, r *http.Request, name string, read func(context.Context) (shown, error)) {
	version, _, _ := s.news.now()
	acts := s.mayAct(r)
	key := fmt.Sprintf("%d %d %t %s", version, time.Now().Unix()/2, acts, r.URL.Path) // what is read beside the passes is two seconds old at most
	page, err := s.pages.once(key, func() ([]byte, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), readTimeout)
		defer cancel()
		data, err := read(ctx)
		if err != nil {
			return nil, err
		}
		data.Acts, data.Operations = acts, s.operations.list()
		return s.pages.render(name, data)
	})
	if err != nil {
		s.fail(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write(page)
}

// fail answers with a page that says what is wrong.
func (s *Server) fail(w http.ResponseWriter, _ *http.Request, err error) {
	code, title := http.StatusInternalServerError, "This could not be read"
	switch {
	case errors.Is(err, ErrNotFound):
		code, title = http.StatusNotFound, "Not found"
	case errors.As(err, new(badRequest)):
		code, title = http.StatusBadRequest, "This cannot be done"
	case errors.Is(err, ErrNotReady):
		code, title = http.StatusServiceUnavailable, "Just a moment"
	default:
		s.Logger.Warn("page not shown", "error", err)
	}
	s.plainPage(w, code, "error.html", shown{Title: title, Page: err.Error()})
}

// plainPage answers with a page that nobody else gets.
func (s *Server) plainPage(w http.ResponseWriter, code int, name string, data shown) {
	page, err := s.pages.render(name, data)
	if err != nil {
		s.Logger.Error("page not shown", "error", err)
		plain(w, http.StatusInternalServerError, "internal error")
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(code)
	_, _ = w.Write(page)
}

func (p *pages) render(name string, data shown) ([]byte, error) {
	var b bytes.Buffer
	if err := p.templates[name].ExecuteTemplate(&b, "layout.html", data); err != nil {
		return nil, fmt.Errorf("render %s: %w", name, err)
	}
	return visible(b.Bytes()), nil
}

// once returns a page that was rendered before under the same key, or renders it, once for all who ask now.
func (p *pages) once(key string, render func() ([]byte, error)) ([]byte, error) {
	if page, known := p.rendered.get(key); known {
		return page, nil
	}
	page, err, _ := p.rendering.Do(key, func() (any, error) {
		page, err := render()
		if err == nil {
			p.rendered.put(key, page, time.Now())
		}
		return page, err
	})
	if err != nil {
		return nil, err
	}
	return page.([]byte), nil
}

// visible shows what cannot be seen as escapes: whatever a page was filled with, nothing hides in it.
func visible(page []byte) []byte {
	hidden := func(r rune) bool { return r != '\n' && r != '\t' && !unicode.IsPrint(r) }
	if !bytes.ContainsFunc(page, hidden) {
		return page
	}
	var out []byte
	for _, r := range string(page) {
		if hidden(r) {
			out = fmt.Appendf(out, `\u%04x`, r)
			continue
		}
		out = utf8.AppendRune(out, r)
	}
	return out
}
