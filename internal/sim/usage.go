package sim

import (
	"cmp"
	"math"
	"net/url"
	"strconv"
	"time"
)

// free returns what remains of the monthly quotas of Copilot Free.
func (a *Account) free() (chat, completions int) {
	return cmp.Or(a.Chat, 48), cmp.Or(a.Completions, 1990)
}

// resetDate is the first day of the month after now.
func resetDate(now time.Time) time.Time {
	y, m, _ := now.UTC().Date()
	return time.Date(y, m+1, 1, 0, 0, 0, 0, time.UTC)
}

// remaining is what is left of the premium entitlement of a after used.
func (a *Account) remaining(used float64) (left, percent, overage float64) {
	total := a.entitlement()
	left = total - used
	if left < 0 {
		overage, left = -left, 0
	}
	return left, math.Round(left/total*1000) / 10, overage
}

// usage is the body of GET /copilot_internal/user.
func (c *call) usage() []byte {
	a := c.who
	now := c.sim.now()
	reset := resetDate(now)
	shape := a.Usage
	if shape == "" {
		switch {
		case a.plan() == "free":
			shape = UsageFree
		case a.TokenBilled:
			shape = UsageTokens
		case a.Entitlement < 0:
			shape = UsageUnlimited
		default:
			shape = UsagePaid
		}
	}
	o := object{
		"login": a.Name, "access_type_sku": a.sku(), "copilot_plan": a.plan(), "assigned_date": "2025-09-01T10:00:00-07:00",
		"analytics_tracking_id": "sim", "chat_enabled": a.Access != AccessChatOff, "can_signup_for_limited": false,
		"is_mcp_enabled": true, "organization_login_list": []string{}, "organization_list": []any{},
		"endpoints": c.endpoints(""), "quota_reset_date": reset.Format(time.DateOnly),
		"quota_reset_date_utc": reset.Format("2006-01-02T15:04:05.000Z"),
	}
	switch shape {
	case UsageOtherHost:
		o["endpoints"] = c.endpoints("wrong")
		fallthrough
	case UsagePaid, UsageTokens, UsageUnlimited:
		o["token_based_billing"] = shape == UsageTokens
		o["quota_snapshots"] = c.snapshots(shape, now)
	case UsageFree:
		chat, completions := a.free()
		o["quota_snapshots"] = object{
			"chat":        freeSnapshot("chat", 200, chat),
			"completions": freeSnapshot("completions", 2000, completions),
			"premium_interactions": object{
				"quota_id": "premium_interactions", "entitlement": 0, "remaining": 0, "percent_remaining": 0.0,
				"unlimited": false, "has_quota": false,
			},
		}
	case UsageFreeLegacy:
		chat, completions := a.free()
		o["limited_user_quotas"] = object{"chat": chat, "completions": completions}
		o["monthly_quotas"] = object{"chat": 200, "completions": 2000}
		o["limited_user_reset_date"] = reset.Format(time.DateOnly)
	}
	return mustJSON(o)
}

func freeSnapshot(id string, entitlement, left int) object {
	return object{
		"quota_id": id, "entitlement": entitlement, "remaining": left, "quota_remaining": float64(left),
		"percent_remaining": float64(left) / float64(entitlement) * 100, "unlimited": false, "has_quota": true,
	}
}

// snapshots are the quotas of a paid plan.
func (c *call) snapshots(shape string, now time.Time) object {
	a := c.who
	unlimited := func(id string) object {
		return object{
			"quota_id": id, "entitlement": 0, "remaining": 0, "quota_remaining": 0.0, "percent_remaining": 100.0, "unlimited": true,
			"overage_count": 0, "overage_permitted": false, "has_quota": true, "timestamp_utc": now.UTC().Format(time.RFC3339),
		}
	}
	all := object{"chat": unlimited("chat"), "completions": unlimited("completions"), "premium_interactions": unlimited("premium_interactions")}
	if shape == UsageUnlimited {
		return all
	}
	used := a.Used + c.account.Premium()
	left, percent, overage := a.remaining(used)
	all["premium_interactions"] = object{
		"quota_id": "premium_interactions", "entitlement": a.entitlement(), "remaining": math.Floor(left), "quota_remaining": left,
		"percent_remaining": percent, "unlimited": false, "overage_count": overage, "overage_permitted": a.Overage,
		"overage_entitlement": 0, "credits_used": used, "quota_reset_at": 0, "token_based_billing": shape == UsageTokens,
		"timestamp_utc": now.UTC().Format(time.RFC3339),
	}
	return all
}

// quotaHeaders sets the quota headers of a successful inference answer.
func (c *call) quotaHeaders() {
	h := c.w.Header()
	for i, v := range c.account.quotaValues(*c.who, c.sim.now()) {
		h[quotaHeaderName(i)] = []string{v}
	}
}

// quotaHeaderName is the name of the i-th of quotaValues.
func quotaHeaderName(i int) string {
	return [...]string{
		"X-Quota-Snapshot-Chat", "X-Quota-Snapshot-Completions", "X-Quota-Snapshot-Premium_interactions",
		"X-Usage-Ratelimit-Session", "X-Usage-Ratelimit-Weekly",
	}[i]
}

// quotaValues renders the quota headers; once for each value of the counter.
func (a *AccountState) quotaValues(who Account, now time.Time) []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	used := who.Used + a.counts.Premium
	if a.quota != nil && a.quotaAt == used && a.quotaOf == who {
		return a.quota
	}
	rst := url.QueryEscape(resetDate(now).Format(time.RFC3339))
	unlimited := "ent=-1&ov=0.0&ovPerm=false&rem=100.0&rst=" + rst + "&totRem=-1"
	premium := unlimited
	if who.Entitlement >= 0 {
		left, percent, overage := who.remaining(used)
		premium = "ent=" + strconv.FormatFloat(who.entitlement(), 'f', -1, 64) + "&ov=" + strconv.FormatFloat(overage, 'f', 1, 64) +
			"&ovPerm=" + strconv.FormatBool(who.Overage) + "&rem=" + strconv.FormatFloat(percent, 'f', 1, 64) + "&rst=" + rst +
			"&totRem=" + strconv.FormatFloat(left, 'f', 1, 64)
	}
	window := func(d time.Duration) string {
		return "ent=0&ov=0.0&ovPerm=false&rem=99.6&rst=" + url.QueryEscape(now.Add(d).UTC().Truncate(time.Hour).Format(time.RFC3339))
	}
	a.quota = []string{unlimited, unlimited, premium, window(5 * time.Hour), window(7 * 24 * time.Hour)}
	a.quotaAt, a.quotaOf = used, who
	return a.quota
}
