package providers

import "detour/internal/dialect"

// Judge is implemented by providers whose upstream also says inside an answer, after a good status, what it otherwise
// says in place of one: that a limit is met, that it is overloaded, that the prompt is too long.
type Judge interface {
	// Judge classifies what an answer said of its own failure. f.Status is the status that f's code or type go with, 0
	// when they tell none. It returns nil when f says nothing that the upstream has a meaning of its own for.
	Judge(f dialect.Failure) *Error
}
