# SPDX-License-Identifier: Apache-2.0
"""What is generated: which model, how it is read, and which of llama.cpp's paths that takes."""

from case import Case

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
