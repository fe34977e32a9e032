package gemini

import (
	"net/http"
	"strconv"

	"detour/internal/dialect"
	"detour/internal/dialect/rawjson"
)

// AppendError appends f as the JSON body of an error answer, in the shape of google.rpc.Status. The same object is the
// last frame of a stream that broke off. The field at fault goes where Google's own services put it.
func (Codec) AppendError(dst []byte, f dialect.Failure) []byte {
	code := f.StatusFor(dialect.Gemini)
	dst = append(dst, `{"error":{"code":`...)
	dst = strconv.AppendInt(dst, int64(code), 10)
	dst = append(dst, `,"message":`...)
	dst = rawjson.AppendString(dst, f.Message)
	dst = append(dst, `,"status":"`...)
	dst = append(dst, status(code)...)
	dst = append(dst, `","details":[`...)
	if f.Param != "" {
		dst = append(dst, `{"@type":"type.googleapis.com/google.rpc.BadRequest","fieldViolations":[{"field":`...)
		dst = rawjson.AppendString(dst, f.Param)
		dst = append(dst, `,"description":`...)
		dst = rawjson.AppendString(dst, f.Message)
		dst = append(dst, "}]}"...)
	}
	return append(dst, "]}}"...)
}

// status returns the google.rpc.Code of an HTTP status.
func status(code int) string {
	switch code {
	case http.StatusUnauthorized:
		return "UNAUTHENTICATED"
	case http.StatusPaymentRequired, http.StatusTooManyRequests:
		return "RESOURCE_EXHAUSTED"
	case http.StatusForbidden:
		return "PERMISSION_DENIED"
	case http.StatusNotFound:
		return "NOT_FOUND"
	case http.StatusConflict:
		return "ABORTED"
	case 499: // client closed request
		return "CANCELLED"
	case http.StatusInternalServerError:
		return "INTERNAL"
	case http.StatusNotImplemented:
		return "UNIMPLEMENTED"
	case http.StatusRequestTimeout, http.StatusGatewayTimeout:
		return "DEADLINE_EXCEEDED"
	}
	if code < http.StatusInternalServerError {
		return "INVALID_ARGUMENT"
	}
	return "UNAVAILABLE"
}
