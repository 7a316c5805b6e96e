"""Starts a double of the simulator on a free port. With STUDIO_COCKPIT_GATEWAY set, a whole cockpit stands before
it, and clients are given its gateway's address instead."""

import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
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
                self.gateway = None
                if os.environ.get("STUDIO_COCKPIT_GATEWAY"):
                    self.gateway = Gateway(what, self.origin)
                    self.origin = self.gateway.origin
                # What it says further has room in the pipe: with --quiet that is next to nothing.
                return
        raise RuntimeError(f"the {what} double ended with {self.child.wait()}")

    def end(self):
        if self.gateway:
            self.gateway.end()
        self.child.kill()
        self.child.wait()
        self.child.stdout.close()


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def is_open(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    except OSError:
        return False


class Gateway:
    """A whole cockpit whose gateway has one provider; `origin` is where the gateway listens."""

    def __init__(self, kind, provider):
        door, port = free_port(), free_port()
        self.origin = f"http://127.0.0.1:{port}"
        self.folder = tempfile.mkdtemp(prefix="cockpit-clients-")
        base = f"{provider}/v1" if kind == "openai" else provider
        with open(os.path.join(self.folder, "cockpit.toml"), "w") as config:
            config.write(
                f'[cockpit]\nlisten = "127.0.0.1:{door}"\n[gateway]\nlisten = "127.0.0.1:{port}"\n'
                f'[providers.{kind}]\nkind = "{kind}"\nbase_url = "{base}"\n'
            )
        line = [COCKPIT, "serve", "--data-dir", self.folder]
        self.child = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.monotonic() + 60
        while not is_open(port):
            if self.child.poll() is not None or time.monotonic() > end:
                raise RuntimeError("the cockpit did not open its gateway")
            time.sleep(0.02)

    def end(self):
        self.child.terminate()
        self.child.wait()
        shutil.rmtree(self.folder)


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
