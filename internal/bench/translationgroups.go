package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"detour/internal/dialect"
	"detour/internal/dialect/chat"
	"detour/internal/dialect/gemini"
	"detour/internal/dialect/messages"
	"detour/internal/dialect/responses"
	"detour/internal/llm"
	"detour/internal/sse"
)

// speaker is one dialect as clients speak it.
type speaker struct {
	name   string
	client dialect.Client
	body   []byte // a request of about 285 KB
}

// answerer is one dialect as upstreams speak it: what comes before a delta, and the delta.
type answerer struct {
	name          string
	upstream      dialect.Upstream
	before, delta string
}

// conversation is a request of about 285 KB, as agents send it: long instructions, 30 tools, turns with source code.
func conversation() ([]byte, error) {
	type object map[string]any
	source := strings.Repeat("func add(a, b int) int {\n\treturn a + b // \"sum\"\n}\n", 80)
	var tools, turns []object
	for i := range 30 {
		tools = append(tools, object{
			"name": fmt.Sprintf("tool_%d", i), "description": strings.Repeat("Does what it says. ", 40),
			"input_schema": object{"type": "object", "properties": object{"path": object{"type": "string", "description": "A path."}, "n": object{"type": "integer"}}, "required": []string{"path"}},
		})
	}
	turns = append(turns, object{"role": "user", "content": []object{{"type": "text", "text": "fix it"}}})
	for i := range 50 {
		id := fmt.Sprintf("toolu_%d", i)
		turns = append(turns,
			object{"role": "assistant", "content": []object{{"type": "text", "text": "I read the file."}, {"type": "tool_use", "id": id, "name": "tool_1", "input": object{"path": "/src/a.go"}}}},
			object{"role": "user", "content": []object{{"type": "tool_result", "tool_use_id": id, "content": source}}})
	}
	return json.Marshal(object{
		"model": "m", "max_tokens": 32000, "stream": true, "tools": tools, "messages": turns,
		"system": []object{{"type": "text", "text": strings.Repeat("Be careful.\n", 1000)}},
	})
}

// geminiConversation is the same in Gemini's words, which no upstream's encoder writes.
func geminiConversation() ([]byte, error) {
	type object map[string]any
	source := strings.Repeat("func add(a, b int) int {\n\treturn a + b // \"sum\"\n}\n", 80)
	var tools, turns []object
	for i := range 30 {
		tools = append(tools, object{
			"name": fmt.Sprintf("tool_%d", i), "description": strings.Repeat("Does what it says. ", 40),
			"parametersJsonSchema": object{"type": "object", "properties": object{"path": object{"type": "string", "description": "A path."}, "n": object{"type": "integer"}}, "required": []string{"path"}},
		})
	}
	turns = append(turns, object{"role": "user", "parts": []object{{"text": "fix it"}}})
	for i := range 50 {
		id := fmt.Sprintf("call_%d", i)
		turns = append(turns,
			object{"role": "model", "parts": []object{{"text": "I read the file."}, {"functionCall": object{"id": id, "name": "tool_1", "args": object{"path": "/src/a.go"}}}}},
			object{"role": "user", "parts": []object{{"functionResponse": object{"id": id, "name": "tool_1", "response": object{"output": source}}}}})
	}
	return json.Marshal(object{
		"contents": turns, "tools": []object{{"functionDeclarations": tools}}, "generationConfig": object{"maxOutputTokens": 32000},
		"systemInstruction": object{"parts": []object{{"text": strings.Repeat("Be careful.\n", 1000)}}},
	})
}

// speakers are the four dialects of clients, with the same conversation in each.
func speakers() ([]speaker, error) {
	body, err := conversation()
	if err != nil {
		return nil, err
	}
	said, err := messages.Codec{}.DecodeRequest(body)
	if err != nil {
		return nil, err
	}
	list := []speaker{{"messages", messages.Codec{}, body}}
	for _, s := range []struct {
		speaker
		upstream dialect.Upstream
	}{{speaker{"responses", responses.Codec{}, nil}, responses.Codec{}}, {speaker{"chat", chat.Codec{}, nil}, chat.Codec{}}} {
		enc, err := s.upstream.EncodeRequest(said, dialect.Target{Model: "m"})
		if err != nil {
			return nil, err
		}
		s.body = enc.Body
		list = append(list, s.speaker)
	}
	body, err = geminiConversation()
	return append(list, speaker{"gemini", gemini.Codec{Model: "m", Stream: true}, body}), err
}

func answerers() []answerer {
	return []answerer{
		{
			"messages", messages.Codec{},
			"event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"m\",\"content\":[],\"stop_reason\":null,\"stop_sequence\":null,\"usage\":{\"input_tokens\":1,\"output_tokens\":1}}}\n\n" +
				"event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n",
			"event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"Hello \\\"wide\\\" world\\n\"}}\n\n",
		},
		{
			"responses", responses.Codec{},
			"data: {\"type\":\"response.created\",\"response\":{\"id\":\"resp_1\",\"object\":\"response\",\"status\":\"in_progress\",\"output\":[]}}\n\n" +
				"data: {\"type\":\"response.output_item.added\",\"output_index\":0,\"item\":{\"id\":\"m_1\",\"type\":\"message\",\"role\":\"assistant\",\"content\":[]}}\n\n",
			"data: {\"type\":\"response.output_text.delta\",\"item_id\":\"m_1\",\"output_index\":0,\"content_index\":0,\"delta\":\"Hello \\\"wide\\\" world\\n\"}\n\n",
		},
		{
			"chat", chat.Codec{},
			"data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null}]}\n\n",
			"data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hello \\\"wide\\\" world\\n\"},\"finish_reason\":null}]}\n\n",
		},
	}
}

