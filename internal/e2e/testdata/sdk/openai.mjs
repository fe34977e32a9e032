// The official OpenAI SDK: both of its wires. Usage: openai.mjs BASE MODEL MARKER; BASE "" means its built-in host.
import OpenAI from "openai";
import { zodless, check, png, abortable } from "./steps.mjs";

const [base, model, marker] = process.argv.slice(2);
const client = new OpenAI({ apiKey: "sk-client-own", maxRetries: 0, ...(base && { baseURL: base + "/v1" }) });
const user = (content) => [{ role: "user", content }];
const tool = { name: "lookup", description: "looks up", parameters: zodless.lookup };

await check("chat plain", async () => {
  const r = await client.chat.completions.create({ model, messages: user(marker) });
  return r.choices[0].message.content + " " + r.choices[0].finish_reason + " " + (r.usage.total_tokens > 0);
}, `simulated answer from ${model} to: ${marker} stop true`);

await check("chat streamed", async () => {
  let text = "", finish = "", usage = 0;
  for await (const c of await client.chat.completions.create({ model, messages: user(marker), stream: true, stream_options: { include_usage: true } })) {
    text += c.choices[0]?.delta?.content ?? "";
    finish ||= c.choices[0]?.finish_reason ?? "";
    if (c.usage) usage++;
  }
  return `${text} ${finish} ${usage}`;
}, `simulated answer from ${model} to: ${marker} stop 1`);

await check("chat tool round", async () => {
  const messages = user(`${marker} [[sim:tool=lookup {"key":"k"}]]`);
  const stream = client.chat.completions.stream({ model, messages, tools: [{ type: "function", function: tool }] });
  const first = (await stream.finalChatCompletion()).choices[0];
  const call = first.message.tool_calls[0];
  const r = await client.chat.completions.create({
    model, tools: [{ type: "function", function: tool }],
    messages: [...messages, first.message, { role: "tool", tool_call_id: call.id, content: "found-it" }],
  });
  return `${first.finish_reason} ${call.function.name} ${JSON.parse(call.function.arguments).key} ${r.choices[0].message.content.includes("found-it")}`;
}, "tool_calls lookup k true");

await check("chat vision", async () => {
  const r = await client.chat.completions.create({ model, messages: user([{ type: "text", text: marker }, { type: "image_url", image_url: { url: png } }]) });
  return r.choices[0].message.content.includes(marker);
}, "true");

await check("chat structured", async () => {
  const r = await client.chat.completions.create({ model, messages: user(marker), response_format: { type: "json_schema", json_schema: { name: "answer", schema: zodless.answer, strict: true } } });
  return r.choices[0].finish_reason;
}, "stop");

await check("responses plain", async () => {
  const r = await client.responses.create({ model, input: marker, store: false });
  return `${r.output_text} ${r.status} ${r.usage.total_tokens > 0}`;
}, `simulated answer from ${model} to: ${marker} completed true`);

await check("responses streamed", async () => {
  const stream = client.responses.stream({ model, input: marker, store: false });
  const r = await stream.finalResponse();
  return `${r.output_text} ${r.status}`;
}, `simulated answer from ${model} to: ${marker} completed`);

await check("responses tool round", async () => {
  const input = user(`${marker} [[sim:tool=lookup {"key":"k"}]]`);
  const tools = [{ type: "function", strict: false, ...tool }];
  const first = await client.responses.stream({ model, input, tools, store: false }).finalResponse();
  const call = first.output.find((i) => i.type === "function_call");
  const r = await client.responses.create({ model, tools, store: false, input: [...input, ...first.output.filter((i) => i.type !== "message"), { type: "function_call_output", call_id: call.call_id, output: "found-it" }] });
  return `${call.name} ${JSON.parse(call.arguments).key} ${r.output_text.includes("found-it")}`;
}, "lookup k true");

await check("responses that refer to one another", async () => {
  const tools = [{ type: "function", strict: false, ...tool }];
  const first = await client.responses.stream({ model, input: `${marker} [[sim:tool=lookup {"key":"k"}]]`, tools }).finalResponse();
  const call = first.output.find((i) => i.type === "function_call");
  const result = { type: "function_call_output", call_id: call.call_id, output: "found-it" };
  const second = await client.responses.create({ model, tools, previous_response_id: first.id, input: [result] });
  const named = await client.responses.create({ model, tools, input: [{ role: "user", content: `${marker} again` }, { type: "item_reference", id: call.id }, result] });
  let kept = "kept";
  if (base) {
    const got = await client.responses.retrieve(second.id);
    kept = got.output_text === second.output_text ? kept : "other";
    await client.responses.delete(second.id);
  }
  const gone = await client.responses.create({ model, previous_response_id: "resp_unknown", input: "x" }).catch((e) => `${e.status} ${e.code}`);
  return `${second.output_text.includes("found-it")} ${named.output_text.includes("found-it")} ${kept} ${gone}`;
}, "true true kept 400 previous_response_not_found");

await check("unknown model", async () => {
  try {
    await client.chat.completions.create({ model: "no-such-model-at-all", messages: user(marker) });
  } catch (e) {
    return `${e.constructor.name} ${e.status} ${e.code}`;
  }
}, "NotFoundError 404 model_not_found");

await check("aborted", () => abortable(async (signal) => {
  for await (const c of await client.chat.completions.create({ model, messages: user(`${marker} [[sim:chunks=50]] [[sim:delay=200ms]]`), stream: true }, { signal })) if (c.choices[0]?.delta?.content) return;
}), "aborted");
