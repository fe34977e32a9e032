package copilot

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/tidwall/gjson"

	"detour/internal/secret"
	"detour/providers"
)

const (
	deviceGrant     = "urn:ietf:params:oauth:grant-type:device_code" // RFC 8628 §3.4
	defaultInterval = 5 * time.Second
	defaultValidity = 15 * time.Minute
	maxInterval     = 5 * time.Minute
	slowDown        = 5 * time.Second // RFC 8628 §3.5
)

// LoginOptions choose where to sign in and as which application. Empty fields mean the defaults.
type LoginOptions struct {
	Domain   string // of a data-residency enterprise; "" for github.com
	ClientID string
	Scope    string
	// Prompt shows the code to the person. It is called once, before the first poll, and should return at once.
	Prompt func(DeviceCode)
}

// DeviceCode is what a person needs for signing in. Its strings hold no control characters.
type DeviceCode struct {
	UserCode        string
	VerificationURI string // https, or on the address that the owner configured
	Expires         time.Duration
}

// Credential is the outcome of a sign-in.
type Credential struct {
	Token  secret.String
	Domain string // normalised enterprise domain, or ""
	// User is the zero User when GitHub did not tell; the credential is good all the same.
	User User
}

// User is who a token belongs to. ID never changes, Login may.
type User struct {
	ID    int64
	Login string
	Name  string
}

// LoginError is how a sign-in ended without a credential.
type LoginError struct {
	Code        string // RFC 8628 §3.5: access_denied, expired_token, …
	Description string // GitHub's words, or ""
}

// Error implements error.
func (e *LoginError) Error() string {
	switch e.Code {
	case "access_denied":
		return "sign in: the request was declined"
	case "expired_token":
		return "sign in: the code expired before it was entered"
	}
	if e.Description != "" {
		return fmt.Sprintf("sign in: %s (%s)", e.Description, e.Code)
	}
	return "sign in: GitHub answered " + e.Code
}

// Login signs a person in by the OAuth device flow (RFC 8628). It returns when the person has decided, the code has
// expired or ctx ends. What the network does in between is survived.
func (p *Provider) Login(ctx context.Context, o LoginOptions) (Credential, error) {
	if o.Prompt == nil {
		return Credential{}, errors.New("sign in: nobody to show the code to")
	}
	s, err := parseSettings(map[string]string{"enterprise_domain": o.Domain, "client_id": o.ClientID, "scope": o.Scope}, p.urls, "")
	if err != nil {
		return Credential{}, fmt.Errorf("sign in: %w", err)
	}
	f := deviceFlow{p: p, s: &s}
	if err := f.start(ctx); err != nil {
		return Credential{}, err
	}
	o.Prompt(f.shown)
	token, err := f.wait(ctx)
	if err != nil {
		return Credential{}, err
	}
	c := Credential{Token: token, Domain: s.domain}
	if c.User, err = p.identify(ctx, &s, token); err != nil {
		p.log.WarnContext(ctx, "signed in, but github did not say as whom", "err", err)
	}
	return c, nil
}

// deviceFlow is one sign-in.
type deviceFlow struct {
	p        *Provider
	s        *settings
	shown    DeviceCode
	code     secret.String
	interval time.Duration
	deadline time.Time // monotonic
}

// start asks for a code.
func (f *deviceFlow) start(ctx context.Context) error {
	return retry(ctx, func(ctx context.Context) error {
		answer, err := f.post(ctx, "/login/device/code", map[string]string{"client_id": f.s.clientID, "scope": f.s.scope})
		if err != nil {
			return err
		}
		if err := answer.failure(f.code); err != nil {
			return err
		}
		f.code = secret.New(answer.text("device_code"))
		f.shown.UserCode = printable(answer.text("user_code"))
		if f.code.IsZero() || f.shown.UserCode == "" {
			return &LoginError{Code: "invalid_answer", Description: "GitHub sent no code"}
		}
		f.shown.VerificationURI = f.page(answer.text("verification_uri"))
		f.shown.Expires = defaultValidity
		if d := seconds(answer.number("expires_in")); d > 0 {
			f.shown.Expires = d
		}
		f.interval = defaultInterval
		if d := seconds(answer.number("interval")); d > 0 {
			f.interval = min(d, maxInterval)
		}
		f.deadline = time.Now().Add(f.shown.Expires)
		return nil
	})
}

// page is the address to show. It may end up in a browser's address bar or a shell command, so anything but a plain
// web address on a secure or configured host gives way to the usual one.
func (f *deviceFlow) page(raw string) string {
	u, err := url.Parse(raw)
	if err == nil && u.Host != "" && u.User == nil && raw == printable(raw) && !strings.ContainsAny(raw, " \"'`$\\") &&
		(u.Scheme == "https" || strings.HasPrefix(raw, f.s.github+"/")) {
		return raw
	}
	return f.s.github + "/login/device"
}

