# SPDX-License-Identifier: Apache-2.0
"""What binutils tell of a shared library, as Python values."""

import re
import subprocess
from dataclasses import dataclass


def tool(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@dataclass
class Library:
    """One shared library. Nothing is read before it is asked for."""

    path: str

    def dynamic(self):
        """The dynamic section: (tag, value) in its order."""
        rows = re.findall(r"^ 0x[0-9a-f]+ \((\w+)\) +(.*?)$", tool("readelf", "-dW", self.path), re.M)
        return [(tag, value.strip()) for tag, value in rows]

    def names_of(self, tag):
        """The bracketed names of all entries with this tag."""
        return [re.search(r"\[(.*)\]", value)[1] for t, value in self.dynamic() if t == tag]

    def flags(self):
        words = [value for tag, value in self.dynamic() if tag in ("FLAGS", "FLAGS_1")]
        return set(" ".join(words).replace("Flags:", " ").split())

    def tags(self):
        return {tag for tag, _ in self.dynamic()}

    def exports(self):
        """Defined dynamic symbols, without their versions."""
        rows = tool("nm", "-D", "--defined-only", self.path).splitlines()
        return {row.split()[-1].split("@")[0] for row in rows}

    def versions_needed(self):
        """Symbol versions that other libraries must have, such as GLIBC_2.34."""
        text = tool("readelf", "-VW", self.path)
        needs = text[text.find(".gnu.version_r"):] if ".gnu.version_r" in text else ""
        return set(re.findall(r"Name: (\S+)  Flags", needs))

    def segment_bytes(self, kind):
        """Size in memory of the segments of a kind."""
        rows = re.findall(rf"^  {kind} +((?:0x[0-9a-f]+ +){{5}})", tool("readelf", "-lW", self.path), re.M)
        return sum(int(row.split()[4], 16) for row in rows)

    def section_bytes(self, name):
        rows = re.findall(rf" {re.escape(name)} +\S+ +[0-9a-f]+ [0-9a-f]+ ([0-9a-f]+) ",
                          tool("readelf", "-SW", self.path))
        return sum(int(row, 16) for row in rows)

    def initialisers(self):
        """Functions that the loader calls, by name: entries of .init_array and .preinit_array."""
        names = {}
        for row in tool("nm", self.path).splitlines():
            address, kind, name = row.split(None, 2) if row[0] != " " else (None, None, None)
            if kind in ("t", "T"):
                names[int(address, 16)] = name
        found = []
        for section in (".init_array", ".preinit_array"):
            size = self.section_bytes(section)
            if size == 0:
                continue
            dump = tool("readelf", "-x", section, self.path)
            words = "".join("".join(row.split()[1:5]) for row in dump.splitlines()
                            if row.startswith("  0x"))
            data = bytes.fromhex(re.sub(r"[^0-9a-f].*", "", words)[:size * 2])
            for at in range(0, len(data), 8):
                address = int.from_bytes(data[at:at + 8], "little")
                found.append(names.get(address, hex(address)))
        return found

    def instructions(self):
        """(function, instruction) of the whole text, disassembled."""
        function = ""
        command = ["objdump", "-d", "--no-show-raw-insn", "-M", "intel", self.path]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as listing:
            for line in listing.stdout:
                if head := re.match(r"[0-9a-f]+ <(.*)>:", line):
                    function = head[1]
                elif "\t" in line:
                    yield function, line.rstrip("\n").split("\t", 1)[1]
        if listing.returncode != 0:
            raise subprocess.CalledProcessError(listing.returncode, command)
