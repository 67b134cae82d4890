#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Installs the real client of this project's tests under build/llama: a prebuilt llama.cpp.

It is npm's node-llama-cpp: its CUDA package carries libllama and ggml's backends as they are
shipped to users; the main package carries the headers that belong to them. Both are checked against
the digests below. A driver program (test/llama/generate.cpp) is built against them, and models with
random weights are made by test/llama/model.cpp. Nothing is fetched again once it is there.

Disk: 240 MB in build/llama, and 180 MB more of downloads while it runs.
"""

import base64
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from build import ROOT

VERSION = "3.22.1"
LLAMA = "v0.5.0"  # llama.cpp's own version, in the names of its libraries
HEADERS = "node-llama-cpp"
LIBRARIES = "@node-llama-cpp/linux-x64-cuda"
INTEGRITY = {
    HEADERS: "bltIipuWmc123H7tMIgDGKSsSrhmhlQYeVUC48XTjVW7XGJJiJJyCdlTMzQ/LiWoPkGDpcL4FviDpgw7qfTiDw==",
    LIBRARIES: "8rQCjyNNLZJUFit+YpjwlC4hwkKgOMIkB2wuycKBf8NU2O3ySKbiWZQ8aw9ku2nUTXjSnUIrE6KB88itduTBuA==",
}
SHAPES = ("small", "medium")
TYPES = ("F16", "Q4_0", "Q8_0", "Q4_K_M", "Q6_K")
SOURCES = ROOT / "test" / "llama"


class Failed(Exception):
    """Something that the user can mend; its text says how."""


def run(*command, **options):
    if shutil.which(command[0]) is None:
        raise Failed(f"{command[0]} is missing. Install Debian's packages npm, git and g++.")
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, check=False, **options)
    if done.returncode != 0:
        raise Failed(f"{command[0]} {command[1]} failed:\n{done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def fetch(package, directory):
    """The package's tarball, checked."""
    try:
        said = run("npm", "pack", "--json", "--loglevel=error", f"{package}@{VERSION}", cwd=directory)
    except Failed as error:
        raise Failed(f"Cannot fetch {package} {VERSION}. Once it is installed, no network is needed; "
                     f"until then it takes npm, and its registry.\n{error}") from error
    tarball = directory / json.loads(said)[0]["filename"].replace("@", "").replace("/", "-")
    digest = base64.b64encode(hashlib.sha512(tarball.read_bytes()).digest()).decode()
    if digest != INTEGRITY[package]:
        raise Failed(f"{package} {VERSION} is not what was pinned: its sha512 is {digest}.")
    return tarball


def unpack(tarball, prefix, target):
    """Writes the files below `prefix` in the tarball into `target`, flat."""
    target.mkdir(parents=True)
    with tarfile.open(tarball) as archive:
        for member in archive:
            if member.isfile() and member.name.startswith(prefix):
                with archive.extractfile(member) as source, open(target / Path(member.name).name, "wb") as out:
                    shutil.copyfileobj(source, out)


def take_headers(tarball, target, scratch):
    """llama.cpp's sources are in the package as a git bundle; its public headers are all we need."""
    unpack(tarball, "package/llama/gitRelease.bundle", scratch / "bundle")
    run("git", "clone", "--quiet", "--bare", scratch / "bundle" / "gitRelease.bundle", scratch / "git")
    target.mkdir()
    for directory in ("include", "ggml/include"):
        listing = run("git", "-C", scratch / "git", "ls-tree", "--name-only", "HEAD", f"{directory}/")
        for name in listing.split():
            (target / Path(name).name).write_text(run("git", "-C", scratch / "git", "show", f"HEAD:{name}"))


def install(home):
    """Fetches what is not there. The directory appears when it is complete."""
    stamp = home / "installed"
    if stamp.exists() and stamp.read_text() == VERSION:
        return
    shutil.rmtree(home, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix="llama-", dir=home.parent) as name:
        scratch = Path(name)
        new = scratch / "llama"
        unpack(fetch(LIBRARIES, scratch), "package/bins/linux-x64-cuda/", new / "lib")
        for unused in ("llama-addon.node", "libllama-common.so", "_nlcBuildMetadata.json"):
            (new / "lib" / unused).unlink()
        # A directory of links, because llama.cpp takes every backend that lies in one directory.
        (new / "lib" / "cpu").mkdir()
        for library in (new / "lib").glob("libggml-cpu-*.so"):
            (new / "lib" / "cpu" / library.name).symlink_to(f"../{library.name}")
        take_headers(fetch(HEADERS, scratch), new / "include", scratch)
        (new / "installed").write_text(VERSION)
        new.rename(home)


def outdated(target, sources):
    return not target.exists() or any(s.stat().st_mtime > target.stat().st_mtime for s in sources)


def compile_program(target, sources, *arguments):
    headers = list(SOURCES.glob("*.h"))
    paths = [SOURCES / s for s in sources]
    if outdated(target, paths + headers):
        target.parent.mkdir(exist_ok=True)
        # Another test may be running the one that is there.
        new = target.with_suffix(".new")
        run(*os.environ.get("CXX", "c++").split(), "-std=c++20", "-O2", "-Wall", "-Wextra", "-Werror",
            *paths, "-o", new, *arguments)
        new.rename(target)


def programs(home):
    compile_program(home / "bin" / "model", ("model.cpp", "gguf.cpp", "quantise.cpp"))
    # At run time the libraries are found beside the program, wherever both are carried.
    compile_program(home / "bin" / "generate", ("generate.cpp", "options.cpp", "../cost/own_channel.cpp"),
                    "-I", ROOT, "-I", ROOT / "include", "-isystem", home / "include",
                    "-L", home / "lib", f"-l:libllama.cuda.{LLAMA}.so", f"-l:libggml.cuda.{LLAMA}.so",
                    "-l:libggml-base.so", "-Wl,-rpath,$ORIGIN/../lib", "-static-libgcc")


def models(home):
    (home / "models").mkdir(exist_ok=True)
    for shape in SHAPES:
        for quantisation in TYPES:
            path = model(home, shape, quantisation)
            if outdated(path, [home / "bin" / "model"]):
                run(home / "bin" / "model", shape, quantisation, path)


def model(home, shape, quantisation):
    return home / "models" / f"{shape}-{quantisation}.gguf"


def prepare(home=ROOT / "build" / "llama"):
    """Makes all of it, or brings it up to date; returns the directory. One process at a time."""
    home.parent.mkdir(parents=True, exist_ok=True)
    with open(home.with_suffix(".lock"), "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        install(home)
        programs(home)
        models(home)
    return home


def main():
    try:
        home = prepare()
    except Failed as error:
        print(error, file=sys.stderr)
        return 1
    size = sum(f.stat().st_size for f in home.rglob("*") if f.is_file() and not f.is_symlink())
    print(f"llama.cpp {LLAMA} of node-llama-cpp {VERSION} is in {home.relative_to(ROOT)}, {size / 1e6:.0f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
