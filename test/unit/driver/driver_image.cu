// SPDX-License-Identifier: Apache-2.0
// Kernels whose images the image tests read: parameters small and large, none, all memories.

struct Large {
    char bytes[5000];
};

__device__ float uninitialised[1000];
__constant__ int table[4] = {1, 2, 3, 4};

extern "C" __global__ void add(const float* a, float* b, int count) {
    __shared__ float shared[64];
    const int index = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
    shared[threadIdx.x % 64] = a[index];
    __syncthreads();
    if (index < count) {
        b[index] += shared[(threadIdx.x + 1) % 64] + static_cast<float>(table[index & 3]);
        uninitialised[index % 1000] = b[index];
    }
}

extern "C" __global__ void large(Large value, char index, double* out) {
    *out = value.bytes[index];
}

extern "C" __global__ void nothing() {}
