// The faults themselves: that each does on the wire what the simulator says of it.

import assert from "node:assert/strict";
import http from "node:http";
import { test } from "node:test";
import { double, until } from "./double.mjs";

const openai = await double("openai");
const ollama = await double("ollama", "--models", "llama3.2", "--load-time", "1ms");
const anthropic = await double("anthropic");
const messages = [{ role: "user", content: "why?" }];

/** A request as bytes: what came, and how it ended (`end`, or the error's code). */
function raw(url, body, { headers = {}, enough = () => false } = {}) {
  return new Promise((resolve) => {
    const request = http.request(
      url,
      {
        method: "POST",
        agent: false,
        headers: { "content-type": "application/json", authorization: "Bearer k", ...headers },
      },
      (answer) => {
        const parts = [];
        let length = 0;
        const done = (how) =>
          resolve({
            how,
            status: answer.statusCode,
            headers: answer.headers,
            bytes: Buffer.concat(parts),
            text: Buffer.concat(parts).toString(),
          });
        answer.on("data", (part) => {
          parts.push(part);
          length += part.length;
          if (enough(length)) {
            done("enough");
            request.destroy();
          }
        });
        answer.on("end", () => done("end"));
        answer.on("error", (error) => done(error.code));
      },
    );
    request.on("error", (error) => resolve({ how: error.code }));
    request.end(JSON.stringify(body));
  });
}

const chat = (fault, more = {}, options = {}) =>
  raw(
    `${openai.origin}/v1/chat/completions`,
    { model: `gpt-4o!${fault}`, messages, ...more },
    options,
  );
const stream = { stream: true };
const events = (text) => text.split("\n\n").filter(Boolean);
const isJson = (text) => {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
};

test("a status in each protocol's shape, with its headers", async () => {
  const order = "429,retry_after_s=2,retry_after_ms=1500";
  const refused = await chat(order);
  assert.equal(refused.status, 429);
  assert.equal(refused.headers["retry-after"], "2");
  assert.equal(refused.headers["retry-after-ms"], "1500");
  assert.equal(JSON.parse(refused.text).error.code, "rate_limit_exceeded");
  const native = await raw(`${ollama.origin}/api/chat`, { model: "llama3.2!503", messages });
  assert.equal(native.status, 503);
  assert.equal(typeof JSON.parse(native.text).error, "string");
  const other = await raw(`${anthropic.origin}/v1/messages`, { model: "x!529", messages });
  assert.equal(other.status, 529);
  assert.equal(JSON.parse(other.text).error.type, "overloaded_error");
});

test("a reset, in the middle of a stream and of a whole answer", async () => {
  const streamed = await chat("reset,after=3", stream);
  assert.equal(streamed.how, "ECONNRESET");
  assert.equal((await chat("reset")).how, "ECONNRESET");
});

test("a cut ends as if it were complete, and is not", async () => {
  const { how, text } = await chat("cut,after=3", stream);
  assert.equal(how, "end");
  assert.equal(events(text).length, 3);
  assert.ok(!text.includes("[DONE]"));
  const whole = await chat("cut");
  assert.equal(whole.how, "end");
  assert.ok(whole.text.startsWith("{") && !isJson(whole.text));
});

test("a stall says nothing more and keeps the connection", async () => {
  const first = await chat("stall", stream, { enough: (bytes) => bytes > 0 });
  assert.ok(events(first.text).length <= 2);
  await until("the double sees the client leave", async () => {
    const last = (await openai.requests()).at(-1);
    return last.outcome === "aborted";
  });
});

