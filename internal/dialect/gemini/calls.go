package gemini

// calls finds for each result the call that it answers. Ids are optional in this dialect; clients that leave them out
// answer parallel calls of one function in the order of the calls.
type calls struct {
	all    []pending
	byID   map[string][]int
	byName map[string][]int
}

type pending struct {
	id       string
	answered bool
}

func (c *calls) add(id, name string) {
	if c.byID == nil {
		c.byID, c.byName = map[string][]int{}, map[string][]int{}
	}
	n := len(c.all)
	c.all = append(c.all, pending{id: id})
	c.byID[id] = append(c.byID[id], n)
	c.byName[name] = append(c.byName[name], n)
}

// answer returns the id of the call that a result with this id and name answers: the last open one with the id, else
// the first open one of the name. For a result of no known call it returns id itself.
func (c *calls) answer(id, name string) string {
	if same, known := c.byID[id]; known && id != "" {
		for n := len(same); n > 0; n-- {
			if p := &c.all[same[n-1]]; !p.answered {
				p.answered = true
				c.byID[id] = same[:n-1]
				return id
			}
		}
		c.byID[id] = same[:0]
		return id
	}
	open := c.byName[name]
	for n, at := range open {
		if p := &c.all[at]; !p.answered {
			p.answered = true
			c.byName[name] = open[n+1:]
			return p.id
		}
	}
	if open != nil {
		c.byName[name] = open[:0]
	}
	return id
}
