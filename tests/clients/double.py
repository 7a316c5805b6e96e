"""Starts a double of the simulator on a free port."""

import os
import re
import subprocess
import unittest

COCKPIT = os.environ.get("STUDIO_COCKPIT", "../../target/debug/studio-cockpit")
WHY = [{"role": "user", "content": "Why is the sky blue?"}]
SCHEMA = {
    "type": "object",
    "properties": {
        "city": {"type": "string"},
        "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
        "days": {"type": "integer"},
    },
    "required": ["city"],
}
WEATHER = {
    "type": "function",
    "function": {"name": "get_weather", "description": "The weather", "parameters": SCHEMA},
}
# A picture of one pixel.
PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII="
)


class Double:
    """A double; `origin` is where it listens."""

    def __init__(self, what, *flags):
        line = [COCKPIT, "simulate", what, "--port", "0", "--tokens-per-second", "0", *flags]
        self.child = subprocess.Popen(line, stdout=subprocess.PIPE, text=True)
        for said in self.child.stdout:
            if found := re.search(r"istening on (127\.0\.0\.1:\d+)", said):
                self.origin = f"http://{found[1]}"
                # What it says further has room in the pipe: with --quiet that is next to nothing.
                return
        raise RuntimeError(f"the {what} double ended with {self.child.wait()}")

    def end(self):
        self.child.kill()
        self.child.wait()
        self.child.stdout.close()


class WithDouble(unittest.TestCase):
    """Tests that share one double."""

    what: str
    flags: tuple = ()

    @classmethod
    def setUpClass(cls):
        cls.double = Double(cls.what, "--quiet", *cls.flags)
        cls.addClassCleanup(cls.double.end)

    def assert_weather(self, found):
        self.assertIsInstance(found["city"], str)
        self.assertIn(found["unit"], ["celsius", "fahrenheit"])
        self.assertIsInstance(found["days"], int)
