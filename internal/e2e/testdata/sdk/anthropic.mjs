// The official Anthropic SDK. Usage: anthropic.mjs BASE MODEL MARKER; BASE "" means its built-in host.
import Anthropic from "@anthropic-ai/sdk";
import { zodless, check, png, abortable } from "./steps.mjs";

const [base, model, marker] = process.argv.slice(2);
const client = new Anthropic({ apiKey: "sk-client-own", maxRetries: 0, ...(base && { baseURL: base }) });
const user = (content) => [{ role: "user", content }];
const tools = [{ name: "lookup", description: "looks up", input_schema: zodless.lookup }];
const text = (m) => m.content.filter((b) => b.type === "text").map((b) => b.text).join("");

await check("plain", async () => {
  const r = await client.messages.create({ model, max_tokens: 500, messages: user(marker) });
  return `${text(r)} ${r.stop_reason} ${r.usage.output_tokens > 0}`;
}, `simulated answer from ${model} to: ${marker} end_turn true`);

await check("streamed", async () => {
  const r = await client.messages.stream({ model, max_tokens: 500, messages: user(marker) }).finalMessage();
  return `${text(r)} ${r.stop_reason} ${r.usage.output_tokens > 0}`;
}, `simulated answer from ${model} to: ${marker} end_turn true`);

await check("tool round", async () => {
  const messages = user(`${marker} [[sim:tool=lookup {"key":"k"}]]`);
  const first = await client.messages.stream({ model, max_tokens: 500, messages, tools }).finalMessage();
  const call = first.content.find((b) => b.type === "tool_use");
  const r = await client.messages.create({
    model, max_tokens: 500, tools,
    messages: [...messages, { role: "assistant", content: first.content }, { role: "user", content: [{ type: "tool_result", tool_use_id: call.id, content: "found-it" }] }],
  });
  return `${first.stop_reason} ${call.name} ${call.input.key} ${text(r).includes("found-it")}`;
}, "tool_use lookup k true");

await check("vision", async () => {
  const r = await client.messages.create({ model, max_tokens: 500, messages: user([{ type: "text", text: marker }, { type: "image", source: { type: "base64", media_type: "image/png", data: png.split(",")[1] } }]) });
  return text(r).includes(marker);
}, "true");

await check("count tokens", async () => (await client.messages.countTokens({ model, messages: user(marker) })).input_tokens > 0, "true");

await check("unknown model", async () => {
  try {
    await client.messages.create({ model: "no-such-model-at-all", max_tokens: 10, messages: user(marker) });
  } catch (e) {
    return `${e.constructor.name} ${e.status} ${e.error?.error?.type}`;
  }
}, "NotFoundError 404 not_found_error");

await check("aborted", () => abortable(async (signal) => {
  for await (const e of await client.messages.create({ model, max_tokens: 500, messages: user(`${marker} [[sim:chunks=50]] [[sim:delay=200ms]]`), stream: true }, { signal })) if (e.type === "content_block_delta") return;
}), "aborted");
