#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes a CUDA source with one kernel for each device function that the toolkit's headers declare.

enumerate.py OUTPUT NVCC ARGUMENT…: NVCC with ARGUMENTs is what will compile OUTPUT; here it
preprocesses the headers, so that the functions are those of that architecture.
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

HEADERS = ("cuda_fp16.h", "cuda_bf16.h", "cuda_fp8.h", "cuda_pipeline_primitives.h",
           "cuda_awbarrier_primitives.h")

DEVICE = "__attribute__((device))"
TOKEN = re.compile(r'"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])*\'|[{};]')
# What encloses declarations without being one: those in it count as if they stood outside.
TRANSPARENT = re.compile(r'extern\s+"C(\+\+)?"\s*$')
NOISE = re.compile(r"__attribute__\s*\(\(.*?\)\)|\b(extern|static|inline|__inline__|constexpr)\b|"
                   r"noexcept\s*\(true\)|\bnoexcept\b|throw\s*\(\)|=\s*default\s*$")
FUNCTION = re.compile(r"^(?P<result>[\w\s*:&]+?[\s*&])(?P<name>\w+)\s*\((?P<parameters>.*)\)$",
                      re.DOTALL)

# Functions that no kernel of this census can call, with the reason.
LEFT_OUT = {
    "are the runtime's own or its C library's": r"_*cuda\w+|__assert\w*|__device_builtin\w*"
        r"|mem(cpy|set|move|cmp|chr)|malloc|free|calloc|v?f?printf|make_\w+|alloca|abs_double|operator\w*"
        r"|__nv_\w+_init|_ConvertToHost|__half_internal\w*|cudart\w*|abort",
    "take what only a constant can be": r"__prof_trigger|__nanosleep_const",
    "are the compiler's own steps below the functions that programs call": r"__nv_(tex|itex|ld|st|atom|"
        r"associate|bar|aligned|ptx|cvta|isurf|fp128)\w*|__nv_(is|pad)\w*|__nv_tmp\w*|__nvvm\w*",
}
SKIPPED = re.compile("|".join(f"(?:{pattern})" for pattern in LEFT_OUT.values()))
# Templates have no code of their own.
NOT_THESE = ("template", "typedef")
# What is deprecated is what no architecture has any more; a definition does not say it again.
DEPRECATED = re.compile(r"__attribute__\(\(deprecated.*?(\w+)\s*\([^()]*\)$", re.DOTALL)
# long double and 128-bit floats have no place on a GPU.
NO_TYPES = re.compile(r"\blong double\b|__float128|va_list|\bFILE\b|\bsize_t\s*\*\*")


def declarations(text):
    """Everything that stands before a `;` or a `{` outside of any braces."""
    text = re.sub(r"^#.*$", "", text, flags=re.MULTILINE)
    open_braces, begin = [], 0
    for token in TOKEN.finditer(text):
        kind = token.group()
        outside = all(open_braces)
        if kind == "{":
            head = text[begin:token.start()].strip()
            transparent = outside and bool(TRANSPARENT.search(head))
            if outside and not transparent:
                yield head
            open_braces.append(transparent)
            if transparent:
                begin = token.end()
        elif kind == "}":
            open_braces.pop()
            if all(open_braces):
                begin = token.end()
        elif kind == ";" and outside:
            yield text[begin:token.start()].strip()
            begin = token.end()


def split(parameters):
    """At the commas outside of any brackets."""
    parts, depth, begin = [], 0, 0
    for at, character in enumerate(parameters):
        depth += (character in "(<[") - (character in ")>]")
        if character == "," and depth == 0:
            parts.append(parameters[begin:at])
            begin = at + 1
    return [*parts, parameters[begin:]]


def type_of(parameter):
    """The type of a parameter without its name and its default; None for one that cannot be passed."""
    text = parameter.split("=")[0].strip()
    if "(" in text or "[" in text or "..." in text or "<" in text:
        return None
    text = re.sub(r"\s*\*\s*(const|__restrict__|__restrict)\b", "*", text)
    text = re.sub(r"\b(const|volatile)\s*$", "", text)
    words = re.findall(r"[\w:]+|[*&]", text)
    builtin = {"int", "unsigned", "long", "short", "char", "float", "double", "signed", "bool", "const",
               "struct", "enum", "volatile", "void"}
    # The last word is the name, unless it is the type.
    types = [word for word in words if word not in ("*", "&", "const", "volatile", "struct", "enum")]
    if len(words) > 1 and words[-1] not in builtin and words[-1] not in "*&" and len(types) > 1:
        words.pop()
    return " ".join(words)


def function(declaration):
    """Name, result and types of the parameters of a device function; None for anything else."""
    if DEVICE not in declaration or any(word in declaration for word in NOT_THESE):
        return None
    text = " ".join(NOISE.sub(" ", declaration).split())
    match = FUNCTION.match(text)
    if not match or "operator" in text or NO_TYPES.search(text) or SKIPPED.fullmatch(match["name"]):
        return None
    inside = match["parameters"].strip()
    types = [] if inside in ("", "void") else [type_of(one) for one in split(inside)]
    result = match["result"].strip()
    if None in types or "::" in result:
        return None
    return match["name"], result, tuple(types)


def kernel(number, name, result, types):
    """Arguments come from memory, so that nothing can be computed beforehand, and the result goes there."""
    plain = [re.sub(r"\s*&$", "", one) for one in types]
    stored = [one if one.endswith("*") else re.sub(r"\bconst\b\s*", "", one) for one in plain]
    parameters = ", ".join(f"{one} a{i}" for i, one in enumerate(stored))
    call = f"{name}({', '.join(f'a{i}' for i in range(len(types)))})"
    if result == "void":
        return f'extern "C" __global__ void k{number}({parameters}) {{ {call}; }}'
    out = re.sub(r"\bconst\b\s*|\s*&$", "", result)
    comma = ", " if parameters else ""
    return f'extern "C" __global__ void k{number}({out}* to{comma}{parameters}) {{ *to = {call}; }}'


def main():
    output, compiler = sys.argv[1], sys.argv[2:]
    includes = "".join(f"#include <{header}>\n" for header in HEADERS)
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "headers.cu")
        source.write_text(includes)
        text = subprocess.run([*compiler, "-E", str(source)], check=True, capture_output=True, text=True).stdout
    found, heads = {}, list(declarations(text))
    deprecated = {match[1] for match in map(DEPRECATED.search, heads) if match}
    for declaration in heads:
        one = function(declaration)
        if one and one[0] not in deprecated:
            found.setdefault((one[0], one[2]), one)
    lines = [kernel(number, *one) for number, one in enumerate(found.values())]
    Path(output).write_text(includes + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
