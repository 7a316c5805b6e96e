// The official client of OpenAI: against its own double, and against Ollama's rendering.

import assert from "node:assert/strict";
import { test } from "node:test";
import OpenAI from "openai";
import { PIXEL, all, double, isWeather, until, weather } from "./double.mjs";

const KEY = "sk-test-1";
const it = await double("openai", "--key", KEY);
const openai = new OpenAI({ apiKey: KEY, baseURL: `${it.origin}/v1`, maxRetries: 0 });
const model = "gpt-4o";
const messages = [{ role: "user", content: "Why is the sky blue?" }];
const textOf = (parts) => parts.map((part) => part.choices[0]?.delta.content ?? "").join("");

test("chat completions, whole and streamed, say the same and count the same", async () => {
  const whole = await openai.chat.completions.create({ model, messages });
  assert.equal(whole.object, "chat.completion");
  assert.equal(whole.choices[0].finish_reason, "stop");
  assert.equal(whole.choices[0].message.role, "assistant");
  const { usage } = whole;
  assert.equal(usage.total_tokens, usage.prompt_tokens + usage.completion_tokens);
  assert.ok(whole._request_id.startsWith("req_"));
  const parts = await all(await openai.chat.completions.create({ model, messages, stream: true }));
  assert.equal(textOf(parts), whole.choices[0].message.content);
  assert.ok(parts.every((part) => part.usage === undefined && part.choices.length === 1));
  assert.equal(parts.at(-1).choices[0].finish_reason, "stop");
  const counted = await all(
    await openai.chat.completions.create({
      model,
      messages,
      stream: true,
      stream_options: { include_usage: true },
    }),
  );
  assert.deepEqual(counted.at(-1).usage, usage);
  assert.deepEqual(counted.at(-1).choices, []);
  assert.ok(counted.slice(0, -1).every((part) => part.usage === null));
});

test("the client's own stream collects what the whole answer is", async () => {
  const whole = await openai.chat.completions.create({ model, messages, tools: [weather] });
  const stream = openai.chat.completions.stream({ model, messages, tools: [weather] });
  const collected = await stream.finalChatCompletion();
  const of = (completion) => completion.choices[0].message.tool_calls[0].function;
  assert.equal(collected.choices[0].finish_reason, "tool_calls");
  assert.equal(of(collected).arguments, of(whole).arguments);
  assert.ok(isWeather(JSON.parse(of(whole).arguments)));
  const call = whole.choices[0].message.tool_calls[0];
  const told = [
    ...messages,
    whole.choices[0].message,
    { role: "tool", tool_call_id: call.id, content: "4 degrees" },
  ];
  const answer = await openai.chat.completions.create({ model, messages: told, tools: [weather] });
  assert.equal(answer.choices[0].finish_reason, "stop");
});

test("limits, stops, several answers, JSON by a schema, pictures, thinking", async () => {
  const ask = { model, messages };
  const short = await openai.chat.completions.create({ ...ask, max_completion_tokens: 2 });
  assert.equal(short.choices[0].finish_reason, "length");
  assert.equal(short.usage.completion_tokens, 2);
  const two = await openai.chat.completions.create({ ...ask, n: 2 });
  assert.deepEqual(two.choices.map((choice) => choice.index), [0, 1]);
  assert.notEqual(two.choices[0].message.content, two.choices[1].message.content);
  const json = await openai.chat.completions.create({
    ...ask,
    response_format: {
      type: "json_schema",
      json_schema: { name: "weather", schema: weather.function.parameters },
    },
  });
  assert.ok(isWeather(JSON.parse(json.choices[0].message.content)));
  const plain = await openai.chat.completions.create(ask);
  const url = `data:image/png;base64,${PIXEL}`;
  const seen = await openai.chat.completions.create({
    model,
    messages: [
      {
        role: "user",
        content: [
          { type: "text", text: messages[0].content },
          { type: "image_url", image_url: { url } },
        ],
      },
    ],
  });
  assert.ok(seen.usage.prompt_tokens > plain.usage.prompt_tokens);
  const thought = await openai.chat.completions.create({ ...ask, model: "o3" });
  const { reasoning_tokens } = thought.usage.completion_tokens_details;
  assert.ok(reasoning_tokens > 0 && reasoning_tokens < thought.usage.completion_tokens);
});

