// The official client of Ollama.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Ollama } from "ollama";
import { PIXEL, all, double, isWeather, until, weather } from "./double.mjs";

const models = "llama3.2,gemma3,qwen3,nomic-embed-text";
const it = await double("ollama", "--load-time", "20ms", "--models", models);
const ollama = new Ollama({ host: it.origin });
const why = [{ role: "user", content: "Why is the sky blue?" }];

/** The timings and counts that close an answer. */
function closed(part) {
  assert.equal(part.done, true);
  for (const name of ["total_duration", "load_duration", "prompt_eval_duration", "eval_duration"]) {
    assert.ok(Number.isInteger(part[name]) && part[name] > 0, `${name}: ${part[name]}`);
  }
  assert.ok(part.total_duration >= part.load_duration, "the whole takes longer than its part");
  assert.ok(part.prompt_eval_count > 0);
  assert.ok(part.eval_count > 0);
  assert.ok(!Number.isNaN(Date.parse(part.created_at)));
}

test("version, list, show", async () => {
  assert.match((await ollama.version()).version, /^\d+\.\d+\.\d+$/);
  const { models } = await ollama.list();
  const llama = models.find((model) => model.name === "llama3.2:latest");
  assert.equal(llama.model, llama.name);
  assert.ok(llama.size > 1e9);
  assert.match(llama.digest, /^[0-9a-f]{64}$/);
  assert.equal(llama.details.format, "gguf");
  const shown = await ollama.show({ model: "llama3.2" });
  assert.deepEqual(shown.capabilities, ["completion", "tools"]);
  assert.equal(shown.details.family, "llama");
  assert.ok(shown.model_info["llama.context_length"] > 0);
});

test("chat, whole and streamed, says the same", async () => {
  const whole = await ollama.chat({ model: "llama3.2", messages: why });
  closed(whole);
  assert.equal(whole.model, "llama3.2");
  assert.equal(whole.message.role, "assistant");
  const parts = await all(await ollama.chat({ model: "llama3.2", messages: why, stream: true }));
  const last = parts.at(-1);
  closed(last);
  assert.equal(last.done_reason, "stop");
  assert.ok(parts.slice(0, -1).every((part) => part.done === false));
  assert.equal(parts.map((part) => part.message.content).join(""), whole.message.content);
  assert.equal(last.eval_count, whole.eval_count);
  assert.equal(last.prompt_eval_count, whole.prompt_eval_count);
});

test("generate, whole and streamed, cut by num_predict and by a stop", async () => {
  const ask = { model: "llama3.2", prompt: "Why is the sky blue?" };
  const whole = await ollama.generate(ask);
  closed(whole);
  assert.ok(Array.isArray(whole.context));
  const parts = await all(await ollama.generate({ ...ask, stream: true }));
  closed(parts.at(-1));
  assert.equal(parts.map((part) => part.response).join(""), whole.response);
  const short = await ollama.generate({ ...ask, options: { num_predict: 3 } });
  assert.equal(short.done_reason, "length");
  assert.equal(short.eval_count, 3);
  const word = whole.response.split(" ")[5];
  const stopped = await ollama.generate({ ...ask, options: { stop: [word] } });
  assert.ok(whole.response.startsWith(stopped.response) && !stopped.response.includes(word));
});

test("tools are called, and their results are answered in words", async () => {
  const ask = { model: "llama3.2", messages: why, tools: [weather] };
  const whole = await ollama.chat(ask);
  const [call] = whole.message.tool_calls;
  assert.equal(call.function.name, "get_weather");
  assert.ok(isWeather(call.function.arguments), JSON.stringify(call));
  const parts = await all(await ollama.chat({ ...ask, stream: true }));
  const calls = parts.flatMap((part) => part.message.tool_calls ?? []);
  assert.deepEqual(calls[0].function.arguments, call.function.arguments);
  const messages = [...why, whole.message, { role: "tool", tool_name: "get_weather", content: "4" }];
  const answer = await ollama.chat({ ...ask, messages });
  assert.equal(answer.message.tool_calls, undefined);
  assert.ok(answer.message.content.length > 0);
});

test("a schema, thinking, pictures", async () => {
  const format = weather.function.parameters;
  const json = await ollama.chat({ model: "llama3.2", messages: why, format });
  assert.ok(isWeather(JSON.parse(json.message.content)));
  assert.doesNotThrow(async () =>
    JSON.parse((await ollama.generate({ model: "llama3.2", prompt: "x", format: "json" })).response),
  );
  const thought = await ollama.chat({ model: "qwen3", messages: why, think: true });
  assert.ok(thought.message.thinking.length > 0 && thought.message.content.length > 0);
  const streamed = await all(
    await ollama.chat({ model: "qwen3", messages: why, think: true, stream: true }),
  );
  const thoughts = streamed.map((part) => part.message.thinking ?? "").join("");
  assert.equal(thoughts, thought.message.thinking);
  const plain = await ollama.chat({ model: "gemma3", messages: why });
  const seen = await ollama.chat({ model: "gemma3", messages: [{ ...why[0], images: [PIXEL] }] });
  assert.ok(seen.prompt_eval_count > plain.prompt_eval_count, "a picture costs tokens");
  const by = ollama.chat({ model: "llama3.2", messages: why, think: true });
  await assert.rejects(by, { status_code: 400, message: /does not support thinking/ });
});