test("a hang answers nothing at all", async () => {
  const controller = new AbortController();
  const asked = fetch(`${openai.origin}/v1/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json", authorization: "Bearer k" },
    body: JSON.stringify({ model: "gpt-4o!hang", messages }),
    signal: controller.signal,
  });
  await until("it is there", async () => (await openai.requests()).at(-1).outcome === "waiting");
  controller.abort();
  await assert.rejects(asked, { name: "AbortError" });
  await until("it is gone", async () => (await openai.requests()).at(-1).outcome === "aborted");
});

test("a length that promises more than comes", async () => {
  const { how, headers, bytes } = await chat("length");
  assert.equal(how, "ECONNRESET");
  assert.equal(Number(headers["content-length"]), bytes.length + 100);
});

test("bytes that are no UTF-8, in a stream and in a whole answer that are else well", async () => {
  for (const more of [stream, {}]) {
    const { how, bytes } = await chat("utf8", more);
    assert.equal(how, "end");
    assert.throws(() => new TextDecoder("utf-8", { fatal: true }).decode(bytes));
    assert.ok(bytes.includes(Buffer.from([0xff, 0xfe, 0x80])));
  }
});

test("endless is endless", async () => {
  const limit = 200_000;
  const enough = { enough: (bytes) => bytes > limit };
  assert.equal((await chat("endless", stream, enough)).how, "enough");
  assert.equal((await chat("endless", {}, enough)).how, "enough");
});

test("an error in mid-stream, under 200", async () => {
  const { status, text } = await chat("midstream,after=1", stream);
  assert.equal(status, 200);
  assert.equal(JSON.parse(events(text).at(-1).slice(6)).error.type, "server_error");
  const whole = await chat("midstream");
  assert.equal(whole.status, 200);
  assert.ok(JSON.parse(whole.text).error);
  const named = await raw(
    `${anthropic.origin}/v1/messages`,
    { model: "claude-haiku-4-5!midstream", max_tokens: 9, messages, stream: true },
    { headers: { "anthropic-version": "2023-06-01" } },
  );
  assert.match(named.text, /event: error\ndata: \{"error":\{/);
});

test("malformed JSON in one event, the others well; and in a whole answer", async () => {
  const { text } = await chat("malformed", stream);
  const bad = events(text).filter((event) => !event.includes("[DONE]") && !isJson(event.slice(6)));
  assert.equal(bad.length, 1);
  assert.ok(text.includes("[DONE]"));
  assert.ok(!isJson((await chat("malformed")).text));
});

test("a drip comes in pieces, empty is empty, slow is late and whole", async () => {
  const dripped = await chat("drip,every_ms=1", stream);
  assert.ok(dripped.text.includes("[DONE]"));
  const empty = await chat("empty");
  assert.deepEqual([empty.status, empty.bytes.length], [200, 0]);
  assert.ok(isJson((await chat("slow,latency_ms=1")).text));
});

test("100 MB that are valid JSON", async () => {
  const { how, bytes, text } = await chat("huge");
  assert.equal(how, "end");
  assert.ok(bytes.length > 100_000_000);
  assert.ok(JSON.parse(text).choices[0].message.content.length > 0);
  const streamed = await chat("huge,bytes=300000", stream);
  assert.ok(events(streamed.text).every((e) => e.includes("[DONE]") || isJson(e.slice(6))));
  assert.ok(streamed.bytes.length > 300_000);
});

test("by header; and a fault that there is not is told", async () => {
  const headers = { "x-fault": "503" };
  const url = `${openai.origin}/v1/chat/completions`;
  assert.equal((await raw(url, { model: "gpt-4o", messages }, { headers })).status, 503);
  const wrong = await chat("gremlins");
  assert.equal(wrong.status, 400);
  assert.match(wrong.text, /gremlins/);
});

test("for everybody, counted, and for one model only", async () => {
  const url = `${openai.origin}/v1/chat/completions`;
  const ask = async (model) => (await raw(url, { model, messages })).status;
  await openai.fault({ kind: "status", status: 503, times: 2 });
  assert.deepEqual([await ask("gpt-4o"), await ask("gpt-4o"), await ask("gpt-4o")], [503, 503, 200]);
  await openai.fault({ kind: "error", model: "gpt-4o" });
  assert.deepEqual([await ask("gpt-4o"), await ask("gpt-4o-mini")], [500, 200]);
  const listed = await fetch(`${openai.origin}/v1/models`, { headers: { authorization: "Bearer k" } });
  assert.equal(listed.status, 200, "the service itself is well");
  await openai.mend();
  assert.equal(await ask("gpt-4o"), 200);
});

test("the record says what was asked, in which words, with which key", async () => {
  const url = `${openai.origin}/v1/chat/completions?a=1`;
  await raw(url, { model: "gpt-4o", messages, unknown: [1] }, { headers: { "x-mine": "2" } });
  const last = (await openai.requests()).at(-1);
  assert.equal(last.query, "a=1");
  assert.equal(last.headers["x-mine"], "2");
  assert.equal(last.headers.authorization, "Bearer k");
  assert.deepEqual(last.body.unknown, [1]);
  assert.deepEqual([last.status, last.outcome], [200, "done"]);
});
