package sse

import "bytes"

// NextData returns the data of the first event in frames, which must end with a whole frame, and the frames behind it.
// Comments, and frames without data, are passed over. ok is false when there is no event left. The data is a part of
// frames unless it came in several lines, which are joined by \n. It is for frames that are in memory already, where a
// Reader would copy them once more.
func NextData(frames []byte) (data, rest []byte, ok bool) {
	joined := false
	for len(frames) > 0 {
		var line []byte
		line, frames = cutLine(frames)
		if len(line) == 0 {
			if ok {
				return data, frames, true
			}
			continue
		}
		value, is := bytes.CutPrefix(line, []byte("data"))
		if !is || len(value) > 0 && value[0] != ':' {
			continue
		}
		value = bytes.TrimPrefix(bytes.TrimPrefix(value, []byte(":")), []byte(" "))
		switch {
		case !ok:
			data, ok = value, true
		case !joined:
			data, joined = append(append(append(make([]byte, 0, len(data)+1+len(value)), data...), '\n'), value...), true
		default:
			data = append(append(data, '\n'), value...)
		}
	}
	return nil, nil, false
}

// cutLine returns the first line of b without what ends it, which may be LF, CRLF or CR, and what is behind that.
func cutLine(b []byte) (line, rest []byte) {
	end := lineEnd(b)
	switch {
	case end < 0:
		return b, nil
	case b[end] == '\r' && end+1 < len(b) && b[end+1] == '\n':
		return b[:end], b[end+2:]
	}
	return b[:end], b[end+1:]
}

// lineEnd returns the position of the first LF or CR, or -1. It looks no further ahead than a few times the length of
// the line, so that many short lines cost no more than a long one.
func lineEnd(b []byte) int {
	for from, to := 0, 256; from < len(b); from, to = to, 4*to {
		window := b[from:min(to, len(b))]
		lf := bytes.IndexByte(window, '\n')
		if lf >= 0 {
			window = window[:lf]
		}
		if cr := bytes.IndexByte(window, '\r'); cr >= 0 {
			return from + cr
		}
		if lf >= 0 {
			return from + lf
		}
	}
	return -1
}
