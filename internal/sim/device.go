package sim

import (
	"encoding/json"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// maxLoginBody bounds the bodies of sign-in requests.
const maxLoginBody = 64 << 10

// maxDevices bounds the device codes that are remembered.
const maxDevices = 10_000

// deviceFlow is the state of all sign-ins. It is safe for concurrent use.
type deviceFlow struct {
	mu    sync.Mutex // guards what follows
	codes map[string]*device
	gaps  []time.Duration
}

// device is one sign-in.
type device struct {
	expires  time.Time
	interval time.Duration
	last     time.Time // of the last poll; zero before the first
	done     bool
}

func newDeviceFlow() *deviceFlow { return &deviceFlow{codes: map[string]*device{}} }

// PollGaps returns the time between consecutive polls of each sign-in, in the
// order of the polls, by the clock of the Sim. The first poll of a sign-in is
// measured from its device code.
func (s *Sim) PollGaps() []time.Duration {
	s.device.mu.Lock()
	defer s.device.mu.Unlock()
	return slices.Clone(s.device.gaps)
}

// serveLogin serves github.com.
func (s *Sim) serveLogin(c *call) {
	c.githubHeaders()
	switch c.r.URL.Path {
	case "/login/device/code":
		c.op = OpDevice
	case "/login/oauth/access_token":
		c.op = OpPoll
	case "/login/device":
		c.reply(200, typeHTML, []byte(htmlPage("Device Activation")))
		return
	}
	c.note(func(r *Request) { r.Op = c.op })
	if c.op == "" || c.r.Method != http.MethodPost {
		c.reply(404, typeHTML, []byte(htmlPage("Page not found")))
		return
	}
	form, err := c.loginForm()
	if err != nil {
		c.reply(400, typeJSON, []byte(`{"error":"Problems parsing JSON"}`))
		return
	}
	if err := c.collect("", "", nil); err != nil {
		c.mistake(err)
		return
	}
	if c.faulted() {
		return
	}
	if c.op == OpDevice {
		c.deviceCode(form)
	} else {
		c.poll(form)
	}
}

// mistake reports a scenario or directive that cannot be obeyed.
func (c *call) mistake(err error) {
	c.reply(500, typeText, []byte("simulator: "+err.Error()+"\n"))
}

// githubHeaders sets what all GitHub hosts send.
func (c *call) githubHeaders() {
	h := c.w.Header()
	h["X-Github-Request-Id"] = []string{c.sim.ids.githubRequest()}
	h["Strict-Transport-Security"] = []string{"max-age=31536000; includeSubdomains; preload"}
	h["X-Content-Type-Options"] = []string{"nosniff"}
}

// loginForm reads the body of a sign-in request, in either encoding.
func (c *call) loginForm() (url.Values, error) {
	body, err := io.ReadAll(io.LimitReader(c.r.Body, maxLoginBody))
	if err != nil {
		return nil, err
	}
	c.body = body
	c.note(func(r *Request) { r.Body = body })
	kind, _, _ := mime.ParseMediaType(c.r.Header.Get("Content-Type"))
	if kind != typeJSON {
		return url.ParseQuery(string(body))
	}
	var fields map[string]any
	if err := json.Unmarshal(body, &fields); err != nil {
		return nil, err
	}
	form := url.Values{}
	for k, v := range fields {
		if text, ok := v.(string); ok {
			form.Set(k, text)
		}
	}
	return form, nil
}

// field is one member of a sign-in answer: a string or an int.
type field struct {
	name  string
	value any
}

// loginReply answers as JSON or, to clients that do not ask for it, as a form.
// Sign-in errors have status 200.
func (c *call) loginReply(fields ...field) {
	if strings.Contains(c.r.Header.Get("Accept"), "json") {
		o := object{}
		for _, f := range fields {
			o[f.name] = f.value
		}
		c.reply(200, typeUTF8, mustJSON(o))
		return
	}
	form := url.Values{}
	for _, f := range fields {
		switch v := f.value.(type) {
		case string:
			form.Set(f.name, v)
		case int:
			form.Set(f.name, strconv.Itoa(v))
		}
	}
	c.reply(200, "application/x-www-form-urlencoded; charset=utf-8", []byte(form.Encode()))
}

func (c *call) loginError(code, description string, more ...field) {
	c.loginReply(append([]field{
		{"error", code}, {"error_description", description},
		{"error_uri", "https://docs.github.com/developers/apps/authorizing-oauth-apps#error-codes-for-the-device-flow"},
	}, more...)...)
}

// deviceCode starts a sign-in.
func (c *call) deviceCode(form url.Values) {
	l := c.st.Login
	if form.Get("client_id") == "" {
		c.reply(404, typeUTF8, []byte(`{"error":"Not Found"}`))
		return
	}
	if slices.Contains(strings.FieldsFunc(form.Get("scope"), func(r rune) bool { return r == ' ' || r == ',' }), "models") {
		c.loginError("invalid_scope", "The scopes requested are invalid: models.")
		return
	}
	interval, expires := orDefault(l.Interval, 5, 5), orDefault(l.ExpiresIn, 899, 900)
	code := "sim-device-" + Marker + "-" + c.sim.ids.hex(24)
	now := c.sim.now()
	c.sim.device.mu.Lock()
	if len(c.sim.device.codes) >= maxDevices {
		clear(c.sim.device.codes)
	}
	c.sim.device.codes[code] = &device{
		expires: now.Add(time.Duration(expires) * time.Second), interval: time.Duration(interval) * time.Second, last: now,
	}
	c.sim.device.mu.Unlock()
	user := strings.ToUpper(c.sim.ids.hex(8))
	fields := []field{
		{"device_code", code}, {"user_code", user[:4] + "-" + user[4:]},
		{"verification_uri", c.sim.GitHubURL() + "/login/device"},
	}
	if l.ExpiresIn >= 0 {
		fields = append(fields, field{"expires_in", expires})
	}
	if l.Interval >= 0 {
		fields = append(fields, field{"interval", interval})
	}
	c.loginReply(fields...)
}

// orDefault maps 0 to zero and a negative value to absent.
func orDefault(v, zero, absent int) int {
	switch {
	case v < 0:
		return absent
	case v == 0:
		return zero
	}
	return v
}

// poll answers one access token request.
func (c *call) poll(form url.Values) {
	switch {
	case form.Get("client_id") == "":
		c.loginError("incorrect_client_credentials", "The client_id and/or client_secret passed are incorrect.")
		return
	case form.Get("grant_type") != "urn:ietf:params:oauth:grant-type:device_code":
		c.loginError("unsupported_grant_type", "The grant type is not supported.")
		return
	}
	answer, interval := c.judgePoll(form.Get("device_code"))
	if answer == "" {
		answer = c.scriptedPoll()
	}
	status, isStatus := strings.CutPrefix(answer, "http:")
	switch {
	case answer == "drop":
		c.abort()
	case isStatus:
		n, err := strconv.Atoi(status)
		if err != nil {
			c.mistake(err)
			return
		}
		c.reply(n, typeHTML, []byte(htmlPage("Unicorn!")))
	case answer == "success":
		c.signedIn(form.Get("device_code"))
	case answer == "slow_down":
		if interval == 0 {
			interval = c.slowDown(form.Get("device_code"))
		}
		c.loginError(answer, "Too many requests have been made in the same timeframe.", field{"interval", interval})
	default:
		c.loginError(answer, pollMessage(answer))
	}
}

func pollMessage(code string) string {
	switch code {
	case "authorization_pending":
		return "The authorization request is still pending."
	case "expired_token":
		return "This 'device_code' has expired."
	case "access_denied":
		return "The authorization request was denied."
	case "incorrect_device_code":
		return "The device_code provided is not valid."
	}
	return "The request could not be completed: " + code + "."
}

// judgePoll measures the poll and refuses it if the device code is not good for
// it; "" if it is. interval is set for slow_down.
func (c *call) judgePoll(code string) (answer string, interval int) {
	flow := c.sim.device
	now := c.sim.now()
	flow.mu.Lock()
	defer flow.mu.Unlock()
	d := flow.codes[code]
	if d == nil || d.done {
		return "incorrect_device_code", 0
	}
	gap := now.Sub(d.last)
	flow.gaps = append(flow.gaps, gap)
	d.last = now
	if !now.Before(d.expires) {
		return "expired_token", 0
	}
	if gap < d.interval && !c.st.Login.AllowEarly {
		d.interval += c.slowDownBy()
		return "slow_down", int(d.interval / time.Second)
	}
	return "", 0
}

func (c *call) slowDownBy() time.Duration {
	return time.Duration(orDefault(c.st.Login.SlowDownBy, 5, 5)) * time.Second
}

// slowDown makes the interval of a sign-in longer, in seconds.
func (c *call) slowDown(code string) int {
	c.sim.device.mu.Lock()
	defer c.sim.device.mu.Unlock()
	d := c.sim.device.codes[code]
	d.interval += c.slowDownBy()
	return int(d.interval / time.Second)
}

// scriptedPoll is the next answer of the script.
func (c *call) scriptedPoll() string {
	if answer, ok := c.sim.takePoll(); ok {
		return answer
	}
	if g := c.st.Login.Approval; g != nil && !g.isOpen() {
		return "authorization_pending"
	}
	return "success"
}

// signedIn answers with a GitHub token.
func (c *call) signedIn(code string) {
	name := c.st.Login.Account
	if name == "" && len(c.st.Accounts) > 0 {
		name = c.st.Accounts[0].Name
	}
	a := c.sim.accounts.named(name)
	if a == nil {
		c.loginError("access_denied", "the scenario has no account "+strconv.Quote(name))
		return
	}
	c.sim.device.mu.Lock()
	c.sim.device.codes[code].done = true
	c.sim.device.mu.Unlock()
	c.note(func(r *Request) { r.Account = a.name })
	token := c.sim.accounts.signIn(a, c.sim.ids.hex(8))
	c.loginReply(field{"access_token", token}, field{"token_type", "bearer"}, field{"scope", ""})
}
