// The official client of Anthropic: against its own double, and against Ollama's rendering.

import assert from "node:assert/strict";
import { test } from "node:test";
import Anthropic from "@anthropic-ai/sdk";
import { PIXEL, all, double, isWeather, until, weather } from "./double.mjs";

const KEY = "sk-ant-test-1";
const it = await double("anthropic", "--key", KEY);
const anthropic = new Anthropic({ apiKey: KEY, authToken: null, baseURL: it.origin, maxRetries: 0 });
const ask = {
  model: "claude-sonnet-4-5",
  max_tokens: 500,
  messages: [{ role: "user", content: "Why is the sky blue?" }],
};
const { name, description, parameters: input_schema } = weather.function;
const tools = [{ name, description, input_schema }];

test("a message, whole and streamed, says the same and counts the same", async () => {
  const whole = await anthropic.messages.create(ask);
  assert.equal(whole.type, "message");
  assert.equal(whole.stop_reason, "end_turn");
  assert.ok(whole._request_id.startsWith("req_"));
  const [{ text }] = whole.content;
  const events = await all(await anthropic.messages.create({ ...ask, stream: true }));
  const kinds = events.map((event) => event.type);
  assert.equal(kinds[0], "message_start");
  assert.equal(kinds[1], "content_block_start");
  assert.deepEqual(kinds.slice(-3), ["content_block_stop", "message_delta", "message_stop"]);
  const deltas = events.filter((event) => event.type === "content_block_delta");
  assert.equal(deltas.map((event) => event.delta.text).join(""), text);
  assert.equal(events[0].message.usage.input_tokens, whole.usage.input_tokens);
  assert.equal(events.at(-2).usage.output_tokens, whole.usage.output_tokens);
  const collected = await anthropic.messages.stream(ask).finalMessage();
  assert.equal(collected.content[0].text, text);
  assert.equal(collected.usage.output_tokens, whole.usage.output_tokens);
});

test("limits and stops", async () => {
  const short = await anthropic.messages.create({ ...ask, max_tokens: 2 });
  assert.equal(short.stop_reason, "max_tokens");
  assert.equal(short.usage.output_tokens, 2);
  const whole = await anthropic.messages.create(ask);
  const word = whole.content[0].text.split(" ")[4];
  const stopped = await anthropic.messages.create({ ...ask, stop_sequences: [word] });
  assert.equal(stopped.stop_reason, "stop_sequence");
  assert.equal(stopped.stop_sequence, word);
});

test("tools, thinking, pictures", async () => {
  const whole = await anthropic.messages.create({ ...ask, tools });
  assert.equal(whole.stop_reason, "tool_use");
  const call = whole.content.find((block) => block.type === "tool_use");
  assert.ok(isWeather(call.input));
  const collected = await anthropic.messages.stream({ ...ask, tools }).finalMessage();
  assert.deepEqual(collected.content.at(-1).input, call.input);
  const messages = [
    ...ask.messages,
    { role: "assistant", content: whole.content },
    { role: "user", content: [{ type: "tool_result", tool_use_id: call.id, content: "4" }] },
  ];
  const answer = await anthropic.messages.create({ ...ask, tools, messages });
  assert.equal(answer.stop_reason, "end_turn");
  const thinking = { type: "enabled", budget_tokens: 1024 };
  const thought = await anthropic.messages.stream({ ...ask, max_tokens: 2048, thinking }).finalMessage();
  assert.equal(thought.content[0].type, "thinking");
  assert.ok(thought.content[0].thinking.length > 0 && thought.content[0].signature.length > 0);
  assert.equal(thought.content[1].type, "text");
  const plain = await anthropic.messages.create(ask);
  const source = { type: "base64", media_type: "image/png", data: PIXEL };
  const content = [{ type: "image", source }, { type: "text", text: ask.messages[0].content }];
  const seen = await anthropic.messages.create({ ...ask, messages: [{ role: "user", content }] });
  assert.ok(seen.usage.input_tokens > plain.usage.input_tokens);
});

