package tokens

import "unicode"

const (
	// maxRead bounds how much text is tokenised for one request, in bytes: more than any context window holds.
	maxRead = 2 << 20
	// chunkSize is how much is tokenised at once. The vocabulary's regular expression copies its input.
	chunkSize = 8 << 10
	// maxBlank is how much white space in a row a chunk may have: the regular expression takes time that grows with
	// the square of it.
	maxBlank = 64
)

// text counts s in chunks.
func (c *counter) text(s string) {
	if room := maxRead - c.read; len(s) > room {
		c.unread += len(s) - room
		s = s[:room]
	}
	for s != "" {
		n := chunk(s)
		tokens, err := c.vocabulary.Count(s[:n])
		if err != nil {
			tokens = (n + 2) / 3
		}
		c.found += tokens
		c.read += n
		s = s[n:]
	}
}

// chunk returns where the first chunk of s ends: at the last white space where there is any near the end, because
// tokens seldom reach across, else behind a character.
func chunk(s string) int {
	last, blank := 0, 0
	for i, r := range s {
		if i >= chunkSize {
			if last > chunkSize/2 {
				return last
			}
			return i
		}
		if !unicode.IsSpace(r) {
			blank = 0
			continue
		}
		if blank++; blank > maxBlank {
			return i
		}
		if blank == 1 {
			last = i
		}
	}
	return len(s)
}
