package simengine

import (
	"fmt"
	"io"
	"net/http"

	"github.com/docker/docker/api/types/container"
)

// execution is one command in a container.
type execution struct {
	on   *instance
	argv []string
	code int
}

func execCreate(w http.ResponseWriter, r *http.Request, i *instance) error {
	var opts container.ExecOptions
	if err := decode(r, &opts); err != nil {
		return err
	}
	if err := i.mustRun(); err != nil {
		return err
	}
	if i.state.Paused {
		return &answer{http.StatusConflict, fmt.Sprintf("Container %s is paused, unpause the container before exec", r.PathValue("id"))}
	}
	id := i.e.id("exec in " + i.id)
	i.e.execs[id] = &execution{on: i, argv: opts.Cmd}
	reply(w, http.StatusCreated, map[string]string{"Id": id})
	return nil
}

// execStart answers on the upgraded connection.
func (e *Engine) execStart(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	e.mu.Lock()
	x := e.execs[r.PathValue("id")]
	text := ""
	if x != nil && x.on.does.Exec != nil {
		x.code, text = x.on.does.Exec(x.argv)
	}
	e.mu.Unlock()
	if x == nil {
		fail(w, http.StatusNotFound, "No such exec instance: "+r.PathValue("id"))
		return
	}
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		fail(w, http.StatusInternalServerError, err.Error())
		return
	}
	defer conn.Close()
	_, _ = rw.WriteString("HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n")
	if text != "" {
		_, _ = rw.Write([]byte{1, 0, 0, 0, byte(len(text) >> 24), byte(len(text) >> 16), byte(len(text) >> 8), byte(len(text))})
		_, _ = rw.WriteString(text)
	}
	_ = rw.Flush()
}

func (e *Engine) execInspect(w http.ResponseWriter, r *http.Request) {
	e.mu.Lock()
	defer e.mu.Unlock()
	x := e.execs[r.PathValue("id")]
	if x == nil {
		fail(w, http.StatusNotFound, "No such exec instance: "+r.PathValue("id"))
		return
	}
	reply(w, http.StatusOK, container.ExecInspect{ExecID: r.PathValue("id"), ContainerID: x.on.id, ExitCode: x.code})
}