test("what is marked is written to the cache once and read then, outside input_tokens", async () => {
  const text = "You are careful. ".repeat(400);
  const marked = (ttl) => ({
    ...ask,
    system: [{ type: "text", text: `${ttl} ${text}`, cache_control: { type: "ephemeral", ttl } }],
  });
  for (const ttl of ["5m", "1h"]) {
    const first = (await anthropic.messages.create(marked(ttl))).usage;
    assert.ok(first.cache_creation_input_tokens >= 1024);
    assert.equal(first.cache_read_input_tokens, 0);
    assert.equal(
      first.cache_creation[`ephemeral_${ttl}_input_tokens`],
      first.cache_creation_input_tokens,
    );
    const stream = anthropic.messages.stream(marked(ttl));
    const second = (await stream.finalMessage()).usage;
    assert.equal(second.cache_read_input_tokens, first.cache_creation_input_tokens);
    assert.equal(second.cache_creation_input_tokens, 0);
    assert.equal(second.input_tokens, first.input_tokens);
  }
  const counted = await anthropic.messages.countTokens({
    model: ask.model,
    messages: ask.messages,
    system: text,
  });
  assert.ok(counted.input_tokens > 1024);
});

test("models", async () => {
  const listed = await all(anthropic.models.list());
  assert.ok(listed.some((model) => model.id === ask.model && model.type === "model"));
  assert.equal((await anthropic.models.retrieve(ask.model)).id, ask.model);
});

test("errors as the client sorts them", async () => {
  const create = (more) => anthropic.messages.create({ ...ask, ...more });
  await assert.rejects(create({ model: "no-such" }), (error) => {
    assert.ok(error instanceof Anthropic.NotFoundError);
    assert.equal(error.error.error.type, "not_found_error");
    return true;
  });
  await assert.rejects(create({ max_tokens: undefined }), Anthropic.BadRequestError);
  await assert.rejects(create({ messages: [] }), Anthropic.BadRequestError);
  const stranger = new Anthropic({ apiKey: "wrong", baseURL: it.origin, maxRetries: 0 });
  await assert.rejects(stranger.messages.create(ask), Anthropic.AuthenticationError);
  await assert.rejects(create({ model: `${ask.model}!429,retry_after_s=3` }), (error) => {
    assert.ok(error instanceof Anthropic.RateLimitError);
    assert.equal(error.headers.get("retry-after"), "3");
    assert.equal(error.error.error.type, "rate_limit_error");
    return true;
  });
  await assert.rejects(create({ model: `${ask.model}!529` }), (error) => {
    assert.equal(error.status, 529);
    assert.equal(error.error.error.type, "overloaded_error");
    return true;
  });
});

test("an error in mid-stream is raised", async () => {
  const stream = await anthropic.messages.create({
    ...ask,
    model: `${ask.model}!midstream`,
    stream: true,
  });
  await assert.rejects(all(stream), /overloaded_error/);
});

test("an aborted answer is written no further", async () => {
  const model = `${ask.model}!endless,after=4`;
  const stream = await anthropic.messages.create({ ...ask, model, stream: true });
  let seen = 0;
  for await (const event of stream) {
    assert.ok(event);
    seen += 1;
    if (seen === 8) stream.controller.abort();
  }
  await until("the double notices", async () => (await it.requests()).at(-1).outcome === "aborted");
});

test("Ollama renders messages", async () => {
  const other = await double("ollama", "--models", "llama3.2", "--load-time", "1ms");
  const local = new Anthropic({ apiKey: "ollama", baseURL: other.origin, maxRetries: 0 });
  const whole = await local.messages.create({ ...ask, model: "llama3.2" });
  const collected = await local.messages.stream({ ...ask, model: "llama3.2" }).finalMessage();
  assert.equal(collected.content[0].text, whole.content[0].text);
  assert.equal(collected.usage.input_tokens, whole.usage.input_tokens);
  const called = await local.messages.create({ ...ask, model: "llama3.2", tools });
  assert.equal(called.stop_reason, "tool_use");
  const missing = local.messages.create({ ...ask, model: "no-such" });
  await assert.rejects(missing, Anthropic.NotFoundError);
});
