// The official Gemini SDK. Usage: genai.mjs BASE MODEL MARKER; BASE "" means its built-in host.
import { GoogleGenAI } from "@google/genai";
import { zodless, check, png } from "./steps.mjs";

const [base, model, marker] = process.argv.slice(2);
const ai = new GoogleGenAI({ apiKey: "sk-client-own", ...(base && { httpOptions: { baseUrl: base } }) });
const tools = [{ functionDeclarations: [{ name: "lookup", description: "looks up", parametersJsonSchema: zodless.lookup }] }];

await check("plain", async () => {
  const r = await ai.models.generateContent({ model, contents: marker });
  return `${r.text} ${r.candidates[0].finishReason} ${r.usageMetadata.totalTokenCount > 0}`;
}, `simulated answer from ${model} to: ${marker} STOP true`);

await check("streamed", async () => {
  let text = "", finish = "";
  for await (const c of await ai.models.generateContentStream({ model, contents: marker })) {
    text += c.text ?? "";
    finish = c.candidates?.[0]?.finishReason ?? finish;
  }
  return `${text} ${finish}`;
}, `simulated answer from ${model} to: ${marker} STOP`);

await check("tool round", async () => {
  const contents = [{ role: "user", parts: [{ text: `${marker} [[sim:tool=lookup {"key":"k"}]]` }] }];
  const first = await ai.models.generateContent({ model, contents, config: { tools } });
  const call = first.functionCalls[0];
  const r = await ai.models.generateContent({
    model, config: { tools },
    contents: [...contents, first.candidates[0].content, { role: "user", parts: [{ functionResponse: { id: call.id, name: call.name, response: { output: "found-it" } } }] }],
  });
  return `${call.name} ${call.args.key} ${r.text.includes("found-it")}`;
}, "lookup k true");

await check("vision", async () => {
  const r = await ai.models.generateContent({ model, contents: [{ role: "user", parts: [{ text: marker }, { inlineData: { mimeType: "image/png", data: png.split(",")[1] } }] }] });
  return r.text.includes(marker);
}, "true");

await check("count tokens", async () => (await ai.models.countTokens({ model, contents: marker })).totalTokens > 0, "true");

await check("unknown model", async () => {
  try {
    await ai.models.generateContent({ model: "no-such-model-at-all", contents: marker });
  } catch (e) {
    return `${e.status} ${e.message.includes("NOT_FOUND")}`;
  }
}, "404 true");
