"""The official client of Anthropic."""

import anthropic

from double import SCHEMA, WHY, WithDouble

ASK = {"model": "claude-sonnet-4-5", "max_tokens": 500, "messages": WHY}
TOOLS = [{"name": "get_weather", "description": "The weather", "input_schema": SCHEMA}]


class Anthropic(WithDouble):
    what = "anthropic"
    flags = ("--key", "sk-ant-test-1")

    def setUp(self):
        self.client = anthropic.Anthropic(
            api_key="sk-ant-test-1", base_url=self.double.origin, max_retries=0
        )
        self.addCleanup(self.client.close)

    def test_messages(self):
        whole = self.client.messages.create(**ASK)
        self.assertEqual(whole.stop_reason, "end_turn")
        with self.client.messages.stream(**ASK) as stream:
            text = "".join(stream.text_stream)
            collected = stream.get_final_message()
        self.assertEqual(text, whole.content[0].text)
        self.assertEqual(collected.usage.output_tokens, whole.usage.output_tokens)
        self.assertEqual(collected.usage.input_tokens, whole.usage.input_tokens)

    def test_tools_and_thinking(self):
        called = self.client.messages.create(**ASK, tools=TOOLS)
        self.assertEqual(called.stop_reason, "tool_use")
        self.assert_weather(called.content[-1].input)
        with self.client.messages.stream(**ASK, tools=TOOLS) as stream:
            self.assertEqual(stream.get_final_message().content[-1].input, called.content[-1].input)
        more = ASK | {"max_tokens": 2048, "thinking": {"type": "enabled", "budget_tokens": 1024}}
        thought = self.client.messages.create(**more)
        self.assertEqual([block.type for block in thought.content], ["thinking", "text"])

    def test_cache(self):
        text = "You are careful. " * 400
        system = [{"type": "text", "text": text, "cache_control": {"type": "ephemeral"}}]
        first = self.client.messages.create(**ASK, system=system).usage
        second = self.client.messages.create(**ASK, system=system).usage
        self.assertGreaterEqual(first.cache_creation_input_tokens, 1024)
        self.assertEqual(second.cache_read_input_tokens, first.cache_creation_input_tokens)
        self.assertEqual(second.input_tokens, first.input_tokens)

    def test_models_and_count(self):
        self.assertIn(ASK["model"], [m.id for m in self.client.models.list()])
        counted = self.client.messages.count_tokens(model=ASK["model"], messages=WHY)
        self.assertGreater(counted.input_tokens, 0)

    def test_errors(self):
        with self.assertRaises(anthropic.NotFoundError):
            self.client.messages.create(**ASK | {"model": "no-such"})
        with self.assertRaises(anthropic.RateLimitError) as caught:
            self.client.messages.create(**ASK | {"model": f"{ASK['model']}!429,retry_after_s=3"})
        self.assertEqual(caught.exception.response.headers["retry-after"], "3")
        broken = ASK | {"model": f"{ASK['model']}!midstream", "stream": True}
        with self.assertRaisesRegex(anthropic.APIStatusError, "unexpectedly stopped"):
            list(self.client.messages.create(**broken))
