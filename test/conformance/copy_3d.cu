// SPDX-License-Identifier: Apache-2.0
// 3D copies of boxes with offsets: host to device, within the device, and back; 3D memset.
#include "conformance.h"

namespace {

struct Volume {
    int width, height, depth;
    int at(int x, int y, int z) const { return (z * height + y) * width + x; }
};

__global__ void negate(cudaPitchedPtr box, cudaExtent extent) {
    const unsigned y = blockIdx.x, z = blockIdx.y, x = threadIdx.x;
    auto* row =
        reinterpret_cast<short*>(static_cast<char*>(box.ptr) + (z * extent.height + y) * box.pitch);
    row[x] = static_cast<short>(-row[x]);
}

}  // namespace

int main() {
    const Volume volume{30, 12, 7};
    std::vector<short> values(30 * 12 * 7);
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<short>(i * 13 % 32749);
    const cudaExtent extent = make_cudaExtent(30 * sizeof(short), 12, 7);
    cudaPitchedPtr first, second;
    CUDA(cudaMalloc3D(&first, extent));
    CUDA(cudaMalloc3D(&second, extent));
    CUDA(cudaMemset3D(second, 0x11, extent));

    cudaMemcpy3DParms in = {};
    in.srcPtr = make_cudaPitchedPtr(values.data(), 30 * sizeof(short), 30, 12);
    in.dstPtr = first;
    in.extent = extent;
    in.kind = cudaMemcpyHostToDevice;
    CUDA(cudaMemcpy3D(&in));
    negate<<<dim3(12, 7), 30>>>(first, make_cudaExtent(60, 12, 7));
    CUDA(cudaGetLastError());

    // A box of 10 x 5 x 3 moves from (4, 2, 1) to (15, 6, 4).
    cudaMemcpy3DParms within = {};
    within.srcPtr = first;
    within.srcPos = make_cudaPos(4 * sizeof(short), 2, 1);
    within.dstPtr = second;
    within.dstPos = make_cudaPos(15 * sizeof(short), 6, 4);
    within.extent = make_cudaExtent(10 * sizeof(short), 5, 3);
    within.kind = cudaMemcpyDeviceToDevice;
    CUDA(cudaMemcpy3DAsync(&within));

    std::vector<short> result(values.size());
    cudaMemcpy3DParms out = {};
    out.srcPtr = second;
    out.dstPtr = make_cudaPitchedPtr(result.data(), 30 * sizeof(short), 30, 12);
    out.extent = extent;
    out.kind = cudaMemcpyDeviceToHost;
    CUDA(cudaMemcpy3D(&out));
    for (int z = 0; z < 7; ++z)
        for (int y = 0; y < 12; ++y)
            for (int x = 0; x < 30; ++x) {
                const bool inside = x >= 15 && x < 25 && y >= 6 && y < 11 && z >= 4 && z < 7;
                const int expected = inside ? -values[volume.at(x - 11, y - 4, z - 3)] : 0x1111;
                CHECK_AT(volume.at(x, y, z), result[volume.at(x, y, z)], expected);
            }
    conformance::report("volume", result);
    CUDA(cudaFree(first.ptr));
    CUDA(cudaFree(second.ptr));
    return 0;
}