test("embeddings of length one, of one text and of several, the old way too", async () => {
  const { embeddings, prompt_eval_count } = await ollama.embed({
    model: "nomic-embed-text",
    input: ["a", "b"],
  });
  assert.equal(embeddings.length, 2);
  assert.equal(embeddings[0].length, 768);
  const length = Math.hypot(...embeddings[0]);
  assert.ok(Math.abs(length - 1) < 1e-3, `${length}`);
  assert.ok(prompt_eval_count > 0);
  const one = await ollama.embed({ model: "nomic-embed-text", input: "a" });
  assert.deepEqual(one.embeddings[0], embeddings[0]);
  const old = await ollama.embeddings({ model: "nomic-embed-text", prompt: "a" });
  assert.deepEqual(old.embedding, embeddings[0]);
});

test("loaded with its end, and unloaded by keep_alive 0", async () => {
  await ollama.generate({ model: "llama3.2", prompt: "", keep_alive: "10m" });
  const { models } = await ollama.ps();
  const loaded = models.find((model) => model.name === "llama3.2:latest");
  assert.ok(loaded.size_vram > 0 && loaded.size >= loaded.size_vram);
  assert.ok(loaded.context_length > 0);
  assert.ok(Date.parse(loaded.expires_at) > Date.now());
  const gone = await ollama.generate({ model: "llama3.2", prompt: "", keep_alive: 0 });
  assert.equal(gone.done_reason, "unload");
  const after = await ollama.ps();
  assert.ok(!after.models.some((model) => model.name === "llama3.2:latest"));
});

test("pulled with its progress, copied, created, pushed, deleted", async () => {
  const parts = await all(await ollama.pull({ model: "qwen2.5-coder:1.5b", stream: true }));
  assert.equal(parts[0].status, "pulling manifest");
  assert.equal(parts.at(-1).status, "success");
  const layer = parts.filter((part) => part.digest);
  assert.ok(layer.length > 2);
  assert.equal(layer.at(-1).completed, layer.at(-1).total);
  assert.equal((await ollama.pull({ model: "gemma3" })).status, "success");
  await ollama.copy({ source: "qwen2.5-coder:1.5b", destination: "mine/coder" });
  assert.equal((await ollama.create({ model: "pirate", from: "llama3.2" })).status, "success");
  const pushed = await all(await ollama.push({ model: "mine/coder", stream: true }));
  assert.equal(pushed.at(-1).status, "success");
  for (const model of ["mine/coder", "pirate", "qwen2.5-coder:1.5b"]) {
    await ollama.delete({ model });
  }
  const { models } = await ollama.list();
  assert.deepEqual(models.map((model) => model.name).sort(), [
    "gemma3:latest",
    "llama3.2:latest",
    "nomic-embed-text:latest",
    "qwen3:latest",
  ]);
});

test("errors in Ollama's own words", async () => {
  const ask = { model: "no-such", messages: why };
  const missing = { name: "ResponseError", status_code: 404, error: "model 'no-such' not found" };
  await assert.rejects(ollama.chat(ask), missing);
  await assert.rejects(ollama.chat({ ...ask, stream: true }), missing);
  await assert.rejects(ollama.show({ model: "no-such" }), missing);
  await assert.rejects(ollama.delete({ model: "no-such" }), missing);
  await assert.rejects(ollama.embed({ model: "no-such", input: "a" }), missing);
  await assert.rejects(all(await ollama.pull({ model: "no-such", stream: true })), {
    message: "pull model manifest: file does not exist",
  });
  const chatted = ollama.chat({ model: "nomic-embed-text", messages: why });
  await assert.rejects(chatted, { status_code: 400, message: /does not support chat/ });
  const tooled = ollama.chat({ model: "gemma3", messages: why, tools: [weather] });
  await assert.rejects(tooled, { status_code: 400, message: /does not support tools/ });
  const broken = await fetch(`${it.origin}/api/chat`, { method: "POST", body: "{" });
  assert.equal(broken.status, 400);
  assert.equal(typeof (await broken.json()).error, "string");
  assert.equal((await fetch(`${it.origin}/api/nothing`)).status, 404);
});

test("an error in mid-stream is a line under 200, and the client raises it", async () => {
  const stream = await ollama.chat({ model: "llama3.2!midstream", messages: why, stream: true });
  const seen = [];
  const read = async () => {
    for await (const part of stream) seen.push(part);
  };
  await assert.rejects(read, { message: /unexpectedly stopped/ });
  assert.equal(seen.length, 2);
});

test("an aborted answer is written no further", async () => {
  const ask = { model: "llama3.2!endless", messages: why, stream: true };
  const stream = await ollama.chat(ask);
  await assert.rejects(
    async () => {
      let seen = 0;
      for await (const part of stream) {
        seen += 1;
        assert.ok(part);
        if (seen === 5) stream.abort();
      }
    },
    { name: "AbortError" },
  );
  await until("the double notices", async () => {
    const last = (await it.requests()).findLast((one) => one.path === "/api/chat");
    return last.outcome === "aborted";
  });
});
