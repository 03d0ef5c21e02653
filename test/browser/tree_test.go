package browser

import (
	"encoding/json"
	"fmt"
	"iter"
	"strings"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/chromedp"
)

// node is a part of a page as a screen reader gets it.
type node struct {
	role, name, about string
	is                map[string]string // properties: level, url, focusable, invalid, live
	parent            *node
	children          []*node
}

// tree reads the accessibility tree of the page. What readers skip is left out of it; its children are not.
func (v *viewer) tree() *node {
	v.t.Helper()
	got, err := chromedp.Call(v.ctx, accessibility.GetFullAXTree, accessibility.GetFullAXTreeParams{})
	if err != nil {
		v.t.Fatal(err)
	}
	byID := map[accessibility.NodeID]*accessibility.Node{}
	for _, n := range got.Nodes {
		byID[n.NodeID] = n
	}
	root := &node{}
	grow(root, got.Nodes[0], byID)
	return root.children[0]
}

// grow adds a node, or in the place of one that is ignored its children.
func grow(parent *node, from *accessibility.Node, byID map[accessibility.NodeID]*accessibility.Node) {
	at := parent
	if !from.Ignored {
		at = &node{role: text(from.Role), name: text(from.Name), about: text(from.Description), parent: parent, is: map[string]string{}}
		for _, p := range from.Properties {
			at.is[string(p.Name)] = text(p.Value)
		}
		parent.children = append(parent.children, at)
	}
	for _, id := range from.ChildIDs {
		if child := byID[id]; child != nil {
			grow(at, child, byID)
		}
	}
}

// text is a value as people read it.
func text(v *accessibility.Value) string {
	if v == nil || len(v.Value) == 0 {
		return ""
	}
	var any any
	if err := json.Unmarshal(v.Value, &any); err != nil {
		return string(v.Value)
	}
	return strings.TrimSpace(fmt.Sprint(any))
}

// all are the node and what is below it, in the order of reading.
func (n *node) all() iter.Seq[*node] {
	return func(yield func(*node) bool) { n.walk(yield) }
}

func (n *node) walk(yield func(*node) bool) bool {
	if !yield(n) {
		return false
	}
	for _, c := range n.children {
		if !c.walk(yield) {
			return false
		}
	}
	return true
}

// of are the nodes of these roles.
func (n *node) of(roles ...string) []*node {
	var found []*node
	for one := range n.all() {
		for _, role := range roles {
			if one.role == role {
				found = append(found, one)
			}
		}
	}
	return found
}

// words is all text of a node.
func (n *node) words() string {
	var all []string
	for _, t := range n.of("StaticText", "image", "img") {
		all = append(all, t.name)
	}
	return strings.Join(all, " ")
}

// String is the page from top to bottom, a line for each thing that a reader stops at.
func (n *node) String() string {
	var b strings.Builder
	var line func(*node, int)
	line = func(n *node, depth int) {
		switch n.role {
		case "InlineTextBox", "ListMarker":
			return
		case "generic", "none", "paragraph", "Pre":
			depth--
		default:
			fmt.Fprintf(&b, "%s%s", strings.Repeat("  ", depth), n.role)
			for _, p := range []string{"level", "invalid", "expanded", "live"} {
				if is := n.is[p]; is != "" && is != "false" && is != "off" {
					fmt.Fprintf(&b, " %s=%s", p, is)
				}
			}
			fmt.Fprintf(&b, " %q", n.name)
			if n.about != "" {
				fmt.Fprintf(&b, " (%s)", n.about)
			}
			b.WriteString("\n")
		}
		for _, c := range n.children {
			line(c, depth+1)
		}
	}
	line(n, 0)
	return b.String()
}