test("a long beginning that was read before is cached, and counted inside the prompt", async () => {
  const long = [{ role: "system", content: "Be brief. ".repeat(600) }, ...messages];
  const first = await openai.chat.completions.create({ model, messages: long });
  assert.equal(first.usage.prompt_tokens_details.cached_tokens, 0);
  const second = await openai.chat.completions.create({ model, messages: long });
  const { cached_tokens } = second.usage.prompt_tokens_details;
  assert.ok(cached_tokens >= 1024 && cached_tokens % 128 === 0, `${cached_tokens}`);
  assert.ok(cached_tokens <= second.usage.prompt_tokens);
  assert.equal(first.usage.prompt_tokens, second.usage.prompt_tokens);
});

test("responses, whole and streamed", async () => {
  const ask = { model, input: "Why is the sky blue?", instructions: "Be brief." };
  const whole = await openai.responses.create(ask);
  assert.equal(whole.status, "completed");
  assert.ok(whole.output_text.length > 0);
  const { usage } = whole;
  assert.equal(usage.total_tokens, usage.input_tokens + usage.output_tokens);
  const events = await all(await openai.responses.create({ ...ask, stream: true }));
  assert.deepEqual(events.map((event) => event.sequence_number), [...events.keys()]);
  const kinds = [...new Set(events.map((event) => event.type))];
  assert.deepEqual(kinds, [
    "response.created",
    "response.in_progress",
    "response.output_item.added",
    "response.content_part.added",
    "response.output_text.delta",
    "response.output_text.done",
    "response.content_part.done",
    "response.output_item.done",
    "response.completed",
  ]);
  const deltas = events.filter((event) => event.type === "response.output_text.delta");
  assert.equal(deltas.map((event) => event.delta).join(""), whole.output_text);
  assert.deepEqual(events.at(-1).response.usage, usage);
  const collected = await openai.responses.stream(ask).finalResponse();
  assert.equal(collected.output_text, whole.output_text);
  const short = await openai.responses.create({ ...ask, max_output_tokens: 2 });
  assert.equal(short.status, "incomplete");
  assert.equal(short.incomplete_details.reason, "max_output_tokens");
});

test("responses call tools", async () => {
  const { name, parameters } = weather.function;
  const tools = [{ type: "function", name, parameters, strict: false }];
  const input = [{ role: "user", content: "weather?" }];
  const whole = await openai.responses.create({ model, input, tools });
  const [call] = whole.output;
  assert.equal(call.type, "function_call");
  assert.ok(isWeather(JSON.parse(call.arguments)));
  const collected = await openai.responses.stream({ model, input, tools }).finalResponse();
  assert.equal(collected.output[0].arguments, call.arguments);
  const told = [
    ...input,
    call,
    { type: "function_call_output", call_id: call.call_id, output: "4" },
  ];
  const answer = await openai.responses.create({ model, input: told, tools });
  assert.ok(answer.output_text.length > 0);
});

test("completions, embeddings, models", async () => {
  const ask = { model: "gpt-3.5-turbo-instruct", prompt: "Once", max_tokens: 5 };
  const whole = await openai.completions.create(ask);
  assert.equal(whole.choices[0].finish_reason, "length");
  assert.equal(whole.usage.completion_tokens, 5);
  const parts = await all(await openai.completions.create({ ...ask, stream: true }));
  assert.equal(parts.map((part) => part.choices[0].text).join(""), whole.choices[0].text);
  const vectors = async (more) =>
    openai.embeddings.create({ model: "text-embedding-3-small", input: ["a", "b"], ...more });
  const packed = await vectors({});
  const plain = await vectors({ encoding_format: "float" });
  assert.equal(packed.data.length, 2);
  assert.equal(packed.data[0].embedding.length, 1536);
  for (const [at, x] of packed.data[1].embedding.entries()) {
    assert.ok(Math.abs(x - plain.data[1].embedding[at]) < 1e-6);
  }
  assert.equal((await vectors({ dimensions: 8 })).data[0].embedding.length, 8);
  const listed = await all(openai.models.list());
  assert.ok(listed.some((one) => one.id === model));
  assert.equal((await openai.models.retrieve(model)).id, model);
});

