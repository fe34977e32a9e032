package tokens

// Chunk is chunk, whose bounds keep Count from taking too long.
func Chunk(s string) int { return chunk(s) }
