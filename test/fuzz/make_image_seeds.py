#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes the seeds of the fatbin and ELF fuzzers anew: make_image_seeds.py NVCC.

Real images come from nvcc; the rest are small ones, each with one thing wrong.
"""

import pathlib
import struct
import subprocess
import sys
import tempfile

CORPUS = pathlib.Path(__file__).parent / "corpus"

SOURCE = """
struct Large { char bytes[5000]; };
__constant__ int table[4] = {1, 2, 3, 4};
extern "C" __global__ void add(const float* a, float* b, int n) { b[n] += a[n] + table[n & 3]; }
extern "C" __global__ void large(Large value, char i, double* out) { *out = value.bytes[i]; }
"""


def write(kind: str, name: str, data: bytes) -> None:
    (CORPUS / kind).mkdir(parents=True, exist_ok=True)
    (CORPUS / kind / name).write_bytes(data)


def entry(kind=2, sm=80, flags=0x11, payload=b"payload!", compressed=0, uncompressed=0,
          version=0x101, header=64) -> bytes:
    fields = struct.pack("<HHIQIIHHIIIQQQ", kind, version, header, len(payload), compressed, 64, 4,
                         8, sm, 64, 0, flags, 0, uncompressed)
    return fields + bytes(max(0, header - len(fields))) + payload


def fatbin(*entries: bytes, magic=0xBA55ED50, version=1, header=16, size=None) -> bytes:
    body = b"".join(entries)
    return struct.pack("<IHHQ", magic, version, header, len(body) if size is None else size) + body


def with_value(image: bytes, offset: int, form: str, value: int) -> bytes:
    changed = bytearray(image)
    struct.pack_into(form, changed, offset, value)
    return bytes(changed)


def make_fatbins(nvcc: str, source: pathlib.Path, scratch: pathlib.Path) -> None:
    for mode in ("speed", "balance"):
        out = scratch / f"{mode}.fatbin"
        subprocess.run([nvcc, "-fatbin", f"--compress-mode={mode}", "-Xfatbin", "-compress-all",
                        "-gencode", "arch=compute_75,code=[sm_75,compute_75]",
                        "-gencode", "arch=compute_90a,code=sm_90a", "-o", out, source], check=True)
        write("fatbin", f"nvcc-{mode}", out.read_bytes())
    specific, family = 0x100000, 0x200000
    write("fatbin", "many", fatbin(
        entry(), entry(sm=86), entry(kind=1, sm=75, payload=b".version\0\0"),
        entry(kind=1, sm=80), entry(sm=90, flags=specific), entry(sm=100, flags=family),
        entry(kind=1, sm=100, flags=family), entry(kind=64), entry(header=104), entry(sm=75)))
    write("fatbin", "empty", fatbin())
    write("fatbin", "short-header", fatbin()[:9])
    write("fatbin", "wrong-magic", fatbin(magic=1))
    write("fatbin", "wrong-version", fatbin(version=9))
    write("fatbin", "impossible-size", fatbin(size=2**64 - 1))
    write("fatbin", "short", fatbin(entry(), size=4096))
    write("fatbin", "short-entry", fatbin(entry()[:40]))
    write("fatbin", "entry-version", fatbin(entry(version=7)))
    write("fatbin", "entry-header", fatbin(with_value(entry(), 4, "<I", 8)))
    write("fatbin", "entry-beyond", fatbin(with_value(entry(), 8, "<Q", 2**40)))
    write("fatbin", "two-compressions", fatbin(entry(flags=0xA000)))
    write("fatbin", "compressed-beyond", fatbin(entry(flags=0x8000, compressed=99)))
    for name, flag in (("lz4", 0x2000), ("zstd", 0x8000)):
        write("fatbin", f"bad-{name}", fatbin(entry(flags=flag, compressed=8, uncompressed=100)))
    write("fatbin", "huge", fatbin(entry(flags=0x8000, compressed=8, uncompressed=2**50)))
    write("fatbin", "text", b" \n// a comment\n/* another */ .version 8.0\n")
    write("fatbin", "open-comment", b"/* never ends")
    write("fatbin", "wrapper", struct.pack("<IIQQ", 0x466243B1, 1, 0, 0))
    write("fatbin", "elf", b"\x7fELF\x02\x01\x01" + bytes(11) + struct.pack("<H", 190) + bytes(44))


def make_elfs(nvcc: str, source: pathlib.Path, scratch: pathlib.Path) -> None:
    for sm in (75, 90):
        out = scratch / f"{sm}.cubin"
        subprocess.run([nvcc, "-cubin", f"-arch=sm_{sm}", "-o", out, source], check=True)
        write("elf", f"nvcc-{sm}", out.read_bytes())
    # The least that has a kernel: names, one symbol and .nv.info.k.
    name_text = b"\0.names\0.symtab\0.nv.info.k\0"
    info = b"".join((struct.pack("<BBHIHHI", 4, 0x17, 12, 0, 1, 8, 4 << 18),
                     struct.pack("<BBHIHHHH", 4, 0x45, 12, 0, 0, 0, 8, 0),
                     struct.pack("<BBH", 3, 0x19, 12), struct.pack("<BBH", 1, 0x1E, 0)))
    symbol = struct.pack("<IBBHQQ", 1, 0, 0, 0, 0, 0)
    start = 64 + len(name_text) + len(symbol) + len(info)
    header = b"\x7fELF\x02\x01\x01\x33\x07" + bytes(7) + struct.pack(
        "<HHIQQQIHHHHHH", 2, 190, 1, 0, start + 4 * 64, start, 0x500550, 64, 56, 1, 64, 4, 1)

    def section(name: int, kind: int, offset: int, size: int, link: int = 0) -> bytes:
        return struct.pack("<IIQQQQIIQQ", name, kind, 0, 0, offset, size, link, 0, 0, 0)

    small = header + name_text + symbol + info + section(0, 0, 0, 0) + section(
        1, 3, 64, len(name_text)) + section(8, 2, 64 + len(name_text), len(symbol), 1) + section(
            16, 0x70000000, 64 + len(name_text) + len(symbol), len(info)) + bytes(56)
    write("elf", "small", small)
    write("elf", "short-header", small[:60])
    write("elf", "short", small[:-1])
    write("elf", "not-cuda", with_value(small, 18, "<H", 62))
    write("elf", "32-bit", with_value(small, 4, "<B", 1))
    write("elf", "os-abi", with_value(small, 7, "<B", 0))
    write("elf", "section-size", with_value(small, 58, "<H", 40))
    write("elf", "no-sections", with_value(small, 60, "<H", 0))
    write("elf", "many-sections", with_value(small, 60, "<H", 60000))
    write("elf", "tables-nowhere", with_value(small, 40, "<Q", 2**64 - 1))
    write("elf", "names-nowhere", with_value(small, 62, "<H", 99))
    write("elf", "impossible-section", with_value(small, start + 64 + 32, "<Q", 2**64 - 1))
    write("elf", "endless-names", with_value(small, start + 64 + 32, "<Q", len(name_text) - 1))
    write("elf", "name-outside", with_value(small, start + 128, "<I", 4000))
    write("elf", "symbol-outside", with_value(small, 64 + len(name_text), "<I", 4000))
    write("elf", "symbols-without-names", with_value(small, start + 128 + 40, "<I", 2))
    write("elf", "nobits", with_value(small, start + 192 + 4, "<I", 8))
    write("elf", "info", info)
    write("elf", "info-short", info[:3])
    write("elf", "info-beyond", info[:9])
    write("elf", "info-no-total", info[:16])
    write("elf", "info-total-small", info[:32] + struct.pack("<BBH", 3, 0x19, 1))
    write("elf", "info-format", struct.pack("<BBH", 9, 1, 0))
    write("elf", "info-param-short", struct.pack("<BBHI", 4, 0x17, 4, 0))
    write("elf", "info-twice", info[:16] + info)


def main() -> None:
    nvcc, = sys.argv[1:]
    with tempfile.TemporaryDirectory() as name:
        scratch = pathlib.Path(name)
        source = scratch / "seed.cu"
        source.write_text(SOURCE, encoding="utf-8")
        make_fatbins(nvcc, source, scratch)
        make_elfs(nvcc, source, scratch)


main()
