// The Vercel AI SDK, which checks every chunk against a schema. Usage: ai.mjs BASE MODEL MARKER; BASE "" means the
// built-in hosts.
import { generateText, streamText, tool, jsonSchema, stepCountIs } from "ai";
import { createOpenAI } from "@ai-sdk/openai";
import { createAnthropic } from "@ai-sdk/anthropic";
import { createGoogleGenerativeAI } from "@ai-sdk/google";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { zodless, check } from "./steps.mjs";

const [base, model, marker] = process.argv.slice(2);
const at = (path) => (base ? { baseURL: base + path } : {});
const apiKey = "sk-client-own";
const openai = createOpenAI({ apiKey, ...at("/v1") });
const models = {
  "openai chat": openai.chat(model),
  "openai responses": openai.responses(model),
  anthropic: createAnthropic({ apiKey, ...at("/v1") })(model),
  google: createGoogleGenerativeAI({ apiKey, ...at("/v1beta") })(model),
  compatible: createOpenAICompatible({ name: "detour", apiKey, baseURL: (base || "https://api.openai.com") + "/v1" })(model),
};
const tools = { lookup: tool({ description: "looks up", inputSchema: jsonSchema(zodless.lookup), execute: async () => "found-it" }) };

for (const [name, m] of Object.entries(models)) {
  await check(name + " plain", async () => {
    const r = await generateText({ model: m, prompt: marker, maxRetries: 0 });
    return `${r.text} ${r.finishReason}`;
  }, `simulated answer from ${model} to: ${marker} stop`);
  await check(name + " streamed", async () => {
    const errors = [];
    const r = streamText({ model: m, prompt: marker, maxRetries: 0, onError: ({ error }) => errors.push(String(error)) });
    let text = "";
    for await (const part of r.textStream) text += part;
    return `${text} ${await r.finishReason}${errors}`;
  }, `simulated answer from ${model} to: ${marker} stop`);
  await check(name + " tool round, streamed", async () => {
    const errors = [];
    const r = streamText({ model: m, tools, maxRetries: 0, stopWhen: stepCountIs(3), prompt: `${marker} [[sim:tool=lookup {"key":"k"}]]`, onError: ({ error }) => errors.push(String(error)) });
    await r.consumeStream();
    return `${(await r.steps).length} ${(await r.text).includes("found-it")}${errors}`;
  }, "2 true");
}
