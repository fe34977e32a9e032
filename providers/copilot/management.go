package copilot

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/tidwall/gjson"

	"detour/internal/secret"
	"detour/providers"
)

const (
	managementTimeout = 10 * time.Second // one try
	maxManagementBody = 1 << 20
)

// retryWaits are the pauses between tries of a management request that failed for a reason that passes.
var retryWaits = [...]time.Duration{time.Second, 2 * time.Second, 4 * time.Second}

// retry calls try until it succeeds, fails for a reason that will not pass, or has failed once more than there are
// pauses. Rate limits are not retried: they ask for more patience than a caller has.
func retry(ctx context.Context, try func(context.Context) error) error {
	for n := 0; ; n++ {
		once, cancel := context.WithTimeout(ctx, managementTimeout)
		err := try(once)
		cancel()
		if err == nil || ctx.Err() != nil || n == len(retryWaits) {
			return err
		}
		e, ok := errors.AsType[*providers.Error](err)
		if !ok {
			return err
		}
		switch e.Kind {
		case providers.KindNetwork, providers.KindStalled, providers.KindServer, providers.KindOverloaded:
		default:
			return err
		}
		if err := sleep(ctx, retryWaits[n]); err != nil {
			return err
		}
	}
}

// sleep waits for d or for the end of ctx, whose cause it returns.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// management gets path from the management plane with the GitHub token, retrying as needed. Errors are *Error.
func (p *Provider) management(ctx context.Context, s *settings, header http.Header, token secret.String, path string) (body []byte, answer http.Header, err error) {
	err = retry(ctx, func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.githubAPI+path, nil)
		if err != nil {
			return &providers.Error{Kind: providers.KindInvalid, Err: err}
		}
		req.Header = header.Clone()
		req.Header.Set("Authorization", "token "+token.Reveal())
		resp, data, err := p.roundTrip(req)
		if err != nil {
			return err
		}
		if resp.StatusCode != http.StatusOK {
			return managementError(resp, data, token, p.now())
		}
		if !gjson.ValidBytes(data) || !gjson.ParseBytes(data).IsObject() {
			return notGitHub(resp)
		}
		body, answer = data, resp.Header
		return nil
	})
	if err != nil {
		return nil, nil, providers.AsError(err)
	}
	return body, answer, nil
}

// roundTrip sends req and reads a bounded answer. Its error is an *Error that holds neither credential nor body.
func (p *Provider) roundTrip(req *http.Request) (*http.Response, []byte, error) {
	resp, err := p.client.Do(req)
	if err != nil {
		return nil, nil, providers.AsError(fmt.Errorf("reach %s: %w", req.URL.Host, bare(err)))
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxManagementBody+1))
	if err != nil {
		return nil, nil, providers.AsError(fmt.Errorf("read answer of %s: %w", req.URL.Host, err))
	}
	if len(data) > maxManagementBody {
		return nil, nil, &providers.Error{Kind: providers.KindServer, Err: fmt.Errorf("answer of %s exceeds %d bytes", req.URL.Host, maxManagementBody)}
	}
	return resp, data, nil
}

// bare drops the URL that net/http wraps around its errors: the host is said already.
func bare(err error) error {
	if ue, ok := errors.AsType[*url.Error](err); ok {
		return ue.Err
	}
	return err
}

// notGitHub is the error for an answer that GitHub does not give, such as the sign-in page of a hotel's network.
func notGitHub(resp *http.Response) *providers.Error {
	return &providers.Error{
		Kind: providers.KindNetwork,
		Hint: "something between this machine and GitHub answered in its place: a captive portal, a proxy, or a wrong github_api_url",
		Err:  fmt.Errorf("answer of %s (status %d) is not GitHub's", resp.Request.URL.Host, resp.StatusCode),
	}
}

