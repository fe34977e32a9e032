package messages

import "detour/internal/llm"

// placeCache sees to the prompt-cache breakpoints. A client that set some is followed, as far as the API goes; clients
// of other dialects that set none get them where agents profit: behind the tools, behind the instructions, and behind
// the last two messages of the user, so that each request finds what the one before it wrote.
func (e *requestEncoder) placeCache() {
	var marked []*piece
	for _, list := range [...][]piece{e.toolList, e.sysList} {
		for i := range list {
			if list[i].cache {
				marked = append(marked, &list[i])
			}
		}
	}
	fixed := len(marked)
	for i := range e.list {
		for j := range e.list[i].blocks {
			if b := &e.list[i].blocks[j]; b.cache {
				marked = append(marked, b)
			}
		}
	}
	if len(marked) > 0 {
		e.dropCache(marked, fixed)
		return
	}
	if e.native {
		return
	}
	for _, list := range [...][]piece{e.toolList, e.sysList} {
		if n := len(list); n > 0 {
			list[n-1].cache = true
		}
	}
	left := 2
	for i := len(e.list) - 1; i >= 0 && left > 0; i-- {
		if m := &e.list[i]; m.role == llm.RoleUser && len(m.blocks) > 0 {
			m.blocks[len(m.blocks)-1].cache = true
			left--
		}
	}
}

// dropCache takes away breakpoints beyond those that are allowed: the oldest of the conversation, then those before it.
func (e *requestEncoder) dropCache(marked []*piece, fixed int) {
	for len(marked) > maxBreakpoints {
		at := 0
		if fixed < len(marked) {
			at = fixed
		} else {
			fixed--
		}
		marked[at].cache = false
		marked = append(marked[:at], marked[at+1:]...)
	}
}
