// SPDX-License-Identifier: Apache-2.0
// What the suite loads whole, shortened and altered.

extern "C" __global__ void fill(unsigned* words, unsigned value, unsigned count) {
    const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < count) words[i] = value;
}

extern "C" __global__ void hang(const volatile unsigned* word) {
    while (*word == 0) {
    }
}
