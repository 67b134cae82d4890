// SPDX-License-Identifier: Apache-2.0
// What the toolkit's own template libraries make: large kernels with much inline assembly.
#include <thrust/device_vector.h>
#include <thrust/reduce.h>
#include <thrust/sort.h>

#include <cub/cub.cuh>

int sort_and_sum(thrust::device_vector<int>& values) {
    thrust::sort(values.begin(), values.end());
    return thrust::reduce(values.begin(), values.end());
}

__global__ void block_scan(int* values) {
    using Scan = cub::BlockScan<int, 128>;
    __shared__ Scan::TempStorage storage;
    int value = values[threadIdx.x];
    Scan(storage).InclusiveSum(value, value);
    values[threadIdx.x] = value;
}
