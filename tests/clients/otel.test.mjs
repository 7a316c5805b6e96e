// OpenTelemetry's official SDK for Node exports to a cockpit: protobuf and JSON, packed and not.

import assert from "node:assert/strict";
import { test } from "node:test";

import { SpanKind, SpanStatusCode } from "@opentelemetry/api";
import { SeverityNumber } from "@opentelemetry/api-logs";
import { OTLPLogExporter as LogsJson } from "@opentelemetry/exporter-logs-otlp-http";
import { OTLPLogExporter as LogsProto } from "@opentelemetry/exporter-logs-otlp-proto";
import { OTLPMetricExporter as MetricsJson } from "@opentelemetry/exporter-metrics-otlp-http";
import { OTLPMetricExporter as MetricsProto } from "@opentelemetry/exporter-metrics-otlp-proto";
import { OTLPTraceExporter as TracesJson } from "@opentelemetry/exporter-trace-otlp-http";
import { OTLPTraceExporter as TracesProto } from "@opentelemetry/exporter-trace-otlp-proto";
import { resourceFromAttributes } from "@opentelemetry/resources";
import { BatchLogRecordProcessor, LoggerProvider } from "@opentelemetry/sdk-logs";
import { MeterProvider, PeriodicExportingMetricReader } from "@opentelemetry/sdk-metrics";
import { BatchSpanProcessor, NodeTracerProvider } from "@opentelemetry/sdk-trace-node";

import { cockpit, freePort } from "./cockpit.mjs";
import { until } from "./double.mjs";

const otlp = `http://127.0.0.1:${await freePort()}`;
const engine = await cockpit(`[otlp]\nlisten = "${otlp.slice(7)}"\n`);
await until("OTLP is taken", () => fetch(otlp).then(() => true).catch(() => false));
const resource = resourceFromAttributes({ "service.name": "judge" });

/** What an exporter says of itself, instead of swallowing it. */
function watched(exporter) {
  const failures = [];
  const original = exporter.export.bind(exporter);
  exporter.export = (batch, done) =>
    original(batch, (result) => {
      if (result.code !== 0) failures.push(String(result.error));
      done(result);
    });
  return { exporter, failures };
}

for (const [name, Exporter, compression] of [
  ["json", TracesJson, "none"],
  ["json, packed", TracesJson, "gzip"],
  ["protobuf", TracesProto, "none"],
  ["protobuf, packed", TracesProto, "gzip"],
]) {
  test(`spans: ${name}`, async () => {
    const { exporter, failures } = watched(new Exporter({ url: `${otlp}/v1/traces`, compression }));
    const provider = new NodeTracerProvider({ resource, spanProcessors: [new BatchSpanProcessor(exporter)] });
    const tracer = provider.getTracer("judge");
    const user = `judge ${name}`;
    const attributes = {
      "gen_ai.operation.name": "chat",
      "gen_ai.provider.name": "openai",
      "gen_ai.request.model": "gpt-4o",
      "gen_ai.agent.name": "writer",
      "user.id": user,
    };
    const span = tracer.startSpan("chat gpt-4o", { kind: SpanKind.CLIENT, attributes });
    span.setAttributes({
      "gen_ai.usage.input_tokens": 1000,
      "gen_ai.usage.output_tokens": 100,
      "gen_ai.usage.cache_read.input_tokens": 400,
      "gen_ai.response.finish_reasons": ["stop"],
      "gen_ai.response.time_to_first_chunk": 0.25,
    });
    span.end();
    const failed = tracer.startSpan("chat gpt-4o", { kind: SpanKind.CLIENT, attributes });
    failed.setStatus({ code: SpanStatusCode.ERROR, message: "Rate limit reached" });
    failed.end();
    tracer.startSpan("GET /health").end();
    await provider.forceFlush();
    await provider.shutdown();
    assert.deepEqual(failures, []);
    const { calls } = await engine.get(`/api/calls?user=${encodeURIComponent(user)}`);
    assert.equal(calls.length, 2);
    const good = calls.find((call) => call.outcome === "ok");
    assert.deepEqual(
      [good.target, good.agent, good.tags, good.finish_reason, good.source],
      ["openai/gpt-4o", "writer", ["judge"], "stop", "otlp"],
    );
    assert.deepEqual([good.input_tokens, good.cached_input_tokens, good.output_tokens], [1000, 400, 100]);
    assert.deepEqual([good.ttft_ms, good.streamed, good.cost_usd], [250, true, 0.003]);
    assert.equal(calls.find((call) => call.outcome === "error").error, "provider_rate_limited");
  });
}

for (const [name, Exporter] of [
  ["json", LogsJson],
  ["protobuf", LogsProto],
]) {
  test(`logs: ${name}`, async () => {
    const { exporter, failures } = watched(new Exporter({ url: `${otlp}/v1/logs`, compression: "gzip" }));
    const provider = new LoggerProvider({ resource, processors: [new BatchLogRecordProcessor({ exporter })] });
    const logger = provider.getLogger("judge");
    const before = (await engine.get("/api/usage?window=1h")).business;
    logger.emit({
      eventName: "gen_ai.evaluation.result",
      attributes: { "gen_ai.evaluation.name": "relevance", "gen_ai.evaluation.score.value": 1 },
    });
    logger.emit({
      severityNumber: SeverityNumber.ERROR,
      severityText: "ERROR",
      body: { what: ["it", "broke"] },
      attributes: { nested: { deep: [1, true, null] } },
    });
    await provider.forceFlush();
    await provider.shutdown();
    assert.deepEqual(failures, []);
    const { business } = await engine.get("/api/usage?window=1h");
    assert.equal(business.feedback, (before.feedback ?? 0) + 1);
    assert.equal(business.satisfaction, 1);
  });
}

for (const [name, Exporter] of [
  ["json", MetricsJson],
  ["protobuf", MetricsProto],
]) {
  test(`metrics: ${name}`, async () => {
    const { exporter, failures } = watched(new Exporter({ url: `${otlp}/v1/metrics`, compression: "gzip" }));
    const reader = new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 60_000 });
    const provider = new MeterProvider({ resource, readers: [reader] });
    const meter = provider.getMeter("judge");
    const encoding = { encoding: name };
    meter.createCounter("judge.jobs").add(3, encoding);
    meter.createUpDownCounter("judge.queue").add(-2, encoding);
    meter.createHistogram("judge.time", { unit: "s", advice: { explicitBucketBoundaries: [1, 5] } }).record(2, encoding);
    meter.createCounter("gen_ai.client.token.usage").add(1000, encoding);
    await provider.forceFlush();
    await provider.shutdown();
    assert.deepEqual(failures, []);
    const text = await engine.text("/metrics");
    const labels = `encoding="${name}",otel_scope_name="judge",service_name="judge"`;
    for (const line of [
      `judge_jobs_total{${labels}} 3`,
      `judge_queue{${labels}} -2`,
      `judge_time_seconds_bucket{${labels},le="1"} 0`,
      `judge_time_seconds_bucket{${labels},le="5"} 1`,
      `judge_time_seconds_sum{${labels}} 2`,
    ]) {
      assert.ok(text.split("\n").includes(line), `${line} is not in\n${text}`);
    }
    assert.ok(!text.includes("gen_ai_client_token_usage_total{encoding"), "an aggregate of calls is exposed");
  });
}
