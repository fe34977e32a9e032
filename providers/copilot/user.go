package copilot

import (
	"context"
	"encoding/json"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tidwall/gjson"

	"detour/providers"
)

const userPath = "/copilot_internal/user"

// UserInfo is what the management plane tells about an account's plan and use. Any field may be missing.
type UserInfo struct {
	Login string `json:"login,omitempty"`
	Plan  string `json:"plan,omitempty"` // free, individual, individual_pro, business, enterprise
	SKU   string `json:"sku,omitempty"`
	// TokenBilled says that use is charged by tokens and not by premium requests.
	TokenBilled bool      `json:"token_billed"`
	Resets      time.Time `json:"resets,omitzero"`
	Quotas      []Quota   `json:"quotas,omitempty"` // by name
	// Raw is the whole answer. Plans differ in what the figures mean, so people may want to see them as they came.
	Raw json.RawMessage `json:"-"`
}

// Quota is one allowance.
type Quota struct {
	Name string `json:"name"` // chat, completions, premium_interactions, …
	// Entitlement and Remaining are counts; -1 when they are not told.
	Entitlement float64 `json:"entitlement"`
	Remaining   float64 `json:"remaining"`
	// Percent of the entitlement that remains; -1 when it is not told.
	Percent   float64 `json:"percent"`
	Unlimited bool    `json:"unlimited"`
	// Applicable is false for an allowance that the plan does not have, which is not the same as one that is spent.
	Applicable       bool      `json:"applicable"`
	OverageCount     float64   `json:"overage_count"`
	OveragePermitted bool      `json:"overage_permitted"`
	Resets           time.Time `json:"resets,omitzero"`
}

// User asks the management plane about a's plan and allowances. Errors are *Error.
func (p *Provider) User(ctx context.Context, a *providers.Account) (UserInfo, error) {
	st, err := stateOf(a)
	if err != nil {
		return UserInfo{}, err
	}
	if strings.HasPrefix(st.github.Reveal(), readyPrefix) {
		return UserInfo{}, &providers.Error{Kind: providers.KindLogin, Hint: "quota needs a GitHub token, and this account has a Copilot token only: " + hintLogin}
	}
	body, _, err := p.management(ctx, &st.settings, st.management, st.github, userPath)
	if err != nil {
		return UserInfo{}, err
	}
	st.noteBilling(gjson.ParseBytes(body))
	return parseUser(body), nil
}

func parseUser(body []byte) UserInfo {
	doc := gjson.ParseBytes(body)
	u := UserInfo{
		Login:       printable(doc.Get("login").String()),
		Plan:        printable(doc.Get("copilot_plan").String()),
		SKU:         printable(doc.Get("access_type_sku").String()),
		TokenBilled: doc.Get("token_based_billing").Bool(),
		Raw:         json.RawMessage(body),
	}
	for _, name := range []string{"quota_reset_date_utc", "quota_reset_date", "limited_user_reset_date"} {
		if u.Resets = date(doc.Get(name)); !u.Resets.IsZero() {
			break
		}
	}
	if snapshots := doc.Get("quota_snapshots"); snapshots.IsObject() {
		snapshots.ForEach(func(name, v gjson.Result) bool {
			if v.IsObject() {
				u.Quotas = append(u.Quotas, parseQuota(printable(name.String()), v))
			}
			return true
		})
	} else {
		u.Quotas = limitedQuotas(doc)
	}
	slices.SortFunc(u.Quotas, func(a, b Quota) int { return strings.Compare(a.Name, b.Name) })
	return u
}

func parseQuota(name string, v gjson.Result) Quota {
	q := Quota{
		Name:             name,
		Entitlement:      figure(v, "entitlement"),
		Remaining:        figure(v, "quota_remaining", "remaining"),
		Percent:          figure(v, "percent_remaining"),
		Unlimited:        v.Get("unlimited").Bool(),
		OverageCount:     max(0, figure(v, "overage_count")),
		OveragePermitted: v.Get("overage_permitted").Bool(),
		Resets:           date(v.Get("quota_reset_at")),
	}
	has := v.Get("has_quota")
	q.Applicable = q.Unlimited || !has.Exists() || has.Bool()
	return q
}

// limitedQuotas reads the older answers for free accounts: what remains and what there was in separate objects.
func limitedQuotas(doc gjson.Result) []Quota {
	left, all := doc.Get("limited_user_quotas"), doc.Get("monthly_quotas")
	if !left.IsObject() {
		return nil
	}
	var list []Quota
	left.ForEach(func(key, _ gjson.Result) bool {
		path := gjson.Escape(key.String())
		q := Quota{Name: printable(key.String()), Remaining: figure(left, path), Entitlement: figure(all, path), Percent: -1, Applicable: true}
		if q.Remaining >= 0 && q.Entitlement >= 1 {
			q.Percent = q.Remaining / q.Entitlement * 100
		}
		list = append(list, q)
		return true
	})
	return list
}

// figure is the first of the members at paths that is a number, also one written as a string; -1 if none is.
func figure(v gjson.Result, paths ...string) float64 {
	for _, path := range paths {
		if m := v.Get(path); m.Type == gjson.Number || m.Type == gjson.String {
			if f, ok := number(m.String()); ok && math.Abs(f) < 1e15 {
				return f
			}
		}
	}
	return -1
}

// date reads a time, a day, or Unix seconds.
func date(v gjson.Result) time.Time {
	switch v.Type {
	case gjson.Number:
		if v.Num > 0 && v.Num < 1<<40 {
			return time.Unix(int64(v.Num), 0).UTC()
		}
	case gjson.String:
		for _, layout := range []string{time.RFC3339, time.DateOnly} {
			if t, err := time.Parse(layout, v.Str); err == nil {
				return t.UTC()
			}
		}
	}
	return time.Time{}
}

// QuotaHeaders reads the allowances that an inference answer reports in its headers, by name. The five-hour and weekly
// windows are named session and weekly. Answers of other kinds report none.
func QuotaHeaders(h http.Header) []Quota {
	var list []Quota
	for key, values := range h {
		name, ok := strings.CutPrefix(key, "X-Quota-Snapshot-")
		if !ok {
			if name, ok = strings.CutPrefix(key, "X-Usage-Ratelimit-"); !ok {
				continue
			}
		}
		if len(values) == 0 || name == "" {
			continue
		}
		if q, ok := quotaHeader(name, values[0]); ok {
			list = append(list, q)
		}
	}
	slices.SortFunc(list, func(a, b Quota) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// quotaHeader reads the value of one such header.
func quotaHeader(name, value string) (Quota, bool) {
	fields, err := url.ParseQuery(value)
	if err != nil {
		return Quota{}, false
	}
	field := func(key string, fallback float64) float64 {
		if f, ok := number(fields.Get(key)); ok {
			return f
		}
		return fallback
	}
	q := Quota{
		Name:         strings.ToLower(name),
		Entitlement:  field("ent", -1),
		Remaining:    field("totRem", -1),
		Percent:      field("rem", -1),
		OverageCount: max(0, field("ov", 0)),
		Applicable:   true,
	}
	q.Unlimited = field("ent", 0) < 0
	q.OveragePermitted, _ = strconv.ParseBool(fields.Get("ovPerm"))
	if t, err := time.Parse(time.RFC3339, fields.Get("rst")); err == nil {
		q.Resets = t.UTC()
	}
	return q, true
}
