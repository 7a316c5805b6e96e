"""The official client of Ollama."""

import json
from datetime import datetime, timezone

import ollama

from double import PIXEL, SCHEMA, WEATHER, WHY, WithDouble


class Ollama(WithDouble):
    what = "ollama"
    flags = ("--load-time", "20ms", "--models", "llama3.2,gemma3,qwen3,nomic-embed-text")

    def setUp(self):
        self.client = ollama.Client(host=self.double.origin)
        self.addCleanup(self.client.close)

    def assert_closed(self, part):
        self.assertTrue(part.done)
        durations = ("total_duration", "load_duration", "prompt_eval_duration", "eval_duration")
        for name in (*durations, "prompt_eval_count", "eval_count"):
            self.assertGreater(getattr(part, name), 0, name)
        datetime.fromisoformat(part.created_at[:19])

    def test_list_and_show(self):
        llama = next(m for m in self.client.list().models if m.model == "llama3.2:latest")
        self.assertGreater(llama.size, 1e9)
        self.assertEqual(llama.details.format, "gguf")
        shown = self.client.show("llama3.2")
        self.assertIn("tools", shown.capabilities)
        self.assertGreater(shown.modelinfo["llama.context_length"], 0)

    def test_chat_whole_and_streamed(self):
        whole = self.client.chat("llama3.2", WHY)
        self.assert_closed(whole)
        parts = list(self.client.chat("llama3.2", WHY, stream=True))
        self.assert_closed(parts[-1])
        self.assertEqual("".join(p.message.content for p in parts), whole.message.content)

    def test_generate_whole_and_streamed(self):
        whole = self.client.generate("llama3.2", "why?", options={"num_predict": 4})
        self.assert_closed(whole)
        self.assertEqual((whole.done_reason, whole.eval_count), ("length", 4))
        parts = list(self.client.generate("llama3.2", "why?", stream=True, options={"num_predict": 4}))
        self.assert_closed(parts[-1])
        self.assertEqual("".join(p.response for p in parts), whole.response)

    def test_tools_schema_thinking_pictures(self):
        called = self.client.chat("llama3.2", WHY, tools=[WEATHER])
        call = called.message.tool_calls[0].function
        self.assertEqual(call.name, "get_weather")
        self.assert_weather(call.arguments)
        told = [*WHY, called.message, {"role": "tool", "tool_name": "get_weather", "content": "4"}]
        answer = self.client.chat("llama3.2", told, tools=[WEATHER])
        self.assertFalse(answer.message.tool_calls)
        formed = self.client.chat("llama3.2", WHY, format=SCHEMA)
        self.assert_weather(json.loads(formed.message.content))
        self.assertTrue(self.client.chat("qwen3", WHY, think=True).message.thinking)
        plain = self.client.generate("gemma3", "what is it?")
        seen = self.client.generate("gemma3", "what is it?", images=[PIXEL])
        self.assertGreater(seen.prompt_eval_count, plain.prompt_eval_count)

    def test_embeddings(self):
        two = self.client.embed("nomic-embed-text", ["a", "b"])
        self.assertEqual([len(v) for v in two.embeddings], [768, 768])
        old = self.client.embeddings("nomic-embed-text", "a")
        self.assertEqual(list(old.embedding), list(two.embeddings[0]))

    def test_loaded_and_unloaded(self):
        self.client.generate("llama3.2", keep_alive="10m")
        loaded = next(m for m in self.client.ps().models if m.model == "llama3.2:latest")
        self.assertGreater(loaded.expires_at, datetime.now(timezone.utc))
        self.assertGreater(loaded.size_vram, 0)
        self.assertGreater(loaded.context_length, 0)
        self.assertEqual(self.client.generate("llama3.2", keep_alive=0).done_reason, "unload")
        self.assertNotIn("llama3.2:latest", [m.model for m in self.client.ps().models])
        self.client.generate("llama3.2", keep_alive=-1)
        for_ever = next(m for m in self.client.ps().models if m.model == "llama3.2:latest")
        self.assertGreater(for_ever.expires_at.year, 2200)

    def test_pull_copy_delete(self):
        parts = list(self.client.pull("qwen2.5-coder:3b", stream=True))
        self.assertEqual(parts[-1].status, "success")
        layers = [p for p in parts if p.digest]
        self.assertEqual(layers[-1].completed, layers[-1].total)
        self.assertEqual(self.client.copy("qwen2.5-coder:3b", "copied").status, "success")
        self.assertEqual(self.client.delete("copied").status, "success")
        self.assertEqual(self.client.delete("qwen2.5-coder:3b").status, "success")

    def test_errors(self):
        for ask in (
            lambda: self.client.chat("no-such", WHY),
            lambda: list(self.client.chat("no-such", WHY, stream=True)),
            lambda: self.client.show("no-such"),
        ):
            with self.assertRaises(ollama.ResponseError) as caught:
                ask()
            self.assertEqual(caught.exception.status_code, 404)
            self.assertEqual(caught.exception.error, "model 'no-such' not found")
        seen = []
        with self.assertRaisesRegex(ollama.ResponseError, "unexpectedly stopped"):
            for part in self.client.chat("llama3.2!midstream", WHY, stream=True):
                seen.append(part)
        self.assertEqual(len(seen), 2)
