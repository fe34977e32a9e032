package sim

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net"
	"testing"
)

// FuzzPeek compares peek with encoding/json on every valid object.
func FuzzPeek(f *testing.F) {
	for _, s := range []string{
		`{"model":"m","stream":true}`, `{"a":[{"model":"x"}],"model":"m"}`, `{"a":"\"","stream" : true}`, `{"model":1}`, `{`, `{"model"`, ``,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		model, stream := peek(b)
		var v struct {
			Model  json.RawMessage `json:"model"`
			Stream bool            `json:"stream"`
		}
		var keys map[string]json.RawMessage
		if json.Unmarshal(b, &keys) != nil || keys == nil || bytes.Contains(b, []byte(`\`)) || json.Unmarshal(b, &v) != nil {
			return
		}
		// encoding/json matches names in any case, peek does not.
		want := bytes.Trim(keys["model"], `"`)
		if len(keys["model"]) > 0 && keys["model"][0] == '"' && model != string(want) {
			t.Errorf("model %q, want %q", model, want)
		}
		if got := string(keys["stream"]) == "true"; stream != got {
			t.Errorf("stream %v, want %v", stream, got)
		}
	})
}

// discard is a connection whose writes vanish.
type discard struct{ net.Conn }

func (discard) Write(b []byte) (int, error) { return len(b), nil }

func FuzzEchoFrame(f *testing.F) {
	f.Add([]byte{0x81, 0x81, 1, 2, 3, 4, 5})
	f.Add([]byte{0x81, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
	f.Add([]byte{0x88, 0x80, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		r := bufio.NewReader(bytes.NewReader(b))
		for range len(b) {
			if echoFrame(r, discard{}) != nil {
				return
			}
		}
		if _, err := r.ReadByte(); err != io.EOF {
			t.Error("frames of no bytes")
		}
	})
}
