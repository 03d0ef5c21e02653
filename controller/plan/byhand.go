package plan

// Rungs that a person may ask for.
const (
	Graceful = "graceful" // the service's own grace, else the policy's
	Hard     = "hard"     // logs and state kept, killed, made anew with the same volumes
)

// byHand plans the rung that a person asked for: once for each container, one replica after another, against the
// budget, and then only the verdict. Nothing else is done to the service, and a failure is not answered by another rung, nor
// given to the next replica. What a recreation left behind is ended first. It says whether the others have to wait for it.
func (p *planner) byHand(pl *place, asked Asked) bool {
	c := pl.slot.Container
	switch {
	case c == nil:
		p.final(pl.key, pl.svc.Name, "does not exist; `composure reconcile --once` makes it")
	case pl.putBack() != "":
		p.final(pl.key, pl.svc.Name, "the old container was put back: "+pl.putBack())
		return true
	case p.tried(pl, asked.Rung) && pl.judge.Verdict == Failed:
		p.final(pl.key, pl.svc.Name, pl.judge.Reason)
		return true
	case p.tried(pl, asked.Rung) && pl.judge.Verdict == Pending:
		p.wait(pl.key, pl.svc.Name, pl.judge.Reason, pl.judge.Until)
		return true
	case p.tried(pl, asked.Rung):
		return false
	case pl.moving != "":
		p.queue(pl, "")
	default:
		p.try(Job{Key: pl.key, Service: pl.svc.Name, Kind: asked.Rung, Cause: asked.Cause, Steps: asked.steps(pl), Counts: true}, 1)
		return true
	}
	return false
}

// Asked is a rung that a person asks for.
type Asked struct {
	Rung  string // Graceful or Hard
	Cause string // who, and why
}

func (a Asked) steps(pl *place) []Step {
	if a.Rung == Hard {
		return hard(pl)
	}
	return graceful(pl)
}

// tried says whether the rung was taken in this run. What was dropped as stale was not.
func (p *planner) tried(pl *place, rung string) bool {
	for _, a := range pl.history {
		if a.Kind == rung && a.Outcome != Stale && a.Outcome != Failure {
			return true
		}
	}
	return false
}

// putBack is why the container that the rung made was undone, or "".
func (pl *place) putBack() string {
	for _, a := range pl.history {
		if verb(a.Kind) == "undo" && a.Outcome == Done {
			return a.Cause
		}
	}
	return ""
}