// pairs runs f for every client and every upstream of another dialect.
func pairs(ctx context.Context, f func(speaker, answerer) error) error {
	clients, err := speakers()
	if err != nil {
		return err
	}
	for _, c := range clients {
		for _, u := range answerers() {
			if c.name == u.name {
				continue
			}
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := f(c, u); err != nil {
				return fmt.Errorf("%s to %s: %w", c.name, u.name, err)
			}
		}
	}
	return nil
}

// requestTranslationGroup decodes a client's large request and encodes it for an upstream.
func requestTranslationGroup(ctx context.Context, _ *rig, name string) ([]result, error) {
	var out []result
	err := pairs(ctx, func(c speaker, u answerer) error {
		var failed error
		b := testing.Benchmark(func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r, err := c.client.DecodeRequest(c.body)
				if err == nil {
					_, err = u.upstream.EncodeRequest(r, dialect.Target{Model: "m"})
				}
				failed = err
			}
		})
		m := result{Group: name, System: fmt.Sprintf("%s to %s, %d KB", c.name, u.name, len(c.body)/1000)}
		m.add(mMillis, float64(b.NsPerOp())/1e6)
		m.add(mAllocs, float64(b.AllocsPerOp()))
		m.judge(targets{mMillis: atMost(1)})
		out = append(out, m)
		return failed
	})
	return out, err
}

// deltaTranslationGroup takes one text delta from an upstream's frame to a client's.
func deltaTranslationGroup(ctx context.Context, _ *rig, name string) ([]result, error) {
	var out []result
	err := pairs(ctx, func(c speaker, u answerer) error {
		step, err := deltaStep(c, u)
		if err != nil {
			return err
		}
		b := testing.Benchmark(func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				step()
			}
		})
		m := result{Group: name, System: u.name + " to " + c.name}
		m.add(mMicros, float64(b.NsPerOp())/1e3)
		m.add(mAllocs, float64(b.AllocsPerOp()))
		m.judge(targets{mMicros: atMost(1.5), mAllocs: atMost(0)})
		out = append(out, m)
		return nil
	})
	return out, err
}

// deltaStep returns what translates one delta in the middle of a stream.
func deltaStep(c speaker, u answerer) (func(), error) {
	dec, enc := u.upstream.NewDecoder(), c.client.NewEncoder(dialect.AnswerOptions{Request: &llm.Request{Model: "m", Stream: true}, Model: "m", ID: "x", Created: 1})
	events, buf := make([]llm.Event, 0, 8), make([]byte, 0, 64<<10)
	feed := func(f sse.Frame) {
		events, buf = dec.Decode(events[:0], f), buf[:0]
		for _, e := range events {
			buf = enc.Encode(buf, e)
		}
	}
	var last sse.Frame
	frames := sse.NewReader(strings.NewReader(u.before + u.delta))
	for {
		f, err := frames.Next()
		if err != nil {
			break
		}
		f.Raw, f.Data, f.Event = []byte(string(f.Raw)), []byte(string(f.Data)), []byte(string(f.Event))
		last = f
		feed(f)
	}
	if !strings.Contains(string(buf), "wide") {
		return nil, fmt.Errorf("the delta became %q", buf)
	}
	for range 2000 { // text that is kept for the end of the answer has room for more then
		feed(last)
	}
	return func() { feed(last) }, nil
}

// translatedDoorGroup is the API door with a Messages client and a Chat model, beside the same in one dialect.
func translatedDoorGroup(ctx context.Context, r *rig, name string, conns int) ([]result, error) {
	j := r.request(kindRequests, conns, false)
	translated := atDoor(j, r.viaPlain.api, true)
	translated.Path = "/v1/messages"
	translated.Body = fmt.Sprintf(`{"model":"gpt-4o","max_tokens":100,"stream":true,"system":%q,"messages":[{"role":"user","content":"benchmark"}]}`, strings.Repeat("You are terse. ", 60))
	entries := r.wanted([]entry{
		{system: sysSim, job: atSim(j, r.simPlain, true), base: sysSim},
		{system: sysDetour + ", identity", process: r.viaPlain.process, job: atDoor(j, r.viaPlain.api, true), base: sysSim},
		{system: sysDetour + ", Messages to Chat", process: r.viaPlain.process, job: translated, base: sysSim},
	})
	all, err := r.runs(ctx, r.o.rounds, entries)
	out := requestResults(name, entries, all, true)
	for i := range out {
		if strings.HasSuffix(out[i].System, "Messages to Chat") && conns == 1 {
			out[i].judge(targets{mAddF50: atMost(200), mErrors: atMost(0)})
		}
	}
	return out, err
}
