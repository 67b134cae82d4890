# SPDX-License-Identifier: Apache-2.0
"""The demo's other client: a real ollama, if OLLAMA names one. OLLAMA_MODEL names a GGUF file."""

import json
import shlex
from pathlib import Path

import llama

PROMPT = "The quick brown fox"
TOKENS = 64
START_LIMIT = 120
LIMIT = 480
MODEL = "demo"
INSIDE = "/host/ollama"
LISTENING = "Listening on"
TELLING = ("library=", "offloaded ")


class BadOllama(Exception):
    """What is wrong with OLLAMA or OLLAMA_MODEL, and what it should be."""


def find(path):
    """The binary and its lib/ollama, from a binary or the directory that it was unpacked into."""
    path = Path(path).expanduser()
    if not path.exists():
        raise BadOllama(f"OLLAMA={path} does not exist: name ollama's binary, or the directory with "
                        "bin/ollama and lib/ollama.")
    binaries = [path / "bin" / "ollama", path / "ollama"] if path.is_dir() else [path]
    binary = next((b.resolve() for b in binaries if b.is_file()), None)
    if binary is None:
        raise BadOllama(f"OLLAMA={path} has no bin/ollama: name the directory that ollama was unpacked into.")
    if binary.read_bytes()[:4] != b"\x7fELF":
        raise BadOllama(f"{binary} is no program: OLLAMA must name ollama's binary itself.")
    libraries = [binary.parent.parent / "lib" / "ollama", binary.parent / "lib" / "ollama"]
    library = next((d for d in libraries if d.is_dir()), None)
    if library is None:
        raise BadOllama(f"{binary} has no {libraries[0]} beside it: unpack ollama's whole archive.")
    if not list(library.rglob("libggml-cuda.so")):
        raise BadOllama(f"{library} has no libggml-cuda.so: this ollama came without its CUDA backend.")
    return binary, library


def find_model(path):
    path = Path(path).expanduser()
    if not path.is_file():
        raise BadOllama(f"OLLAMA_MODEL={path} is no file: name a model in GGUF.")
    with open(path, "rb") as file:
        if file.read(4) != b"GGUF":
            raise BadOllama(f"OLLAMA_MODEL={path} is no GGUF file.")
    return path.resolve()


def lay_out(share, binary, library):
    """An installation as ollama wants it: its own binary, links to its libraries, and our library among
    them. ollama finds lib/ollama from where its binary lies, links followed, so that one is a copy."""
    (share / "bin").mkdir(parents=True)
    target = share / "bin" / "ollama"
    target.write_bytes(binary.read_bytes())
    target.chmod(0o755)
    inside = share / "lib" / "ollama"
    inside.mkdir(parents=True)
    for entry in library.iterdir():
        if not entry.name.startswith("libcuda.so"):
            (inside / entry.name).symlink_to(f"/ollama/{entry.name}")
    (inside / "libcuda.so.1").symlink_to("/host/lib/libcuda.so.1")


def script(model):
    """Serves in the guest, imports the model, and asks for text: one line of JSON for each token."""
    request = {"model": MODEL, "prompt": PROMPT, "options": {"num_predict": TOKENS, "temperature": 0}}
    return f"""
export HOME=/tmp OLLAMA_MODELS=/tmp/models OLLAMA_HOST=127.0.0.1:11434 NO_COLOR=1
export LD_LIBRARY_PATH={INSIDE}/lib/ollama
{INSIDE}/bin/ollama serve 2>&1 | while IFS= read -r line; do
    echo "$line" >&2
    case $line in *'{LISTENING}'*) echo listening ;; esac
done &
IFS= read -r go
echo {shlex.quote(f'FROM /model/{model.name}')} >/tmp/Modelfile
{INSIDE}/bin/ollama create {MODEL} -f /tmp/Modelfile >&2 || exit 1
echo created
exec wget -qO- --post-data {shlex.quote(json.dumps(request))} http://$OLLAMA_HOST/api/generate
"""


class Ollama:
    """Checked at construction; raises BadOllama."""

    def __init__(self, path, model):
        self.binary, self.library = find(path)
        self.model = find_model(model) if model else llama.model(llama.prepare(), "medium", "Q4_0")
        self.title = f"ollama ({self.binary})"
        self.shares = [("ollama", self.library), ("model", self.model.parent)]
        # The model lies in the guest's memory twice while ollama imports it.
        self.memory = f"{2 + 3 * self.model.stat().st_size // (1 << 30)}G"

    def put(self, guest):
        lay_out(guest.share / "ollama", self.binary, self.library)

    def run(self, guest, screen):
        screen.say(f"{self.title} generates with {self.model.name}:")
        job = guest.run(script(self.model))
        job.expect("listening", START_LIMIT)
        screen.progress("ollama serves")
        job.send("go")
        job.expect("created", LIMIT)
        screen.progress("loading: the model is imported")
        last = {}
        screen.stream("    ")
        for line in job.each_line(LIMIT):
            last = json.loads(line)
            screen.stream(last.get("response", ""))
            if last.get("done") or "error" in last:
                break
        screen.stream("\n")
        own = [line for line in job.errors().splitlines() if any(part in line for part in TELLING)]
        screen.show("\n".join(own))
        if not last.get("done") or not any("library=CUDA" in line for line in own):
            screen.show(f"It did not generate on the device:\n{job.said(1500)}")
            return False
        screen.say("What that took, measured in this run:")
        rate = last["eval_count"] / last["eval_duration"] * 1e9
        screen.show(f"tokens             {last['eval_count']}\ntokens per second  {rate:.1f}")
        return True
