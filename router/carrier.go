package router

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"

	"github.com/tidwall/gjson"

	"detour/internal/dialect"
	"detour/internal/dialect/carrier"
	"detour/internal/dialect/responses"
	"detour/internal/llm"
	"detour/providers"
)

// carriers seal what only the account that made it can read again: each account has a key of its own.
type carriers map[string]*carrier.Codec

func newCarriers(key []byte, accounts []*providers.Account) carriers {
	c := carriers{}
	if len(key) == 0 {
		return c
	}
	for _, a := range accounts {
		c[a.ID()] = derived(key, a.Provider()+"\x00"+a.ID())
	}
	return c
}

// derived returns a codec with a key of its own for a purpose, or nil when there is no key at all.
func derived(key []byte, purpose string) *carrier.Codec {
	if len(key) == 0 {
		return nil
	}
	h := hmac.New(sha256.New, key)
	h.Write([]byte(purpose))
	return carrier.New(h.Sum(nil))
}

// owner names the account that sealed a value, "" when none of ours did.
func (c carriers) owner(value string) string {
	for id, codec := range c {
		if _, _, _, ok := codec.OpenAs(value); ok {
			return id
		}
	}
	return ""
}

// ownerOf names the account that sealed what a request carries, "" when none of ours did.
func (c carriers) ownerOf(r *llm.Request) string {
	for i := range r.Turns {
		for _, p := range r.Turns[i].Parts {
			if p.Opaque.Kind == llm.OpaqueCarrier {
				if id := c.owner(p.Opaque.Value); id != "" {
					return id
				}
			}
		}
	}
	return ""
}

// sealer is what the answers of one account are sealed with.
func (x *exchange) sealer(a *providers.Account) func(id, blob string) string {
	codec := x.table.carriers[a.ID()]
	if codec == nil || !x.asWritten() {
		return nil
	}
	return codec.Seal
}

// asWritten tells whether a request in Responses goes up in the client's own words, but for the listed edits.
func (x *exchange) asWritten() bool {
	return x.call.Endpoint == dialect.EndpointResponses && !x.call.Verbatim && (x.translation == nil || x.translation.asWritten)
}

// owned looks for values in a request that one account sealed: that account must serve it, whatever else is known of
// the conversation.
func (x *exchange) owned() {
	x.findOwner()
	if x.wish.Owner == "" {
		x.wish.Owner = x.turnOwner()
	}
}

func (x *exchange) findOwner() {
	if x.translation != nil && !x.translation.asWritten {
		x.wish.Owner = x.table.carriers.ownerOf(x.translation.request)
		return
	}
	if !x.asWritten() || !bytes.Contains(x.call.Body, []byte(carrier.Prefix)) {
		return
	}
	gjson.GetBytes(x.call.Body, "input").ForEach(func(_, item gjson.Result) bool {
		if v := item.Get("encrypted_content"); strings.HasPrefix(v.Str, carrier.Prefix) {
			x.sealed = true
			x.wish.Owner = x.table.carriers.owner(v.Str)
		}
		return x.wish.Owner == "" // the newest owner would do as well: a conversation has one
	})
}

// unseal restores for account a what it sealed itself, and takes out reasoning that another account sealed: it could
// only be refused. History that another account compacted cannot be taken out, so that is an error.
func (x *exchange) unseal(a *providers.Account) ([]byte, error) {
	codec := x.table.carriers[a.ID()]
	if !x.asWritten() || codec == nil {
		return x.call.Body, nil
	}
	if !x.sealed {
		return responses.Unseal(x.call.Body, codec.Open), nil
	}
	body, err := x.withoutForeign(codec)
	if err != nil {
		return nil, err
	}
	return responses.Unseal(body, codec.Open), nil
}

// withoutForeign returns the body less the reasoning that another account than codec's sealed. It goes over the body
// once: a client decides how many such items there are.
func (x *exchange) withoutForeign(codec *carrier.Codec) ([]byte, error) {
	input := gjson.GetBytes(x.call.Body, "input")
	var foreign *providers.Error
	i, dropped, kept := -1, false, []byte{'['}
	input.ForEach(func(_, item gjson.Result) bool {
		i++
		if v := item.Get("encrypted_content").Str; strings.HasPrefix(v, carrier.Prefix) {
			if _, _, ok := codec.Open(v); !ok {
				if kind := item.Get("type").Str; kind != "reasoning" {
					foreign = foreignItem(kind, i)
				}
				dropped = true
				return foreign == nil
			}
		}
		if len(kept) > 1 {
			kept = append(kept, ',')
		}
		kept = append(kept, item.Raw...)
		return true
	})
	if foreign != nil {
		return nil, foreign
	}
	if !dropped {
		return x.call.Body, nil
	}
	return slices.Concat(x.call.Body[:input.Index], kept, []byte{']'}, x.call.Body[input.Index+len(input.Raw):]), nil
}

// foreignItem is the error for history that cannot be taken out and that the serving account cannot read.
func foreignItem(kind string, at int) *providers.Error {
	return &providers.Error{Kind: providers.KindInvalid, Failure: dialect.Failure{
		Status: 400, Type: "invalid_request_error", Code: "foreign_" + clip(kind), Param: fmt.Sprintf("input.%d", at),
		Message: "This " + clip(kind) + " item was made by another account than the one that serves this conversation now, and only that account can read it. Start a new conversation.",
	}}
}
