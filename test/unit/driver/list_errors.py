#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Lists the CUresult enumerators of cuda.h as X-macros, for the test of driver/error_names."""

import pathlib
import re
import sys


def main() -> None:
    header, output = map(pathlib.Path, sys.argv[1:])
    text = re.sub(r"/\*.*?\*/", "", header.read_text(encoding="utf-8"), flags=re.DOTALL)
    body = re.search(r"typedef enum cudaError_enum \{(.*?)\} CUresult;", text, re.DOTALL)
    if body is None:
        sys.exit(f"{header}: CUresult was not found")
    names = re.findall(r"^\s*(CUDA_\w+)\s*=", body.group(1), re.MULTILINE)
    if not names:
        sys.exit(f"{header}: CUresult has no enumerators")
    output.write_text("".join(f"CUBAR_ERROR({name})\n" for name in names), encoding="utf-8")


main()
