package config

import "strings"

// accounts takes every [[accounts]] block.
func (b *binder) accounts() {
	at := path{{"accounts", -1}}
	first := map[string]int{}
	for i, block := range b.list("accounts") {
		a := b.account(at.within(i), block)
		p := at.within(i)
		if a.ID == "" {
			b.complain(p, &mistake{message: "the account has no id", suggestion: `write id = "personal"`})
		} else if line, dup := first[a.ID]; dup {
			b.complain(p.child("id"), &mistake{message: quote(a.ID) + " is the id of another account, at line " + itoa(line)})
		} else {
			first[a.ID] = b.file.doc.lineOf(p.child("id"))
		}
		b.file.config.Accounts = append(b.file.config.Accounts, a)
	}
}

// account takes one block.
func (b *binder) account(at path, block map[string]any) Account {
	var a Account
	known := map[string]bool{}
	for i := range b.rows {
		r := &b.rows[i]
		if r.of == nil {
			continue
		}
		name := strings.TrimPrefix(r.Name, "accounts.")
		known[name] = true
		r.fill(r.of(&a))
		if v, ok := block[name]; ok {
			b.value(r, at.child(name), r.of(&a), v)
		}
	}
	for _, k := range sortedKeys(block) {
		if !known[k] {
			b.unknown("accounts", k, at.child(k))
		}
	}
	return a
}
