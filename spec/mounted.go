package spec

import "path"

// MountedFiles are the configs and secrets that stand in a file of the host and are bind-mounted from there: path in
// the container → key, such as "secrets.token". Those whose content is copied in are in CopiedFiles instead.
func (svc *Service) MountedFiles() map[string]string {
	mounted := map[string]string{}
	for _, ref := range svc.fileReferences() {
		if !ref.copied() {
			mounted[path.Clean(ref.target)] = ref.kind + "." + ref.ref.Source
		}
	}
	return mounted
}

// OneShot says whether another service waits for this one to complete (service_completed_successfully).
func (svc *Service) OneShot() bool {
	if svc.stack == nil {
		return false
	}
	for _, other := range svc.stack.Services {
		for _, d := range other.DependsOn {
			if d.Service == svc.Name && d.Condition == ConditionCompleted {
				return true
			}
		}
	}
	return false
}
