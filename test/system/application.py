# SPDX-License-Identifier: Apache-2.0
"""What the guest's service is: a replica of ollama on the real llama.cpp, or the real ollama."""

import json
import shlex

import demo_ollama
import llama
from build import ROOT
from guest import GuestError

REPLICA = ROOT / "test" / "system" / "replica"
ADDRESS = "http://127.0.0.1:11434"
VARIANT = "cuda_v13"
# What an installation of ollama with CUDA 13 carries, as links to what is shared into the guest.
CARRIED = {"libggml-cuda.so": "/llama/lib/libggml-cuda.so", "cpu": "/llama/lib/cpu",
           "libcudart.so.13": "/cuda/libcudart.so.13", "libcublas.so.13": "/cuda/libcublas.so.13",
           "libcublasLt.so.13": "/cuda/libcublasLt.so.13"}
LIMIT = 180
ENDLESS = 900  # tokens; a runner takes minutes for them, and every test ends it long before


# Tries until the service, which may still be starting, listens.
LISTENS = f"wget -q --spider --tries=60 --waitretry=1 --retry-connrefused {ADDRESS}/"


def request(path, data):
    """Posts once, as soon as the service listens."""
    return (f"{LISTENS} && exec wget -qO- --tries=1 --timeout={LIMIT} --post-data {shlex.quote(data)} "
            f"{ADDRESS}{path}")


class Result:
    """One answer of the service."""

    def __init__(self, tokens, on_gpu):
        self.tokens = tokens
        self.on_gpu = on_gpu


class Replica:
    """llama.cpp behind a server of our own."""

    title = "a replica of ollama's service with llama.cpp"
    memory = "1G"

    def __init__(self, cuda):
        self.home = llama.prepare()
        self.shares = [("llama", self.home), ("cuda", cuda)]

    def put(self, share):
        (share / "bin").mkdir(parents=True)
        (share / "bin" / "ollama").write_bytes(REPLICA.read_bytes())
        variant = share / "lib" / "ollama" / VARIANT
        variant.mkdir(parents=True)
        for name, target in CARRIED.items():
            (variant / name).symlink_to(target)

    def prepare(self, guest):
        """Nothing: it takes its model from the share."""

    def generate(self, guest, tokens=8):
        job = guest.call(request("/", str(tokens)), limit=LIMIT)
        lines = job.output().decode().splitlines()
        chosen = [line for line in lines if line.startswith("token ")]
        if job.code != 0 or not lines[-1].endswith(" ended 0") or not chosen:
            raise GuestError(f"the service did not generate:\n{job.said()}")
        return Result([line.split()[4] for line in chosen[-tokens:]], lines[-1].startswith("cuda "))

    def begin(self, guest):
        """A generation without an end, once it has begun to say tokens."""
        job = guest.run(request("/", str(ENDLESS)))
        job.expect("device CUDA", LIMIT)
        job.expect("token 0 0 3 ", LIMIT)
        return job

    def finished(self, job):
        """Whether it generated all that it was asked for."""
        return b" ended 0" in job.output()

    def marks(self):
        """What the service's log must have: what the real llama.cpp says."""
        return (r"device CUDA0", r"offloaded (\d+)/\1 layers to GPU")


class Ollama:
    """A real one, which OLLAMA names."""

    title = "ollama"

    def __init__(self, path, model, cuda):
        self.binary, self.library = demo_ollama.find(path)
        self.model = demo_ollama.find_model(model) if model else \
            llama.model(llama.prepare(), "medium", "Q4_0")
        self.shares = [("ollama", self.library), ("model", self.model.parent), ("cuda", cuda)]
        self.memory = f"{2 + 3 * self.model.stat().st_size // (1 << 30)}G"

    def put(self, share):
        demo_ollama.lay_out(share, self.binary, self.library)
        # Here it is the package that puts our library there.
        (share / "lib" / "ollama" / "libcuda.so.1").unlink()

    def prepare(self, guest):
        script = (f"{LISTENS} && cd /tmp && echo FROM /model/{shlex.quote(self.model.name)} >Modelfile && "
                  f"HOME=/tmp ollama create {demo_ollama.MODEL} -f Modelfile")
        job = guest.call(script, limit=demo_ollama.LIMIT)
        if job.code != 0:
            raise GuestError(f"ollama did not take the model:\n{job.said()}")

    def _ask(self, tokens, stream):
        return request("/api/generate", json.dumps({
            "model": demo_ollama.MODEL, "prompt": demo_ollama.PROMPT, "stream": stream, "keep_alive": 0,
            "options": {"num_predict": tokens, "temperature": 0}}))

    def generate(self, guest, tokens=8):
        job = guest.call(self._ask(tokens, False), limit=demo_ollama.LIMIT)
        if job.code != 0:
            raise GuestError(f"ollama did not generate:\n{job.said()}")
        log = guest.call("journalctl -u ollama -o cat --no-pager | grep 'offloaded ' | tail -1", "root")
        return Result(json.loads(job.output())["response"], b"offloaded 0/" not in log.output())

    def begin(self, guest):
        job = guest.run(self._ask(ENDLESS, True))
        job.expect("{", demo_ollama.LIMIT)
        return job

    def finished(self, job):
        return b'"done":true' in job.output()

    def marks(self):
        return (r"library=CUDA", r"offloaded (\d+)/\1 layers to GPU")
