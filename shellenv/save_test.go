package shellenv_test

import (
	"maps"
	"testing"

	"detour/shellenv"
)

// starts are environments that detour may find.
func starts() map[string]environ {
	return map[string]environ{
		"empty":         {},
		"set":           {"HTTPS_PROXY": "http://u:p'w@corp:1", "no_proxy": "a,b", "SSL_CERT_FILE": "/x y.pem", "HOME": "/h"},
		"empty values":  {"HTTPS_PROXY": "", "NO_PROXY": "", "NODE_EXTRA_CA_CERTS": ""},
		"half of cases": {"http_proxy": "http://a", "NO_PROXY": "x", "ALL_PROXY": "socks5://s"},
		"leftover save": {"DETOUR_OLD_HTTP_PROXY": "http://stale", "HTTPS_PROXY": "http://corp"},
		"star":          {"NO_PROXY": "*"},
		"both cases":    {"HTTPS_PROXY": "http://a", "https_proxy": "http://b"},
	}
}

func TestSecondEvalChangesNothingAndUnsetRestores(t *testing.T) {
	t.Parallel()
	for name, start := range starts() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			once := start.apply(compute(t, params(start)))
			twice := once.apply(compute(t, params(once)))
			if !maps.Equal(once, twice) {
				t.Errorf("second eval changed\n%v\nto\n%v", once, twice)
			}
			back := twice.apply(shellenv.Unset(twice.lookup))
			want := maps.Clone(start)
			delete(want, "DETOUR_OLD_HTTP_PROXY") // nobody's
			if !maps.Equal(back, want) {
				t.Errorf("unset gave\n%v\nwant\n%v", back, want)
			}
			if again := shellenv.Unset(back.lookup); len(again.Vars) != 0 {
				t.Errorf("second unset changes %v", again)
			}
			original := shellenv.Original(twice.lookup)
			for k, v := range want {
				if got, ok := original(k); !ok || got != v {
					t.Errorf("Original(%s) = %q, %t, want %q", k, got, ok, v)
				}
			}
			for k := range twice {
				if _, ok := want[k]; ok {
					continue
				}
				if got, ok := original(k); ok {
					t.Errorf("Original(%s) = %q, want none", k, got)
				}
			}
		})
	}
}

func TestEntriesAddedToNoProxyWhileActiveStay(t *testing.T) {
	t.Parallel()
	start := environ{"NO_PROXY": "a"}
	e := start.apply(compute(t, params(start)))
	e["NO_PROXY"] += ",added"
	e = e.apply(compute(t, params(e)))
	if want := "localhost,127.0.0.1,::1,a,added"; e["NO_PROXY"] != want || e["no_proxy"] != want {
		t.Errorf("got %q and %q, want %q", e["NO_PROXY"], e["no_proxy"], want)
	}
	if e = e.apply(shellenv.Unset(e.lookup)); e["NO_PROXY"] != "a" {
		t.Errorf("unset gave %q", e["NO_PROXY"])
	}
}

func TestAnotherSelectionTakesBackWhatItNoLongerSets(t *testing.T) {
	t.Parallel()
	start := environ{"NODE_OPTIONS": "--x"}
	p := params(start)
	p.NodeShim, p.Wget = "/shim.js", "/wgetrc"
	e := start.apply(compute(t, p))
	if e["NODE_OPTIONS"] != "--x --require /shim.js" || e["WGETRC"] == "" {
		t.Fatalf("got %v", e)
	}
	e = e.apply(compute(t, params(e)))
	if _, ok := e["WGETRC"]; ok || e["NODE_OPTIONS"] != "--x" || e["DETOUR_OLD_NODE_OPTIONS"] != "" {
		t.Errorf("got %v", e)
	}
	if e = e.apply(shellenv.Unset(e.lookup)); !maps.Equal(e, start) {
		t.Errorf("unset gave %v", e)
	}
}

func TestStateFromTheEnvironmentIsNotTrusted(t *testing.T) {
	t.Parallel()
	e := environ{
		"DETOUR_PROXY_ACTIVE": "g", "DETOUR_PROXY_VARS": "A;touch /tmp/x,$(id),,DETOUR_PROXY_ACTIVE,DETOUR_OLD_B,B,B,9a,\u00fc",
		"DETOUR_OLD_B": "old", "B": "new",
	}
	s := shellenv.Unset(e.lookup)
	script, err := s.Script(shellenv.Sh)
	if err != nil {
		t.Fatal(err)
	}
	if want := "export B='old';\nunset DETOUR_OLD_B;\nunset DETOUR_PROXY_VARS;\nunset DETOUR_PROXY_ACTIVE;\n"; string(script) != want {
		t.Errorf("got\n%s\nwant\n%s", script, want)
	}
}
