# SPDX-License-Identifier: Apache-2.0
"""The demo's client: the prebuilt llama.cpp that scripts/llama.py installs, and what its tokens cost."""

import sys

import llama
from build import ROOT

sys.path.insert(0, str(ROOT / "test" / "llama"))

import compare  # noqa: E402
import token_cost  # noqa: E402

MODEL = ("medium", "Q4_0")
TOKENS = 96
LIMIT = 180
# What llama.cpp says of the device in its own log.
TELLING = ("ggml_cuda_init: found", "  Device 0:", "load_backend: loaded CUDA", "load_tensors: offloaded")
LOADING = {
    "device ": "its CUDA backend is loaded",
    "seconds model": "the model's weights are on the device",
    "seconds context": "its context is made",
}
OPCODES = ROOT / "include" / "cubar" / "api" / "opcodes.lock"


class LlamaCpp:
    """Prepared at construction; raises llama.Failed if it cannot be."""

    title = f"llama.cpp {llama.LLAMA} of node-llama-cpp {llama.VERSION}, as npm ships it"
    memory = "1G"

    def __init__(self, cuda):
        self.home = llama.prepare()
        self.shares = [("llama", self.home), ("cuda", cuda / "lib64")]

    def put(self, guest):
        """Nothing: all it needs is shared."""

    def run(self, guest, screen):
        model = llama.model(self.home, *MODEL)
        inside = f"/llama/models/{model.name}"
        screen.say(f"{self.title}, generates with {model.name} "
                   f"({model.stat().st_size / 1e6:.1f} MB of random weights, so its text means nothing):")
        job = guest.run("LD_LIBRARY_PATH=/host/lib:/cuda exec /llama/bin/generate --libraries /llama/lib "
                        f"--device cuda --model {inside} --tokens {TOKENS} --text --count --verbose")
        said = read(job, screen)
        code = job.wait(30)
        if code != 0 or "later" not in said.seconds or not said.all_offloaded():
            screen.show(f"It ended with {code}, {said.offloaded or 'no'} layers offloaded:\n{job.said(1500)}")
            return False
        report(said, screen)
        return True


class Said:
    """What the driver program printed, as far as the report needs it."""

    def __init__(self):
        self.seconds = {}
        self.sent = []
        self.tokens = 0
        self.offloaded = ""

    def all_offloaded(self):
        layers, _, of = self.offloaded.partition("/")
        return bool(layers) and layers == of


def read(job, screen):
    """Shows loading as it proceeds, then the text as it comes."""
    said = Said()
    for line in job.each_line(LIMIT):
        for start, what in LOADING.items():
            if line.startswith(start):
                screen.progress(f"loading: {what}")
        if line.startswith("seconds context"):
            screen.show("\n".join(own for own in job.errors().splitlines() if own.startswith(TELLING)))
            screen.stream("    ")
        word, _, rest = line.partition(" ")
        if word == "text":
            said.tokens += 1
            screen.stream(rest)
        elif word == "sent":
            said.sent.append(compare.sent(rest))
        elif word == "seconds":
            name, value = rest.split()
            said.seconds[name] = float(value)
        elif word == "offloaded":
            said.offloaded = rest.split()[0]
    screen.stream("\n")
    return said


def figures(said, name_of):
    """The report's lines: a name, and a figure of this run. Warm tokens are those of graph launches."""
    yield "tokens", f"{said.tokens}, the first after {said.seconds['first']:.2f} s, of a prompt of 40"
    yield "tokens per second", f"{(said.tokens - 1) / said.seconds['later']:.1f}"
    named = [{name_of.get(number, hex(number)): n for number, n in sent.opcodes.items()} for sent in said.sent]
    warm = [(sent, names) for sent, names in zip(said.sent, named) if names.get("cuGraphLaunch")]
    if not warm:
        yield "graph launches", "none"
        return
    each = f"a token ({len(warm)} warm ones)"

    def mean(values):
        return f"{sum(values) / len(warm):.1f}"

    waits = [names.get(token_cost.WAIT, 0) for _, names in warm]
    yield f"graph launches for {each}", mean(names["cuGraphLaunch"] for _, names in warm)
    yield "launches besides", mean(
        sum(n for name, n in names.items() if name.startswith("cuLaunch")) for _, names in warm)
    yield "round trips", mean(sent.round_trips - n for (sent, _), n in zip(warm, waits))
    yield "waits that the host completed", mean(waits)
    yield "records", mean(sent.records for sent, _ in warm)
    yield "bytes of records", mean(sent.length for sent, _ in warm)


def report(said, screen):
    screen.say("What that took, measured in this run:")
    lines = list(figures(said, token_cost.names(OPCODES.read_text(encoding="utf-8"))))
    width = max(len(name) for name, _ in lines)
    screen.show("\n".join(f"{name:{width}}  {figure}" for name, figure in lines))
