// OpenTelemetry: spans go to OTEL_EXPORTER_OTLP_ENDPOINT. An exporter that reaches nobody holds nothing up.
'use strict';

const { trace } = require('@opentelemetry/api');
const { OTLPTraceExporter } = require('@opentelemetry/exporter-trace-otlp-http');
const { resourceFromAttributes } = require('@opentelemetry/resources');
const { BatchSpanProcessor, NodeTracerProvider } = require('@opentelemetry/sdk-trace-node');

const spanProcessors = [new BatchSpanProcessor(new OTLPTraceExporter())];
const resource = resourceFromAttributes({ 'service.name': 'sample-api' });
const provider = new NodeTracerProvider({ resource, spanProcessors });
provider.register();

// What is left is sent before the end, unless nobody takes it.
function flush() {
  const patience = new Promise((resolve) => setTimeout(resolve, 2000).unref());
  return Promise.race([provider.shutdown().catch(() => {}), patience]);
}

module.exports = { tracer: trace.getTracer('sample-api'), flush };
