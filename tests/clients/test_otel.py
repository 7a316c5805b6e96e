"""OpenTelemetry's official SDK for Python exports to a cockpit."""

import json
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile
import time
import unittest
import urllib.error
import urllib.parse
import urllib.request

from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult
from opentelemetry.trace import SpanKind

COCKPIT = os.environ.get("STUDIO_COCKPIT", "../../target/debug/studio-cockpit")
PATIENCE = 60


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


class OpenTelemetry(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="cockpit-otlp-"))
        cls.addClassCleanup(shutil.rmtree, cls.folder, ignore_errors=True)
        port = free_port()
        cls.otlp = f"http://127.0.0.1:{port}"
        toml = f'[cockpit]\nlisten = "127.0.0.1:0"\n[otlp]\nlisten = "127.0.0.1:{port}"\n'
        (cls.folder / "cockpit.toml").write_text(toml)
        line = [COCKPIT, "serve", "--data-dir", str(cls.folder)]
        child = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        cls.addClassCleanup(child.wait)
        cls.addClassCleanup(child.kill)
        end = time.monotonic() + PATIENCE
        while True:
            try:
                asked = urllib.request.Request(f"{cls.otlp}/v1/traces", b"{}")
                asked.add_header("content-type", "application/json")
                urllib.request.urlopen(asked).close()
                return
            except (urllib.error.URLError, ConnectionError):
                if child.poll() is not None or time.monotonic() > end:
                    raise
                time.sleep(0.02)

    def get(self, path):
        listen = json.loads((self.folder / "engine.json").read_text())["listen"]
        asked = urllib.request.Request(f"http://{listen}{path}")
        token = (self.folder / "token").read_text().strip()
        asked.add_header("authorization", f"Bearer {token}")
        with urllib.request.urlopen(asked) as answer:
            return answer.read().decode()

    def test_spans(self):
        for compression in (Compression.NoCompression, Compression.Gzip):
            with self.subTest(compression):
                exporter = OTLPSpanExporter(f"{self.otlp}/v1/traces", compression=compression)
                results = []
                export = exporter.export
                exporter.export = lambda spans: results.append(export(spans)) or results[-1]
                provider = TracerProvider(resource=Resource({"service.name": "judge"}))
                provider.add_span_processor(BatchSpanProcessor(exporter))
                user = f"judge {compression.value}"
                told = {
                    "gen_ai.operation.name": "chat",
                    "gen_ai.system": "anthropic",
                    "gen_ai.request.model": "claude-sonnet-4-5",
                    "gen_ai.usage.input_tokens": 10,
                    "gen_ai.usage.output_tokens": 5,
                    "gen_ai.usage.cache_read_input_tokens": 90,
                    "user.id": user,
                }
                tracer = provider.get_tracer("judge")
                with tracer.start_as_current_span("invoke_agent writer") as outer:
                    outer.set_attributes({**told, "gen_ai.operation.name": "invoke_agent"})
                    with tracer.start_as_current_span("chat", kind=SpanKind.CLIENT, attributes=told):
                        pass
                provider.shutdown()
                self.assertEqual(set(results), {SpanExportResult.SUCCESS})
                calls = json.loads(self.get(f"/api/calls?user={urllib.parse.quote(user)}"))["calls"]
                self.assertEqual([call["target"] for call in calls], ["anthropic/claude-sonnet-4-5"])
                self.assertEqual((calls[0]["input_tokens"], calls[0]["cached_input_tokens"]), (100, 90))
                self.assertGreater(calls[0]["cost_usd"], 0)

    def test_metrics(self):
        exporter = OTLPMetricExporter(f"{self.otlp}/v1/metrics", compression=Compression.Gzip)
        reader = PeriodicExportingMetricReader(exporter, export_interval_millis=60_000)
        provider = MeterProvider([reader], Resource({"service.name": "python"}))
        provider.get_meter("judge").create_counter("judge.jobs", unit="{job}").add(3)
        provider.shutdown()
        line = 'judge_jobs_total{otel_scope_name="judge",service_name="python"} 3'
        self.assertIn(line, self.get("/metrics").splitlines())