// Why GitHub refuses a token exchange, by error_details.notification_id. Any other id is a matter of plan or policy.
const (
	noticeClient    = " go_http_client programmatic_token_generation "
	noticeSuspended = " spammy_user access_revoked trade_restricted trade_restricted_country "
	noticeServer    = " server_error "
)

// managementError classifies a refusal by the management plane.
func managementError(resp *http.Response, body []byte, token secret.String, now time.Time) *providers.Error {
	e := refused(resp, body, token)
	message := strings.ToLower(e.Failure.Message)
	page := providers.IsPage(resp.Header, body)
	details := gjson.GetBytes(body, "error_details")
	switch status := resp.StatusCode; {
	case status >= 300 && status < 400:
		return notGitHub(resp)
	case status >= 500:
		e.Kind = providers.KindServer
	case status == http.StatusUnauthorized:
		e.Kind = providers.KindLogin
		e.Hint = "GitHub no longer accepts this token: sign in again with `detour login`"
	case status == http.StatusTooManyRequests, status == http.StatusForbidden && (resp.Header.Get("X-Ratelimit-Remaining") == "0" || strings.Contains(message, "rate limit")):
		e.Kind = providers.KindRateLimit
		e.RetryAfter = providers.RetryAfter(resp.Header, now)
		e.Hint = "GitHub limits how often this account may ask for tokens: wait"
	case details.IsObject():
		e.Kind, e.Hint = refusal(details)
		e.Hint = token.Mask(e.Hint)
	case status == http.StatusForbidden && page:
		e.Kind, e.Hint = providers.KindPolicy, hintStale
	case strings.Contains(message, "not accessible by"), status == http.StatusNotFound:
		e.Kind, e.Hint = wrongToken(token, status)
	case status == http.StatusForbidden:
		e.Kind = providers.KindPolicy
		e.Hint = "GitHub refuses Copilot to this account: see https://github.com/settings/copilot"
	default:
		e.Kind = providers.KindInvalid
	}
	return e
}

// refusal reads the envelope in which GitHub says why an account gets no Copilot token. What it tells the owner is
// passed on word for word.
func refusal(details gjson.Result) (providers.Kind, string) {
	var parts []string
	for _, name := range []string{"title", "message", "url"} {
		if v := strings.TrimSpace(printable(details.Get(name).String())); v != "" {
			parts = append(parts, v)
		}
	}
	hint := strings.Join(parts, ": ")
	id := " " + details.Get("notification_id").String() + " "
	switch {
	case strings.Contains(noticeServer, id):
		return providers.KindServer, hint
	case strings.Contains(noticeSuspended, id):
		return providers.KindSuspended, hint
	case strings.Contains(noticeClient, id):
		return providers.KindPolicy, hint + " (" + hintStale + ")"
	}
	return providers.KindPolicy, hint
}

// wrongToken explains a refusal that is about the kind of token and not about the account.
func wrongToken(token secret.String, status int) (providers.Kind, string) {
	switch v := token.Reveal(); {
	case strings.HasPrefix(v, "ghp_"), strings.HasPrefix(v, "github_pat_"):
		return providers.KindLogin, "a personal access token cannot be exchanged for a Copilot token: sign in with `detour login`"
	case strings.HasPrefix(v, "gho_"):
		return providers.KindLogin, "a token of this OAuth app cannot be exchanged: sign in with `detour login`, or set auth = \"direct\" for the account"
	case status == http.StatusNotFound:
		return providers.KindPolicy, "this GitHub account seems to have no Copilot: see https://github.com/settings/copilot"
	}
	return providers.KindLogin, "a token of this app cannot be exchanged for a Copilot token: sign in with `detour login`"
}

// printable drops control characters, so that what an upstream says cannot steer a terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' && r != '\t' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return -1
		}
		return r
	}, s)
}

// number reads a finite decimal number that may have a fraction; ok is false for anything else.
func number(s string) (float64, bool) {
	f, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
	return f, err == nil && !math.IsNaN(f) && !math.IsInf(f, 0)
}
