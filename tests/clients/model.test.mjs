// A real model (SmolLM2-135M, served by llama.cpp) through the gateway, by the official clients of OpenAI and
// Anthropic. Its two protocols count cached tokens differently; what is written down agrees.

import assert from "node:assert/strict";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import Anthropic from "@anthropic-ai/sdk";
import OpenAI from "openai";
import { cockpit, freePort } from "./cockpit.mjs";
import { all, providers, until } from "./double.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const python = process.env.MODEL_PYTHON ?? join(here, "../.cache/venv/bin/python");
const port = await freePort();
const origin = `http://127.0.0.1:${port}`;
const more = 'service = "model"';
const it = await cockpit(
  `[services.model]
command = ["${python}", "${join(here, "../stack/model/server.py")}"]
listen = "127.0.0.1:${port}"
env = { PORT = "{port}" }
ready = { http = "${origin}/health", every = "200ms", timeout = "2s" }

` +
    providers({
      smol: { kind: "openai", origin, more },
      small: { kind: "anthropic", origin, more },
    }),
);
await until("the model is ready", async () => (await it.get("/api/services/model")).state === "ready");

const messages = [
  { role: "user", content: "Name three colours of the rainbow, and one animal that lives in the sea." },
];
/** The same words each time. */
const same = { temperature: 0, max_tokens: 24 };
const openai = (base) => new OpenAI({ apiKey: "any", baseURL: `${base}/v1`, maxRetries: 0 });
const anthropic = (base) => new Anthropic({ apiKey: "any", authToken: null, baseURL: base, maxRetries: 0 });
const chat = { model: "smol/model", messages, ...same };
const message = { model: "small/model", messages, ...same };

// What comes first fills the model's cache; all that follows finds the same in it.
await openai(origin).chat.completions.create({ ...chat, model: "model" });

test("the same words as directly, whole and streamed, in both protocols", async () => {
  const direct = await openai(origin).chat.completions.create({ ...chat, model: "model" });
  const words = direct.choices[0].message.content;
  assert.ok(words.trim().length > 0);
  const whole = await openai(it.gateway).chat.completions.create(chat);
  assert.equal(whole.choices[0].message.content, words);
  assert.deepEqual(whole.usage, direct.usage);
  const parts = await all(await openai(it.gateway).chat.completions.create({ ...chat, stream: true }));
  const streamed = (all) => all.map((part) => part.choices[0]?.delta.content ?? "").join("");
  assert.equal(streamed(parts), words);
  assert.ok(parts.every((part) => part.choices.length === 1 && part.usage === undefined));

  const first = await anthropic(origin).messages.create({ ...message, model: "model" });
  const second = await anthropic(it.gateway).messages.create(message);
  assert.deepEqual(second.content, first.content);
  assert.deepEqual(second.usage, first.usage);
  const stream = await anthropic(it.gateway).messages.stream(message).finalMessage();
  assert.deepEqual(stream.content, first.content);
});

test("however cached tokens are told, they are written down alike", async () => {
  const calls = [];
  const told = [];
  for (const [client, ask] of [
    [openai(it.gateway).chat.completions, chat],
    [anthropic(it.gateway).messages, message],
  ]) {
    for (const stream of [false, true]) {
      const { data, response } = await client.create({ ...ask, stream }).withResponse();
      if (stream) await all(data);
      else told.push(data.usage);
      calls.push(await it.call(response.headers.get("x-cockpit-call-id")));
    }
  }
  const [inside, outside] = told;
  assert.ok(inside.prompt_tokens_details.cached_tokens > 0, "the cache is used");
  assert.equal(outside.cache_read_input_tokens, inside.prompt_tokens_details.cached_tokens);
  assert.equal(outside.input_tokens + outside.cache_read_input_tokens, inside.prompt_tokens);
  const [first] = calls;
  assert.ok(first.input_tokens > first.cached_input_tokens && first.cached_input_tokens > 0);
  assert.ok(first.output_tokens > 0 && first.output_tokens <= same.max_tokens);
  for (const call of calls) {
    assert.equal(call.outcome, "ok", JSON.stringify(call));
    assert.equal(call.input_tokens, first.input_tokens, call.target);
    assert.equal(call.cached_input_tokens, first.cached_input_tokens, call.target);
    assert.equal(call.output_tokens, first.output_tokens, call.target);
    assert.equal(call.cost_usd, 0, "it runs here");
  }
});
