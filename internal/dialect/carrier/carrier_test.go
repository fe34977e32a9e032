package carrier_test

import (
	"strings"
	"testing"

	"detour/internal/dialect/carrier"
)

func TestOpenGivesBackWhatWasSealed(t *testing.T) {
	t.Parallel()
	c := carrier.New([]byte("secret"))
	for _, tc := range [][2]string{{"rs_1", "gAAAA=="}, {"", ""}, {"a.b/ü", "x.y.z"}, {strings.Repeat("i", 400), strings.Repeat("b", 1<<16)}} {
		sealed := c.Seal(tc[0], tc[1])
		if id, blob, ok := c.Open(sealed); !ok || id != tc[0] || blob != tc[1] {
			t.Errorf("%.20q: got %.20q %.20q %v", tc, id, blob, ok)
		}
		if again := c.Seal("other", sealed); again != sealed {
			t.Errorf("%.20q is sealed twice", tc)
		}
	}
}

func TestForeignAndTamperedCarriersAreNotOpened(t *testing.T) {
	t.Parallel()
	c := carrier.New([]byte("secret"))
	sealed := c.Seal("rs_1", "gAAAA")
	if id, _, ok := carrier.New([]byte("another")).Open(sealed); ok {
		t.Errorf("another key opens it as %q", id)
	}
	for i := range sealed {
		changed := []byte(sealed)
		changed[i] ^= 1
		if id, blob, ok := c.Open(string(changed)); ok {
			t.Errorf("byte %d changed: opened as %q %q", i, id, blob)
		}
		if _, _, ok := c.Open(sealed[:i]); ok {
			t.Errorf("cut at %d: opened", i)
		}
	}
	for _, foreign := range []string{"", "gAAAAA", "dtr1.r.", "dtr1.r...", "dtr1.r.AAAAAAAAAAA.cnNfMQ.x", "cgw1.r.x.y.z"} {
		if _, _, ok := c.Open(foreign); ok {
			t.Errorf("%q opened", foreign)
		}
	}
}

func TestZeroCodecSealsNothing(t *testing.T) {
	t.Parallel()
	var c carrier.Codec
	if got := c.Seal("id", "blob"); got != "blob" {
		t.Errorf("got %q", got)
	}
	if _, _, ok := c.Open(carrier.New([]byte("k")).Seal("id", "blob")); ok {
		t.Error("opened without a key")
	}
}

func FuzzOpen(f *testing.F) {
	c := carrier.New([]byte("secret"))
	f.Add(c.Seal("rs_1", "blob"))
	f.Add("dtr1.r.a.b.c")
	f.Fuzz(func(t *testing.T, s string) {
		if id, blob, ok := c.Open(s); ok && c.Seal(id, blob) != s && !strings.HasPrefix(blob, "dtr1.r.") {
			t.Errorf("%q opens as %q %q, which seals otherwise", s, id, blob)
		}
	})
}

func TestKindsAreKeptApart(t *testing.T) {
	t.Parallel()
	c := carrier.New([]byte("secret"))
	for _, kind := range []string{"r", "a", "x", "c"} {
		sealed := c.SealAs(kind, "id", "blob.with.dots")
		if k, id, blob, ok := c.OpenAs(sealed); !ok || k != kind || id != "id" || blob != "blob.with.dots" {
			t.Errorf("%s: got %q %q %q %t", kind, k, id, blob, ok)
		}
		if _, _, ok := c.Open(sealed); ok != (kind == carrier.Responses) {
			t.Errorf("%s: Open says %t", kind, ok)
		}
		other := strings.Replace(sealed, "dtr1."+kind+".", "dtr1.z.", 1)
		if _, _, _, ok := c.OpenAs(other); ok {
			t.Errorf("%s: opened as another kind", kind)
		}
	}
	var none *carrier.Codec
	if got := none.SealAs("a", "", "b"); got != "b" {
		t.Errorf("nil codec sealed %q", got)
	}
}
