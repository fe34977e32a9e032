package gemini

import (
	"bytes"
	"encoding/base64"

	"detour/internal/dialect/rawjson"
	"detour/internal/llm"
)

// partKind is which of its payloads a part has.
type partKind uint8

const (
	partNone partKind = iota
	partText
	partInline
	partFile
	partCall
	partResponse
	partOther // a payload that has no equal elsewhere, such as executableCode
)

// part is one part of a content, looked into.
type part struct {
	kind      partKind
	raw       []byte // the payload
	thought   bool
	signature []byte // raw thoughtSignature, which sits beside the payload
}

func readPart(raw []byte, at *path) (p part, err error) {
	switch rawjson.Of(raw) {
	case rawjson.Null:
		return part{}, nil
	case rawjson.String: // bare strings are what the SDKs take, and some clients send
		return part{kind: partText, raw: raw}, nil
	}
	if err := object(raw, at); err != nil {
		return part{}, err
	}
	for it := rawjson.Members(raw, 0); it.Next(); {
		kind := partNone
		v := it.Raw()
		if rawjson.Of(v) == rawjson.Null {
			continue
		}
		switch string(camel(it.Key())) {
		case "text":
			if rawjson.Of(v) != rawjson.String {
				return part{}, at.member("text").wrong("a string", v)
			}
			kind = partText
		case "thought":
			if p.thought, err = boolean(v, at.member("thought")); err != nil {
				return part{}, err
			}
		case "thoughtSignature":
			p.signature = v
		case "inlineData":
			kind = partInline
		case "fileData":
			kind = partFile
		case "functionCall":
			kind = partCall
		case "functionResponse":
			kind = partResponse
		case "executableCode", "codeExecutionResult", "toolCall", "toolResponse":
			kind = partOther
		}
		if kind > p.kind {
			p.kind, p.raw = kind, v
		}
	}
	return p, nil
}

// carrierPrefix begins opaque state of other dialects that was packed for a client of this one.
const carrierPrefix = "dtr1."

// opaque reads a thoughtSignature. In this dialect it is bytes, so base64 of a carrier. A signature that Google itself
// gave out is of no use to any upstream, and neither is the placeholder that clients put where they have none.
func opaque(raw []byte) llm.Opaque {
	sig := rawjson.Text(raw)
	if len(sig) == 0 {
		return llm.Opaque{}
	}
	if bytes.HasPrefix(sig, []byte(carrierPrefix)) {
		return llm.Opaque{Kind: llm.OpaqueCarrier, Value: string(sig)}
	}
	sig = bytes.TrimRight(sig, "=")
	encoding := base64.RawStdEncoding
	if bytes.ContainsAny(sig, "-_") {
		encoding = base64.RawURLEncoding
	}
	value, err := encoding.AppendDecode(nil, sig)
	if err != nil || !bytes.HasPrefix(value, []byte(carrierPrefix)) {
		return llm.Opaque{}
	}
	return llm.Opaque{Kind: llm.OpaqueCarrier, Value: string(value)}
}
