"""The official client of OpenAI."""

import json

import openai

from double import SCHEMA, WEATHER, WHY, WithDouble

MODEL = "gpt-4o"


class OpenAI(WithDouble):
    what = "openai"
    flags = ("--key", "sk-test-1")

    def setUp(self):
        base = f"{self.double.origin}/v1"
        self.client = openai.OpenAI(api_key="sk-test-1", base_url=base, max_retries=0)
        self.addCleanup(self.client.close)

    def test_chat(self):
        create = self.client.chat.completions.create
        whole = create(model=MODEL, messages=WHY)
        parts = list(
            create(model=MODEL, messages=WHY, stream=True, stream_options={"include_usage": True})
        )
        text = "".join(p.choices[0].delta.content or "" for p in parts if p.choices)
        self.assertEqual(text, whole.choices[0].message.content)
        self.assertEqual(parts[-1].usage, whole.usage)
        with self.client.chat.completions.stream(model=MODEL, messages=WHY) as stream:
            collected = stream.get_final_completion()
        self.assertEqual(collected.choices[0].message.content, text)

    def test_tools_and_schema(self):
        create = self.client.chat.completions.create
        called = create(model=MODEL, messages=WHY, tools=[WEATHER])
        self.assert_weather(json.loads(called.choices[0].message.tool_calls[0].function.arguments))
        form = {"type": "json_schema", "json_schema": {"name": "w", "schema": SCHEMA}}
        formed = create(model=MODEL, messages=WHY, response_format=form)
        self.assert_weather(json.loads(formed.choices[0].message.content))

    def test_responses(self):
        whole = self.client.responses.create(model=MODEL, input="why?")
        self.assertEqual(whole.status, "completed")
        with self.client.responses.stream(model=MODEL, input="why?") as stream:
            kinds = [event.type for event in stream]
            collected = stream.get_final_response()
        self.assertEqual(kinds[0], "response.created")
        self.assertEqual(kinds[-1], "response.completed")
        self.assertEqual(collected.output_text, whole.output_text)
        self.assertEqual(collected.usage, whole.usage)

    def test_completions_embeddings_models(self):
        ask = {"model": "gpt-3.5-turbo-instruct", "prompt": "Once"}
        whole = self.client.completions.create(**ask)
        parts = list(self.client.completions.create(**ask, stream=True))
        self.assertEqual("".join(p.choices[0].text for p in parts), whole.choices[0].text)
        vectors = self.client.embeddings.create(model="text-embedding-3-small", input=["a", "b"])
        self.assertEqual([len(v.embedding) for v in vectors.data], [1536, 1536])
        self.assertIn(MODEL, [m.id for m in self.client.models.list()])

    def test_errors(self):
        create = self.client.chat.completions.create
        with self.assertRaises(openai.NotFoundError) as caught:
            create(model="no-such", messages=WHY)
        self.assertEqual(caught.exception.code, "model_not_found")
        with self.assertRaises(openai.RateLimitError) as caught:
            create(model=f"{MODEL}!429,retry_after_s=2", messages=WHY)
        self.assertEqual(caught.exception.response.headers["retry-after"], "2")
        with self.assertRaisesRegex(openai.APIError, "unexpectedly stopped"):
            list(create(model=f"{MODEL}!midstream", messages=WHY, stream=True))
        with self.client.with_options(api_key="wrong") as stranger:
            with self.assertRaises(openai.AuthenticationError):
                stranger.models.list()
