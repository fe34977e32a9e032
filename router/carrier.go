package router

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"strings"

	"github.com/tidwall/gjson"
	"github.com/tidwall/sjson"

	"detour/internal/dialect"
	"detour/internal/dialect/carrier"
	"detour/internal/dialect/responses"
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
		h := hmac.New(sha256.New, key)
		h.Write([]byte(a.Provider() + "\x00" + a.ID()))
		c[a.ID()] = carrier.New(h.Sum(nil))
	}
	return c
}

// owner names the account that sealed a value, "" when none of ours did.
func (c carriers) owner(value string) string {
	for id, codec := range c {
		if _, _, ok := codec.Open(value); ok {
			return id
		}
	}
	return ""
}

// sealer is what the answers of one account are sealed with.
func (x *exchange) sealer(a *providers.Account) func(id, blob string) string {
	codec := x.table.carriers[a.ID()]
	if codec == nil || x.op.endpoint != dialect.EndpointResponses || x.call.Verbatim {
		return nil
	}
	return codec.Seal
}

// owned looks for values in a request that one account sealed: that account must serve it, whatever else is known of
// the conversation.
func (x *exchange) owned() {
	if x.op.endpoint != dialect.EndpointResponses || !bytes.Contains(x.call.Body, []byte(carrier.Prefix)) {
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
	if x.op.endpoint != dialect.EndpointResponses || x.call.Verbatim || codec == nil {
		return x.call.Body, nil
	}
	if !x.sealed {
		return responses.Unseal(x.call.Body, codec.Open), nil
	}
	body := x.call.Body
	items := gjson.GetBytes(body, "input").Array()
	for i := len(items) - 1; i >= 0; i-- {
		v := items[i].Get("encrypted_content").Str
		if !strings.HasPrefix(v, carrier.Prefix) {
			continue
		}
		if _, _, ok := codec.Open(v); ok {
			continue
		}
		if kind := items[i].Get("type").Str; kind != "reasoning" {
			return nil, &providers.Error{Kind: providers.KindInvalid, Failure: dialect.Failure{
				Status: 400, Type: "invalid_request_error", Code: "foreign_" + kind, Param: fmt.Sprintf("input.%d", i),
				Message: "This " + kind + " item was made by another account than the one that serves this conversation now, and only that account can read it. Start a new conversation.",
			}}
		}
		var err error
		if body, err = sjson.DeleteBytes(body, fmt.Sprintf("input.%d", i)); err != nil {
			return nil, &providers.Error{Kind: providers.KindInvalid, Err: err}
		}
	}
	return responses.Unseal(body, codec.Open), nil
}
