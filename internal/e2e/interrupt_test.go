//go:build e2e

package e2e_test

import (
	"bufio"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Whoever interrupts twice does not want to wait for streams.
func TestSecondInterruptEndsAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil, "", "alice")
	w.stop()
	if _, err := w.run(t, nil, binary, "config", "set", "server.shutdown_grace", "5m"); err != nil {
		t.Fatal(err)
	}
	w.api, w.proxy = "", ""
	w.start()
	resp := w.ask(t, w.viaProxy(t, true), t.Context(), "endless [[sim:fault=stall=2]]")
	defer resp.Body.Close()
	if _, err := bufio.NewReader(resp.Body).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { // ends with the process
		defer close(ended)
		_ = w.serve.Wait()
	}()
	_ = w.serve.Process.Signal(syscall.SIGINT)
	deadline := time.After(20 * time.Second)
	for asked := false; !asked; {
		select {
		case line := <-w.stderr.lines:
			asked = strings.Contains(line, "interrupt again")
		case <-ended:
			t.Fatal("it did not wait for the stream")
		case <-deadline:
			t.Fatal("it does not say that it waits")
		}
	}
	again := time.NewTicker(100 * time.Millisecond) // the first one of these may come together with the message
	defer again.Stop()
	for {
		select {
		case <-again.C:
			_ = w.serve.Process.Signal(syscall.SIGINT)
		case <-ended:
			return
		case <-deadline:
			_ = w.serve.Process.Kill()
			<-ended
			t.Fatal("a second interrupt did not end it")
		}
	}
}