test("errors as the client sorts them", async () => {
  const ask = { model, messages };
  const create = (more) => openai.chat.completions.create({ ...ask, ...more });
  await assert.rejects(create({ model: "no-such" }), (error) => {
    assert.ok(error instanceof OpenAI.NotFoundError);
    assert.equal(error.code, "model_not_found");
    return true;
  });
  await assert.rejects(create({ messages: [] }), OpenAI.BadRequestError);
  const stranger = new OpenAI({ apiKey: "wrong", baseURL: `${it.origin}/v1`, maxRetries: 0 });
  await assert.rejects(stranger.models.list(), (error) => {
    assert.ok(error instanceof OpenAI.AuthenticationError);
    assert.equal(error.code, "invalid_api_key");
    return true;
  });
  await assert.rejects(create({ model: `${model}!429,retry_after_s=2` }), (error) => {
    assert.ok(error instanceof OpenAI.RateLimitError);
    assert.equal(error.headers.get("retry-after"), "2");
    return true;
  });
  await assert.rejects(create({ model: `${model}!503` }), OpenAI.InternalServerError);
  const unknown = await fetch(`${it.origin}/v1/nothing`, { method: "POST" });
  assert.equal(unknown.status, 404);
  assert.equal((await unknown.json()).error.type, "invalid_request_error");
});

test("an error in mid-stream is raised, in chat and in responses", async () => {
  const broken = `${model}!midstream`;
  const chat = await openai.chat.completions.create({ model: broken, messages, stream: true });
  await assert.rejects(all(chat), /unexpectedly stopped/);
  const stream = await openai.responses.create({ model: broken, input: "why?", stream: true });
  await assert.rejects(all(stream), /unexpectedly stopped/);
});

test("an aborted answer is written no further", async () => {
  const stream = await openai.chat.completions.create({
    model: `${model}!endless`,
    messages,
    stream: true,
  });
  let seen = 0;
  for await (const part of stream) {
    assert.ok(part);
    seen += 1;
    if (seen === 5) stream.controller.abort();
  }
  await until("the double notices", async () => (await it.requests()).at(-1).outcome === "aborted");
});

test("Ollama renders all of it", async () => {
  const other = await double("ollama", "--models", "llama3.2,nomic-embed-text", "--load-time", "1ms");
  const local = new OpenAI({ apiKey: "ollama", baseURL: `${other.origin}/v1`, maxRetries: 0 });
  const ask = { model: "llama3.2", messages };
  const whole = await local.chat.completions.create(ask);
  const parts = await all(
    await local.chat.completions.create({
      ...ask,
      stream: true,
      stream_options: { include_usage: true },
    }),
  );
  assert.equal(textOf(parts), whole.choices[0].message.content);
  assert.deepEqual(parts.at(-1).usage, whole.usage);
  const called = await local.chat.completions.create({ ...ask, tools: [weather] });
  assert.ok(isWeather(JSON.parse(called.choices[0].message.tool_calls[0].function.arguments)));
  const answer = await local.responses.create({ model: "llama3.2", input: "why?" });
  assert.ok(answer.output_text.length > 0);
  const embedded = await local.embeddings.create({ model: "nomic-embed-text", input: "a" });
  assert.equal(embedded.data[0].embedding.length, 768);
  assert.ok((await all(local.models.list())).some((one) => one.id === "llama3.2:latest"));
  await assert.rejects(local.chat.completions.create({ ...ask, model: "x" }), OpenAI.NotFoundError);
});
