# SPDX-License-Identifier: Apache-2.0
"""What is generated: which model, how it is read, and which of llama.cpp's paths that takes."""

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


EVERYWHERE = ("quick", "full")
# Flash attention off and F16 weights need cuBLAS.
CUBLAS = ("cublas",)

# A prompt of 40 takes the batched kernels (MMQ), one of 1 to 8 those for vectors (MMVQ), as does every
# token after the prompt.
CASES = (
    Case("Q4_0, eager", "Q4_0", graphs=False, suites=EVERYWHERE),
    Case("Q8_0, eager", "Q8_0", graphs=False),
    Case("Q4_K_M, eager", "Q4_K_M", graphs=False),
    Case("Q6_K, eager", "Q6_K", graphs=False),
    Case("Q4_0, a prompt of one token, eager", "Q4_0", prompt=1, graphs=False),
    Case("Q4_0, a prompt of four tokens, eager", "Q4_0", prompt=4, graphs=False),
    Case("Q4_0, a prompt in batches of 16, eager", "Q4_0", prompt=100, batch=16, graphs=False),
    Case("Q4_0, a cache in Q8_0, eager", "Q4_0", kv="q8_0", graphs=False),
    Case("Q4_0, two sequences, eager", "Q4_0", sequences=2, graphs=False),
    Case("Q4_0, a second request, eager", "Q4_0", requests=2, graphs=False),
    Case("medium Q4_0, eager", "Q4_0", shape="medium", graphs=False),
    Case("medium Q4_K_M, eager", "Q4_K_M", shape="medium", graphs=False),
    Case("Q4_0", "Q4_0"),
    Case("Q4_K_M", "Q4_K_M", suites=EVERYWHERE),
    Case("Q8_0, two sequences, a cache in Q8_0, a second request", "Q8_0", sequences=2, kv="q8_0", requests=2),
    Case("medium Q4_0", "Q4_0", shape="medium"),
    Case("F16", "F16", suites=CUBLAS),
    Case("Q4_0 without flash attention", "Q4_0", flash=False, suites=CUBLAS),
    Case("medium Q4_K_M without flash attention", "Q4_K_M", shape="medium", flash=False, suites=CUBLAS),
)
