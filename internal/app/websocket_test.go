package app_test

import (
	"net/http"
	"testing"

	"github.com/coder/websocket"
)

func TestWebSockets(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil, nil, "alice")
	c := w.client(false)
	for name, url := range map[string]string{
		"relayed on an intercepted host": "wss://api.openai.com/ws",
		"through a tunnel":               "wss://www.example.test/ws",
	} {
		t.Run(name, func(t *testing.T) {
			conn, _, err := websocket.Dial(t.Context(), url, &websocket.DialOptions{HTTPClient: c})
			if err != nil {
				t.Fatal(err)
			}
			for _, msg := range []string{"one", "two"} {
				if err := conn.Write(t.Context(), websocket.MessageText, []byte(msg)); err != nil {
					t.Fatal(err)
				}
				if _, got, err := conn.Read(t.Context()); err != nil || string(got) != msg {
					t.Errorf("echo of %s: %q, %v", msg, got, err)
				}
			}
			if err := conn.Close(websocket.StatusNormalClosure, ""); err != nil {
				t.Errorf("close: %v", err)
			}
		})
	}
	t.Run("on a path that is served over HTTP", func(t *testing.T) {
		_, resp, err := websocket.Dial(t.Context(), "wss://api.openai.com/v1/responses", &websocket.DialOptions{HTTPClient: c})
		if err == nil || resp == nil || resp.StatusCode != http.StatusUpgradeRequired {
			t.Errorf("got %v, %v; want 426", resp, err)
		}
	})
}
