package ca

// Words that several hints share.
const hintRegenerate = "run: detour proxy ca regenerate"

// Error says what is wrong with a file or folder of the authority and how to get out of it. Its texts never hold key
// material.
type Error struct {
	Path    string // the file or folder; empty if the fault is not in one
	Problem string // what is wrong, in a clause
	Hint    string // what to run or change; empty if there is nothing to say
	Err     error  // cause, for errors.Is; its text is part of Problem where it matters. May be nil
}

// Error returns path, problem and hint on one line.
func (e *Error) Error() string {
	s := "ca: "
	if e.Path != "" {
		s += e.Path + ": "
	}
	s += e.Problem
	if e.Hint != "" {
		s += "; " + e.Hint
	}
	return s
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }
