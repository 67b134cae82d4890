// SPDX-License-Identifier: Apache-2.0
// A child forked before CUDA is used has CUDA; one forked afterwards gets an error from every
// call, and its parent goes on undisturbed.
#include <sys/wait.h>
#include <unistd.h>

#include "conformance.h"

namespace {

__global__ void square(int* values) {
    values[threadIdx.x] *= values[threadIdx.x];
}

bool squares_are_right() {
    std::vector<int> values(64);
    for (int i = 0; i < 64; ++i) values[i] = i - 20;
    conformance::DeviceArray<int> device(values);
    square<<<1, 64>>>(device.data());
    if (cudaGetLastError() != cudaSuccess) return false;
    const auto result = device.host();
    for (int i = 0; i < 64; ++i)
        if (result[i] != (i - 20) * (i - 20)) return false;
    return true;
}

/// Runs `work` in a forked child; its exit code.
template <typename Work>
int in_child(Work work) {
    std::fflush(stdout);
    const pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) _exit(work());
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status));
    return WEXITSTATUS(status);
}

}  // namespace

int main() {
    CHECK(in_child([] { return squares_are_right() ? 0 : 1; }) == 0);
    std::printf("a child before initialisation has CUDA\n");

    CHECK(squares_are_right());
    conformance::DeviceArray<int> kept(std::vector<int>{12});
    cudaStream_t stream;
    CUDA(cudaStreamCreate(&stream));
    const int failures = in_child([&] {
        void* memory = nullptr;
        int word = 0;
        const cudaError_t errors[] = {
            cudaMalloc(&memory, 16), cudaStreamSynchronize(stream), cudaDeviceSynchronize(),
            cudaMemcpy(&word, kept.data(), sizeof word, cudaMemcpyDeviceToHost)};
        int count = 0;
        for (const cudaError_t error : errors) count += error == cudaErrorInitializationError;
        return count;
    });
    CHECK(failures == 4);
    std::printf("a child after initialisation got %d errors\n", failures);

    CHECK(squares_are_right());
    CUDA(cudaStreamSynchronize(stream));
    CHECK(kept.host()[0] == 12);
    CUDA(cudaStreamDestroy(stream));
    std::printf("the parent goes on\n");
    return 0;
}
