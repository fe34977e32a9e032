package rawjson_test

import (
	"bytes"
	"encoding/json"
	"math"
	"strings"
	"testing"
	"unicode/utf8"

	"detour/internal/dialect/rawjson"
)

func TestCheckSaysWhatAndWhere(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, in, want string }{
		{"object", `{"a":[1,-2.5e+3,true,false,null,"x\u00e9\n"],"b":{}}`, ""},
		{"white space", " \t\r\n[ ] \n", ""},
		{"scalar", `0`, ""},
		{"bytes that are not UTF-8", "\"\xff\"", ""},
		{"nothing", ``, "unexpected end at byte 0"},
		{"open object", `{"a":1`, "unexpected end at byte 6"},
		{"open string", `{"a":"b`, "unexpected end inside a string at byte 7"},
		{"trailing comma", `{"a":1,}`, "expected a quoted name at byte 7"},
		{"trailing comma in array", `[1,]`, "unexpected character at byte 3"},
		{"wrong bracket", `{"a":1]`, "unexpected character at byte 6"},
		{"bare name", `{a:1}`, "expected a quoted name at byte 1"},
		{"no colon", `{"a" 1}`, "expected a colon at byte 5"},
		{"two values", `{} {}`, "unexpected data behind the value at byte 3"},
		{"leading zero", `[01]`, "number with a leading zero at byte 1"},
		{"open fraction", `1.`, "incomplete number at byte 2"},
		{"minus", `-`, "incomplete number at byte 1"},
		{"bad word", `[nul]`, "unexpected character at byte 1"},
		{"bad escape", `"\x"`, "unknown escape at byte 2"},
		{"bad unicode escape", `"\u12g4"`, `bad \u escape at byte 5`},
		{"control character", "\"a\nb\"", "control character inside a string at byte 2"},
		{"control character in a long string", "\"0123456789\x01\"", "control character inside a string at byte 11"},
		{"as deep as allowed", strings.Repeat("[", rawjson.MaxDepth) + strings.Repeat("]", rawjson.MaxDepth), ""},
		{"too deep", strings.Repeat("[", 1<<20), "nested too deep at byte 512"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			got := ""
			if err := rawjson.Check([]byte(tc.in)); err != nil {
				got = err.Error()
			}
			if got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func FuzzCheckAgreesWithEncodingJSON(f *testing.F) {
	for _, s := range []string{`{"a":[1,2.5e3,"\ud83d\ude00"]}`, `[{}]`, `"\\"`, `-0`, `1e5`, `{"a":{"b":[null,{"c":true}]}} `, "\"\xff\"", `{"a",}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if bytes.Count(b, []byte("["))+bytes.Count(b, []byte("{")) > rawjson.MaxDepth {
			return
		}
		got, want := rawjson.Valid(b), json.Valid(b)
		if got != want {
			t.Fatalf("%q: got %v, want %v (%v)", b, got, want, rawjson.Check(b))
		}
		walk(t, b, 0)
		if !got {
			return
		}
		var v any
		if json.Unmarshal(b, &v) != nil {
			return
		}
		if s, ok := v.(string); ok && utf8.Valid(b) {
			if text := rawjson.Text(bytes.TrimSpace(b)); string(text) != s {
				t.Errorf("Text(%s) = %q, want %q", b, text, s)
			}
		}
		if o, ok := v.(map[string]any); ok && utf8.Valid(b) {
			names := map[string]bool{}
			it := rawjson.Members(b, 0)
			for it.Next() {
				names[strings.ToValidUTF8(string(it.Key()), "\uFFFD")] = true
				if !json.Valid(it.Raw()) {
					t.Errorf("%q: value %q", b, it.Raw())
				}
			}
			if len(names) != len(o) || it.End() != len(bytes.TrimRight(b, " \t\r\n"))-1 {
				t.Errorf("%q: %d members, want %d; end %d", b, len(names), len(o), it.End())
			}
		}
	})
}

// walk visits everything that the iterators find: it must end, whatever the text.
func walk(t *testing.T, b []byte, depth int) {
	if depth > 20 {
		return
	}
	for _, it := range []rawjson.Iter{rawjson.Members(b, 0), rawjson.Elements(b, 0)} {
		for it.Next() {
			lo, hi := it.Span()
			if lo >= hi || hi > len(b) {
				t.Fatalf("%q: span %d to %d", b, lo, hi)
			}
			_, _ = rawjson.Int(it.Raw())
			walk(t, it.Raw(), depth+1)
		}
	}
}

func TestMembersReportBrokenText(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]int{
		`{}`: 1, ` { "a" : 1 } x`: 11, `{"a":1`: -1, `{"a":1,`: -1, `{"a"}`: -1, `{"a":`: -1, `{"a":}`: -1, `{,"a":1}`: -1,
		`{"a\\":"b\"}","c":"\\\\"}`: 24, `{"a":"\\"`: -1, `[]`: -1, ``: -1, `"a"`: -1, `{"a":"b}`: -1, `{"a":[1,{"b":2}}]`: -1,
	} {
		it := rawjson.Members([]byte(in), 0)
		if got := it.End(); got != -1 {
			t.Errorf("%s: end %d before the walk", in, got)
		}
		for it.Next() {
		}
		if got := it.End(); got != want {
			t.Errorf("%s: end %d, want %d", in, got, want)
		}
	}
}

func TestGetFollowsKeys(t *testing.T) {
	t.Parallel()
	text := []byte(`{"a":{"b":1,"b":2,"c":[3]},"\u0064":"e"}`)
	for want, keys := range map[string][]string{`2`: {"a", "b"}, `[3]`: {"a", "c"}, `"e"`: {"d"}, ``: {"a", "x", "y"}} {
		if got := rawjson.Get(text, keys...); string(got) != want {
			t.Errorf("%v: got %s, want %s", keys, got, want)
		}
	}
}

func TestAppendStringIsSafeForAnyBytes(t *testing.T) {
	t.Parallel()
	for _, in := range []string{"", "plain", `"\`, "\x00\x1f\x7f\n\r\t", "é\u2028\u2029😀", "\xff\xfe", "a\xe2\x80", "<script>"} {
		out := rawjson.AppendString(nil, in)
		var back string
		if err := json.Unmarshal(out, &back); err != nil {
			t.Errorf("%q: %v", in, err)
		}
		if want := strings.ToValidUTF8(in, "\uFFFD"); back != want && utf8.ValidString(in) {
			t.Errorf("%q: came back as %q", in, back)
		}
		if got := rawjson.Text(out); string(got) != back {
			t.Errorf("%q: Text gives %q, want %q", in, got, back)
		}
		if bytes.ContainsAny(out, "\n\r\u2028") {
			t.Errorf("%q: line break in %q", in, out)
		}
	}
}

func TestIntTakesAnyNumber(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]int64{
		"0": 0, "-7": -7, "123456789012345678": 123456789012345678, "9223372036854775807": math.MaxInt64,
		"1e99999": math.MaxInt64, "-1e30": math.MinInt64, "12.9": 12, "1e3": 1000,
	} {
		if got, ok := rawjson.Int([]byte(in)); !ok || got != want {
			t.Errorf("%s: got %d %v, want %d", in, got, ok, want)
		}
	}
	for _, in := range []string{"", `"1"`, "null", "-", "abc", "{}"} {
		if got, ok := rawjson.Int([]byte(in)); ok {
			t.Errorf("%s: got %d", in, got)
		}
	}
}

func TestPatchKeepsTheRest(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, in, remove, replace, insert, want string }{
		{"nothing", `{"a" : 1.0}`, "", "", "", `{"a" : 1.0}`},
		{"remove first", `{ "a":1 , "b":2 }`, "a", "", "", `{ "b":2 }`},
		{"remove middle", `{"a":1,"b":2,"c":3}`, "b", "", "", `{"a":1,"c":3}`},
		{"remove last", `{"a":1 , "b":2}`, "b", "", "", `{"a":1 }`},
		{"remove only", `{"a":1}`, "a", "", "", `{}`},
		{"replace", `{"a":1,"b":2}`, "", "b", "", `{"a":1,"b":"new"}`},
		{"insert", `{"a":1}`, "", "", "xy", `{"x":0,"y":0,"a":1}`},
		{"insert into empty", `{ }`, "", "", "xy", `{"x":0,"y":0 }`},
		{"insert and remove only", `{"a":1}`, "a", "", "x", `{"x":0}`},
		{"insert and remove first", `{"a":1,"b":2}`, "a", "", "x", `{"x":0,"b":2}`},
		{"insert and replace first", `{"a":1}`, "", "a", "x", `{"x":0,"a":"new"}`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			in := []byte(tc.in)
			var p rawjson.Patch
			for it := rawjson.Members(in, 0); it.Next(); {
				switch lo, hi := it.Span(); string(it.Key()) {
				case tc.remove:
					p.Remove(&it)
				case tc.replace:
					p.Replace(lo, hi, []byte(`"new"`))
				}
			}
			for _, c := range tc.insert {
				p.Insert(0, string(c), []byte("0"))
			}
			got := string(p.Apply(nil, in))
			if got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
		})
	}
}

func TestWalkingAllocatesNothing(t *testing.T) {
	text := []byte(`{"id":"x","choices":[{"index":0,"delta":{"content":"hi"}}],"n":12}`)
	var p rawjson.Patch
	var out []byte
	work := func() {
		p.Reset()
		for it := rawjson.Members(text, 0); it.Next(); {
			if string(it.Key()) == "id" {
				lo, hi := it.Span()
				p.Replace(lo, hi, []byte(`"a constant that is longer than thirty-two bytes"`))
			}
		}
		p.Insert(0, "object", []byte(`"chat.completion.chunk"`))
		out = p.Apply(out[:0], text)
		if !rawjson.Valid(out) || rawjson.Get(out, "choices") == nil {
			t.Fatalf("%s", out)
		}
	}
	work()
	if n := testing.AllocsPerRun(100, work); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkValid(b *testing.B) {
	text := []byte(`{"messages":[` + strings.Repeat(`{"role":"user","content":[{"type":"text","text":"`+strings.Repeat("The quick brown fox. ", 40)+`"}]},`, 300) + `{}]}`)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if !rawjson.Valid(text) {
			b.Fatal("invalid")
		}
	}
}

func BenchmarkValidDelta(b *testing.B) {
	text := []byte(`{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"gpt-x","choices":[{"index":0,"delta":{"content":"Hel"},"finish_reason":null}]}`)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if !rawjson.Valid(text) {
			b.Fatal("invalid")
		}
	}
}

func TestAppendTextUnescapesInPlace(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		`"plain"`: "plain", `""`: "", `"a\n\"b\\"`: "a\n\"b\\", `"\u00e9\ud83d\ude00x"`: "é😀x", `"\ud800x"`: "\uFFFDx", `5`: "", `"`: "", ``: "", `"a\"`: `a\`,
	} {
		if got := string(rawjson.AppendText([]byte("^"), []byte(in))); got != "^"+want {
			t.Errorf("%s: got %q, want %q", in, got, want)
		}
	}
}

// AppendString looks at eight bytes at a time; every byte must be seen at every place.
func TestAppendStringSeesEveryByteAtEveryPlace(t *testing.T) {
	t.Parallel()
	inner := func(s string) string { b := rawjson.AppendString(nil, s); return string(b[1 : len(b)-1]) }
	for c := range 256 {
		for at := range 20 {
			pre, mid, post := strings.Repeat("a", at), string([]byte{byte(c)}), strings.Repeat("z", 20-at)
			if got, want := inner(pre+mid+post), pre+inner(mid)+post; got != want {
				t.Fatalf("byte %#x at %d: got %q, want %q", c, at, got, want)
			}
		}
	}
}
