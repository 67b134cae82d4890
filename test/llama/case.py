# SPDX-License-Identifier: Apache-2.0
"""One thing to generate, as the driver program's arguments and environment."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Case:
    """One run of generate, in the suites quick, full and cublas."""

    name: str
    quantisation: str
    shape: str = "small"
    tokens: int = 12
    prompt: int = 40
    batch: int = 512
    sequences: int = 1
    requests: int = 1
    flash: bool = True
    kv: str = "f16"
    graphs: bool = True
    suites: tuple = ("full",)

    def arguments(self):
        return ["--tokens", str(self.tokens), "--prompt-length", str(self.prompt), "--batch", str(self.batch),
                "--sequences", str(self.sequences), "--requests", str(self.requests),
                "--flash", "on" if self.flash else "off", "--kv", self.kv]

    def environment(self):
        return {} if self.graphs else {"GGML_CUDA_DISABLE_GRAPHS": "1"}
