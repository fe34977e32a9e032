package config

import "strings"

// blocks takes every block of the sections that may stand several times.
func (b *binder) blocks() {
	for _, section := range blocks() {
		for i, values := range b.list(section.name) {
			at := path{{section.name, i}}
			section.grow(b.file.config, b.file.doc.lineOf(at))
			b.block(section.name, at, i, values)
		}
	}
}

// list returns the blocks of the section name, and complains when it is something else.
func (b *binder) list(name string) []map[string]any {
	v, ok := b.file.values[name]
	if !ok {
		return nil
	}
	at := path{{name, -1}}
	switch v := v.(type) {
	case []map[string]any:
		return v
	case []any:
		var all []map[string]any
		for _, e := range v {
			values, ok := e.(map[string]any)
			if !ok {
				b.complain(at, wrongType("a list of tables", v, "write [["+name+"]]"))
				return nil
			}
			all = append(all, values)
		}
		return all
	}
	b.complain(at, wrongType("a list of tables", v, "write [["+name+"]] with two brackets"))
	return nil
}

func (b *binder) block(section string, at path, i int, values map[string]any) {
	known := map[string]bool{}
	for n := range b.rows {
		r := &b.rows[n]
		name, mine := strings.CutPrefix(r.Name, section+".")
		if r.in == nil || !mine {
			continue
		}
		known[name] = true
		dst := r.in(b.file.config, i)
		r.fill(dst)
		if v, ok := values[name]; ok {
			b.value(r, at.child(name), dst, v)
		}
	}
	for _, k := range sortedKeys(values) {
		if !known[k] {
			b.unknown(section, k, at.child(k))
		}
	}
}
