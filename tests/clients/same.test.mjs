// Byte for byte: what comes through the gateway is what comes directly, but for ids and times. And each is written
// down once, with what its provider said was used.

import assert from "node:assert/strict";
import { test } from "node:test";
import { PIXEL, double, weather } from "./double.mjs";

const messages = [{ role: "user", content: "Why is the sky blue?" }];
const image = { type: "image_url", image_url: { url: `data:image/png;base64,${PIXEL}` } };
const seen = [{ role: "user", content: [{ type: "text", text: "What is it?" }, image] }];
const { name, description, parameters } = weather.function;
const claude = { model: "claude-sonnet-4-5", max_tokens: 300, messages };
const source = { type: "base64", media_type: "image/png", data: PIXEL };
const shown = [{ role: "user", content: [{ type: "image", source }, { type: "text", text: "?" }] }];
const counting = { stream: true, stream_options: { include_usage: true } };

/** By provider: its flags, the headers its client sends, and requests. Each is asked whole and streamed. */
const ASKED = {
  openai: {
    flags: [],
    headers: { authorization: "Bearer sk-any" },
    requests: [
      ["/v1/chat/completions", { model: "gpt-4o", messages }],
      ["/v1/chat/completions", { model: "gpt-4o", messages, ...counting }],
      ["/v1/chat/completions", { model: "gpt-4o", messages, tools: [weather], unknown: [1, 1.0] }],
      ["/v1/chat/completions", { model: "gpt-4o", messages: seen, n: 2, user: "ann" }],
      ["/v1/chat/completions", { model: "gpt-4o!utf8", messages }],
      ["/v1/completions", { model: "gpt-3.5-turbo-instruct", prompt: "Once", max_tokens: 9 }],
      ["/v1/responses", { model: "gpt-4o", input: "Why?", instructions: "Be brief." }],
      ["/v1/responses", { model: "gpt-4o", input: "?", tools: [{ type: "function", name, parameters }] }],
      ["/v1/embeddings", { model: "text-embedding-3-small", input: ["a", "b"], dimensions: 8 }],
      ["/v1/chat/completions", { model: "no-such", messages }],
      ["/v1/chat/completions", { model: "gpt-4o", messages: [] }],
      ["/v1/audio/nothing", { model: "x" }],
      ["/v1/models"],
      ["/v1/models/gpt-4o"],
    ],
  },
  anthropic: {
    flags: [],
    headers: { "x-api-key": "sk-ant-any", "anthropic-version": "2023-06-01" },
    requests: [
      ["/v1/messages", claude],
      ["/v1/messages", { ...claude, tools: [{ name, description, input_schema: parameters }] }],
      ["/v1/messages", { ...claude, max_tokens: 2048, thinking: { type: "enabled", budget_tokens: 1024 } }],
      ["/v1/messages", { ...claude, messages: shown, metadata: { user_id: "ann" } }],
      ["/v1/messages", { ...claude, model: "no-such" }],
      ["/v1/messages", { ...claude, max_tokens: null }],
      ["/v1/messages/count_tokens", { model: claude.model, messages }],
      ["/v1/models?limit=2"],
    ],
  },
  ollama: {
    flags: ["--models", "llama3.2,gemma3,qwen3,nomic-embed-text", "--load-time", "1ms"],
    headers: {},
    requests: [
      ["/api/chat", { model: "llama3.2", messages }],
      ["/api/chat", { model: "llama3.2", messages, tools: [weather] }],
      ["/api/chat", { model: "llama3.2", messages, format: parameters }],
      ["/api/chat", { model: "qwen3", messages, think: true }],
      ["/api/generate", { model: "gemma3", prompt: "What is it?", images: [PIXEL] }],
      ["/api/embed", { model: "nomic-embed-text", input: "a" }],
      ["/v1/chat/completions", { model: "llama3.2", messages }],
      ["/api/chat", { model: "no-such", messages }],
      ["/api/tags"],
      ["/api/version"],
      ["/v1/models"],
    ],
  },
};

/** Without what is another each time. */
function settled(text) {
  return text
    .replace(/\b(chatcmpl|cmpl|resp|msg|call|toolu|req|rs|fc)([-_])[A-Za-z0-9]+/g, "$1$2…")
    .replace(/"(created|created_at|completed_at)":[\d.]+/g, '"$1":0')
    .replace(/"\d{4}-\d\d-\d\dT[^"]*"/g, '"time"')
    .replace(/"(\w+_duration)":\d+/g, '"$1":0');
}

async function ask(origin, path, body, headers) {
  const answer = await fetch(origin + path, {
    method: body ? "POST" : "GET",
    headers: { ...headers, ...(body && { "content-type": "application/json" }) },
    body: body && JSON.stringify(body),
  });
  const told = {};
  for (const [header, value] of answer.headers) {
    const changes = ["date", "x-request-id", "request-id", "openai-processing-ms"];
    // How the bytes are framed is each connection's own.
    if (["content-length", "transfer-encoding"].includes(header)) continue;
    if (!header.startsWith("x-cockpit-")) told[header] = changes.includes(header) ? "…" : value;
  }
  // As bytes, so that what is no UTF-8 is compared too.
  const text = Buffer.from(await answer.arrayBuffer()).toString("latin1");
  return { id: answer.headers.get("x-cockpit-call-id"), status: answer.status, told, text: settled(text), raw: text };
}

/** Input and output as an answer of any protocol tells them, whole or streamed. */
function used(text) {
  const last = (...names) => {
    const all = names.flatMap((name) => [...text.matchAll(new RegExp(`"${name}":(\\d+)`, "g"))]);
    return all.length > 0 ? Number(all.at(-1)[1]) : null;
  };
  return [
    last("prompt_tokens", "input_tokens", "prompt_eval_count"),
    last("completion_tokens", "output_tokens", "eval_count"),
  ];
}

// All of them before the first test: a file whose known tests have ended is over, whatever it still waits for.
const doubles = {};
for (const [what, { flags }] of Object.entries(ASKED)) doubles[what] = await double(what, ...flags);

for (const [what, { headers, requests }] of Object.entries(ASKED)) {
  const it = doubles[what];
  for (const [path, body] of requests) {
    const ways = body && !("stream" in body) ? [{ stream: false }, { stream: true }] : [{}];
    for (const way of ways) {
      const asked = body && { ...body, ...way };
      const model = body?.model ?? "";
      test(`${what} ${path} ${model} ${JSON.stringify(way)}`, async () => {
        const direct = await ask(it.own, path, asked, headers);
        const through = await ask(it.origin, path, asked, headers);
        assert.equal(through.text, direct.text);
        assert.equal(through.status, direct.status);
        assert.deepEqual(through.told, direct.told);
        if (!through.id) return;
        const call = await it.cockpit.call(through.id);
        assert.equal(call.target, `${what}/${model}`);
        assert.equal(call.outcome, direct.status === 200 ? "ok" : "error");
        assert.equal(call.status, direct.status);
        const [input, output] = used(direct.raw);
        // A stream whose client did not ask for it does not tell.
        if (input !== null) assert.equal(call.input_tokens, input);
        if (output !== null) assert.equal(call.output_tokens, output);
        if (direct.status === 200) assert.ok(call.input_tokens > 0);
      });
    }
  }
}
