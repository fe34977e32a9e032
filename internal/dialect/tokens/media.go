package tokens

import (
	"encoding/base64"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"
	"strings"

	stdimage "image"
)

const (
	unknownImage = 1500
	maxImage     = 1600
	pixels       = 750 // per token
	perPage      = 1500
	pageSize     = 50 << 10 // bytes that a page of a document has in the mean
	maxPages     = 100
	// headSize is how much of an image is looked at for its size, in base64: cameras put a preview before it.
	headSize = 256 << 10
)

// image estimates an image given as base64, or, with no data, as a URL.
func image(data string) int {
	data = data[:min(len(data), headSize)]
	for _, read := range [...]func(io.Reader) (stdimage.Config, error){png.DecodeConfig, jpeg.DecodeConfig, gif.DecodeConfig} {
		size, err := read(base64.NewDecoder(base64.StdEncoding, strings.NewReader(data)))
		if err != nil {
			continue
		}
		if tokens := (int64(size.Width)*int64(size.Height) + pixels - 1) / pixels; tokens > 0 {
			return int(min(tokens, maxImage))
		}
	}
	return unknownImage
}

// document estimates a document given as base64, or, with no data, as a URL.
func document(data string) int {
	size := base64.StdEncoding.DecodedLen(len(data))
	return min(1+size/pageSize, maxPages) * perPage
}
