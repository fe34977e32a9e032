// Package suggest finds what somebody meant who wrote a name that does not exist.
package suggest

import "strings"

// Nearest returns the candidate that is closest to name, or "" when none is close enough to be a slip.
func Nearest(name string, candidates []string) string {
	best, bestDistance := "", 1+max(1, min(len(name), 24)/3)
	for _, c := range candidates {
		if d := Distance(fold(name), fold(c)); d < bestDistance {
			best, bestDistance = c, d
		}
	}
	return best
}

// fold removes the differences that people do not see as differences.
func fold(s string) string {
	return strings.ReplaceAll(strings.ToLower(s), "-", "_")
}

// Distance is how many bytes of a must be added, dropped, changed or swapped with their neighbour to make b. Only the
// first 64 bytes of each count.
func Distance(a, b string) int {
	a, b = a[:min(len(a), 64)], b[:min(len(b), 64)]
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			row[j+1] = min(last[j]+cost, last[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