// wait polls until there is a decision.
func (f *deviceFlow) wait(ctx context.Context) (secret.String, error) {
	for {
		if time.Until(f.deadline) < f.interval {
			return secret.String{}, f.expire(ctx)
		}
		if err := sleep(ctx, f.interval); err != nil {
			return secret.String{}, fmt.Errorf("sign in: %w", err)
		}
		once, cancel := context.WithTimeout(ctx, managementTimeout)
		answer, err := f.post(once, "/login/oauth/access_token", map[string]string{
			"client_id": f.s.clientID, "device_code": f.code.Reveal(), "grant_type": deviceGrant,
		})
		cancel()
		if ctx.Err() != nil {
			return secret.String{}, fmt.Errorf("sign in: %w", context.Cause(ctx))
		}
		if err != nil {
			if err := f.survive(err); err != nil {
				return secret.String{}, err
			}
			continue
		}
		if token := secret.New(answer.text("access_token")); !token.IsZero() {
			if !sendable(token) {
				return secret.String{}, &LoginError{Code: "invalid_answer", Description: "GitHub sent a token that no header can hold"}
			}
			return token, nil
		}
		switch answer.text("error") {
		case "authorization_pending":
		case "slow_down":
			f.interval = min(max(f.interval+slowDown, seconds(answer.number("interval"))), maxInterval)
		default:
			if err := answer.failure(f.code); err != nil {
				return secret.String{}, err
			}
			return secret.String{}, &LoginError{Code: "invalid_answer", Description: "GitHub sent neither a token nor an error"}
		}
	}
}

// expire waits for the code's end, so that a person who enters it late is not told so early.
func (f *deviceFlow) expire(ctx context.Context) error {
	if err := sleep(ctx, time.Until(f.deadline)); err != nil {
		return fmt.Errorf("sign in: %w", err)
	}
	return &LoginError{Code: "expired_token"}
}

// survive returns nil for a failure to poll that is worth polling again.
func (f *deviceFlow) survive(err error) error {
	switch e := providers.AsError(err); e.Kind {
	case providers.KindNetwork, providers.KindStalled, providers.KindServer:
		return nil
	case providers.KindRateLimit:
		f.interval = min(max(f.interval+slowDown, e.RetryAfter), maxInterval)
		return nil
	}
	return err
}

// post sends fields as JSON and reads the answer in either of the encodings that GitHub uses.
func (f *deviceFlow) post(ctx context.Context, path string, fields map[string]string) (oauthAnswer, error) {
	body, err := json.Marshal(fields)
	if err != nil {
		return oauthAnswer{}, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, f.s.github+path, bytes.NewReader(body))
	if err != nil {
		return oauthAnswer{}, &providers.Error{Kind: providers.KindInvalid, Err: err}
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", f.s.agent)
	resp, data, err := f.p.roundTrip(req)
	if err != nil {
		return oauthAnswer{}, err
	}
	answer, ok := parseOAuth(data)
	if ok { // an error may come with any status, 200 included
		return answer, nil
	}
	if resp.StatusCode < 400 {
		return oauthAnswer{}, notGitHub(resp)
	}
	e := managementError(resp, data, f.code, f.p.now())
	if e.Kind != providers.KindServer && e.Kind != providers.KindRateLimit {
		e = &providers.Error{Kind: providers.KindInvalid, Failure: e.Failure, RequestID: e.RequestID, Hint: "check github_url, enterprise_domain and client_id"}
	}
	return oauthAnswer{}, e
}

// oauthAnswer is an answer of the sign-in endpoints.
type oauthAnswer struct {
	doc  gjson.Result
	form url.Values
}

// parseOAuth accepts an answer only if it has one of the members that such answers have.
func parseOAuth(data []byte) (oauthAnswer, bool) {
	var a oauthAnswer
	if gjson.ValidBytes(data) {
		a.doc = gjson.ParseBytes(data)
	} else if form, err := url.ParseQuery(strings.TrimSpace(string(data))); err == nil {
		a.form = form
	}
	for _, name := range []string{"device_code", "access_token", "error"} {
		if a.text(name) != "" {
			return a, true
		}
	}
	return oauthAnswer{}, false
}

func (a oauthAnswer) text(name string) string {
	if a.form != nil {
		return a.form.Get(name)
	}
	if v := a.doc.Get(name); v.Type == gjson.String || v.Type == gjson.Number {
		return v.String()
	}
	return ""
}

func (a oauthAnswer) number(name string) float64 {
	f, _ := number(a.text(name))
	return f
}

// failure is the answer's error, or nil if it holds none. What was sent in confidence is masked in it.
func (a oauthAnswer) failure(sent secret.String) error {
	code := a.text("error")
	if code == "" {
		return nil
	}
	return &LoginError{Code: clip(printable(sent.Mask(code)), 128), Description: clip(printable(sent.Mask(a.text("error_description"))), 1024)}
}

// Identify asks GitHub whose token it is. domain is that of a data-residency enterprise, or "". Errors are *Error, or
// about domain.
func (p *Provider) Identify(ctx context.Context, token secret.String, domain string) (User, error) {
	s, err := parseSettings(map[string]string{"enterprise_domain": domain}, p.urls, "")
	if err != nil {
		return User{}, err
	}
	return p.identify(ctx, &s, token)
}

func (p *Provider) identify(ctx context.Context, s *settings, token secret.String) (User, error) {
	if !sendable(token) {
		return User{}, &providers.Error{Kind: providers.KindLogin, Err: errors.New("the token holds characters that no token has")}
	}
	h := http.Header{"Accept": {"application/json"}, "User-Agent": {s.agent}, "X-Github-Api-Version": {"2022-11-28"}}
	body, _, err := p.management(ctx, s, h, token, "/user")
	if err != nil {
		return User{}, err
	}
	doc := gjson.ParseBytes(body)
	u := User{ID: doc.Get("id").Int(), Login: printable(doc.Get("login").String()), Name: printable(doc.Get("name").String())}
	if u.ID == 0 && u.Login == "" {
		return User{}, &providers.Error{Kind: providers.KindServer, Err: errors.New("GitHub's answer names nobody")}
	}
	return u, nil
}
