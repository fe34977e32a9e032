package dialect

import "net/http"

// BlankRun counts white space in tool arguments. Models are known to fall into line breaks and tabs without end, which
// would run to the last token that the account pays for.
type BlankRun struct{ n int }

// maxBlank is more line breaks and tabs than pretty-printed arguments are seen to have in a row.
const maxBlank = 20

// Add takes the next fragment of the arguments, as JSON text of a string. Line breaks and tabs inside the argument's
// own strings do not count: those are escaped twice. Spaces neither count nor end a run.
func (r *BlankRun) Add(raw []byte) {
	for i := 1; i+1 < len(raw) && !r.Runaway(); i++ {
		switch c := raw[i]; {
		case c == ' ':
		case c == '\\' && (raw[i+1] == 'n' || raw[i+1] == 't' || raw[i+1] == 'r'):
			r.n++
			i++
		default:
			r.n = 0
			if c == '\\' {
				i++
			}
		}
	}
}

// Runaway reports whether the run is too long to be meant.
func (r *BlankRun) Runaway() bool { return r.n > maxBlank }

// Degenerate is the code of an answer that was given up for what the model made of it.
const Degenerate = "degenerate_output"

// Runaway is the failure of an answer that was given up for white space without end.
func Runaway() Failure {
	return Failure{
		Status:  http.StatusBadGateway,
		Code:    Degenerate,
		Message: "the model repeats white space inside tool arguments without end",
	}
}
