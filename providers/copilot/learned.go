package copilot

import (
	"sync"
	"time"
)

// What models are known to refuse once they have.
const (
	customTools = "custom" // tools that are called with free text
)

const (
	learnedTTL = time.Hour // models and policies change
	maxLearned = 1000
)

// learned keeps what refusals have told about models, so that not every request has to be refused first. It is safe
// for concurrent use.
type learned struct {
	now func() time.Time

	mu    sync.Mutex // guards until
	until map[[2]string]time.Time
}

// note keeps that a model refuses something.
func (l *learned) note(model, what string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.until == nil || len(l.until) >= maxLearned {
		l.until = map[[2]string]time.Time{}
	}
	l.until[[2]string{model, what}] = l.now().Add(learnedTTL)
}

// refuses tells whether a model is known to refuse something.
func (l *learned) refuses(model, what string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	until, ok := l.until[[2]string{model, what}]
	return ok && l.now().Before(until)
}
