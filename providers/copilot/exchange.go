package copilot

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/tidwall/gjson"

	"detour/internal/secret"
	"detour/providers"
)

const (
	exchangePath = "/copilot_internal/v2/token"

	// readyPrefix begins a credential that is a Copilot token already.
	readyPrefix = "tid="

	defaultRefreshIn = 1500 * time.Second
	// graceAfterRefresh is how long a token is taken to live past refresh_in when the clocks cannot be compared.
	graceAfterRefresh = 60 * time.Second
	maxLifetime       = 24 * time.Hour
)

// exchanger is what an account calls to get a lease.
func (p *Provider) exchanger(st *state, now func() time.Time) func(context.Context) (providers.Lease, error) {
	return func(ctx context.Context) (providers.Lease, error) {
		switch {
		case st.github.IsZero():
			return providers.Lease{}, &providers.Error{Kind: providers.KindLogin, Hint: "sign in with `detour login`", Err: errors.New("account has no credential")}
		case strings.HasPrefix(st.github.Reveal(), readyPrefix):
			return st.ready(now())
		case st.direct:
			return p.directLease(ctx, st)
		}
		return p.exchange(ctx, st, now)
	}
}

// exchange trades the GitHub token for a Copilot token.
func (p *Provider) exchange(ctx context.Context, st *state, now func() time.Time) (providers.Lease, error) {
	body, header, err := p.management(ctx, &st.settings, st.management, st.github, exchangePath)
	if err != nil {
		return providers.Lease{}, err
	}
	at := now().Round(0)
	answer := gjson.ParseBytes(body)
	token := secret.New(answer.Get("token").String())
	if token.IsZero() || !sendable(token) {
		return providers.Lease{}, &providers.Error{Kind: providers.KindServer, Err: errors.New("answer of the token exchange holds no token")}
	}
	base, err := st.inferenceBase(answer)
	if err != nil {
		return providers.Lease{}, err
	}
	st.noteBilling(answer)
	refresh, lifetime := lifetimes(answer, header, at)
	return providers.Lease{
		Token:      token,
		Base:       base,
		RefreshAt:  at.Add(refresh),
		Expires:    at.Add(lifetime),
		Attributes: attributes(answer),
	}, nil
}

// inferenceBase chooses where the credential goes: what the owner configured, else what the answer names if that is
// GitHub's, else the host for the account type.
func (s *settings) inferenceBase(answer gjson.Result) (string, error) {
	if s.base != "" {
		return s.base, nil
	}
	named := answer.Get("endpoints.api").String()
	if named == "" {
		return s.fallbackBase(), nil
	}
	base, err := allowedBase(named, s.domain)
	if err != nil {
		return "", &providers.Error{
			Kind: providers.KindPolicy,
			Hint: "if that host is yours, name it in the account's copilot_api_url or enterprise_domain",
			Err:  fmt.Errorf("refuse the inference address in GitHub's answer: %w", err),
		}
	}
	return base, nil
}

// lifetimes says how long a token is good for, by the local clock: until it should be renewed and until it ends.
// expires_at is on the server's clock, so it is compared with the Date of the same answer. If the two make no sense
// together, the token is taken to live a little longer than the server asks to keep it.
func lifetimes(answer gjson.Result, header http.Header, at time.Time) (refresh, lifetime time.Duration) {
	refresh = seconds(answer.Get("refresh_in").Float())
	if refresh <= 0 {
		refresh = defaultRefreshIn
	}
	expires := answer.Get("expires_at").Float()
	if date, err := http.ParseTime(header.Get("Date")); err == nil {
		lifetime = seconds(expires - float64(date.Unix()))
	} else if lifetime = seconds(expires - float64(at.Unix())); lifetime < refresh {
		lifetime = 0 // the local clock cannot be trusted either
	}
	if lifetime <= 0 || lifetime > maxLifetime {
		lifetime = refresh + graceAfterRefresh
	}
	return refresh, lifetime
}

// seconds converts, holding absurd figures at a day more than any real one.
func seconds(s float64) time.Duration {
	return time.Duration(max(-1, min(s, (maxLifetime+time.Hour).Seconds())) * float64(time.Second))
}

// attributes picks what people want to know about the account.
func attributes(answer gjson.Result) map[string]string {
	m := make(map[string]string)
	put := func(name, value string) {
		if value != "" && len(value) < 1024 {
			m[name] = printable(value)
		}
	}
	put("sku", answer.Get("sku").String())
	if v := answer.Get("chat_enabled"); v.Exists() {
		put("chat_enabled", strconv.FormatBool(v.Bool()))
	}
	if v := answer.Get("individual"); v.Exists() {
		put("individual", strconv.FormatBool(v.Bool()))
	}
	if v := answer.Get("limited_user_quotas.chat"); v.Exists() {
		put("chat_left", v.String())
	}
	if notice := answer.Get("user_notification"); notice.IsObject() {
		_, text := refusal(notice)
		put("notice", text)
	}
	return m
}

// ready makes a lease of a credential that is a Copilot token itself. It cannot be renewed.
func (s *state) ready(now time.Time) (providers.Lease, error) {
	l := providers.Lease{Token: s.github, Base: s.base}
	fields := make(map[string]string)
	for field := range strings.SplitSeq(s.github.Reveal(), ";") {
		name, value, _ := strings.Cut(field, "=")
		fields[name] = value
	}
	if exp, err := strconv.ParseInt(fields["exp"], 10, 64); err == nil && exp > 0 && exp < 1<<40 {
		l.Expires = time.Unix(exp, 0).Add(5 * time.Minute) // clocks differ; the upstream knows best
		if !now.Before(l.Expires) {
			return providers.Lease{}, &providers.Error{Kind: providers.KindLogin, Hint: "sign in with `detour login`, or give a newer token", Err: errors.New("the Copilot token has expired, and cannot be renewed because it was given as it is")}
		}
	}
	if l.Base == "" {
		l.Base = s.fallbackBase()
		if host, ok := strings.CutPrefix(fields["proxy-ep"], "proxy."); ok && s.accountType == "" {
			if base, err := allowedBase("https://api."+host, s.domain); err == nil {
				l.Base = base
			}
		}
	}
	return l, nil
}

// directLease uses the GitHub token itself. The host is the owner's choice; failing that it is asked for, and an
// account that may not ask gets the generic host.
func (p *Provider) directLease(ctx context.Context, st *state) (providers.Lease, error) {
	l := providers.Lease{Token: st.github, Base: st.base}
	if l.Base == "" && (st.accountType != "" || st.domain != "") {
		l.Base = st.fallbackBase()
	}
	if l.Base != "" {
		return l, nil
	}
	body, _, err := p.management(ctx, &st.settings, st.management, st.github, userPath)
	if err == nil {
		answer := gjson.ParseBytes(body)
		st.noteBilling(answer)
		l.Base, err = st.inferenceBase(answer)
		return l, err
	}
	switch e := providers.AsError(err); e.Failure.Status {
	case http.StatusForbidden, http.StatusNotFound:
		if e.Kind == providers.KindPolicy || e.Kind == providers.KindLogin {
			l.Base = st.fallbackBase()
			return l, nil
		}
	}
	return providers.Lease{}, err
}
