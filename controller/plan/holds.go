package plan

import (
	"fmt"
	"sort"
	"strings"

	"composure/controller/observe"
	"composure/spec"
)

// StackHolds returns why nothing at all may be done to a stack, each with the way out: a variable without a value
// would deploy something nobody wrote, and a file of another directory may be another stack of the same name.
// takeOver says that the user knows of the other directory.
func StackHolds(stack *spec.Stack, snapshot *observe.Snapshot, takeOver bool) []string {
	var holds []string
	for _, u := range stack.Unset {
		holds = append(holds, fmt.Sprintf("%s: variable %s is not set and has no default; set it, or write ${%s:-} if empty is meant", u.Pos, u.Name, u.Name))
	}
	if others := otherDirectories(stack, snapshot); len(others) > 0 && !takeOver {
		holds = append(holds, fmt.Sprintf("the stack %s was deployed from %s, this is %s; use --project-directory, another -p, or --take-over if it has moved here",
			stack.Name, strings.Join(others, ", "), stack.WorkingDir))
	}
	return holds
}

// otherDirectories are the project directories that the stack's containers name beside this one. One-off containers, made
// by `docker compose run`, say nothing about where the stack was deployed from.
func otherDirectories(stack *spec.Stack, snapshot *observe.Snapshot) []string {
	found := map[string]bool{}
	for _, c := range snapshot.Containers {
		if dir := c.Label(spec.LabelWorkingDir); dir != "" && dir != stack.WorkingDir && !snapshot.SameDirs[dir] && !c.OneOff {
			found[dir] = true
		}
	}
	var dirs []string
	for dir := range found {
		dirs = append(dirs, dir)
	}
	sort.Strings(dirs)
	return dirs
}
