// SPDX-License-Identifier: Apache-2.0
// Streams of every kind, events between them, queries, timing, and the legacy stream's order.
#include "conformance.h"

namespace {

constexpr std::size_t kCount = 20000;

__global__ void fill(int* values, int value) {
    const std::size_t i = blockIdx.x * static_cast<std::size_t>(blockDim.x) + threadIdx.x;
    if (i < kCount) values[i] = value + static_cast<int>(i);
}

__global__ void combine(const int* left, const int* right, int* out) {
    const std::size_t i = blockIdx.x * static_cast<std::size_t>(blockDim.x) + threadIdx.x;
    if (i < kCount) out[i] = 3 * left[i] - right[i];
}

constexpr unsigned kThreads = 256;
constexpr unsigned kBlocks = conformance::blocks_for(kCount, kThreads);

void check_combined(const std::vector<int>& values, int left, int right) {
    for (std::size_t i = 0; i < values.size(); ++i) {
        const int index = static_cast<int>(i);
        CHECK_AT(i, values[i], 3 * (left + index) - (right + index));
    }
}

// Two producers and a consumer, ordered by events alone; repeated, so that buffers are reused.
void diamond(conformance::DeviceArray<int>& left, conformance::DeviceArray<int>& right,
             conformance::DeviceArray<int>& out) {
    cudaStream_t a, b, c;
    CUDA(cudaStreamCreateWithFlags(&a, cudaStreamNonBlocking));
    CUDA(cudaStreamCreateWithFlags(&b, cudaStreamNonBlocking));
    CUDA(cudaStreamCreateWithPriority(&c, cudaStreamNonBlocking, 0));
    cudaEvent_t a_done, b_done, c_done;
    for (cudaEvent_t* event : {&a_done, &b_done, &c_done})
        CUDA(cudaEventCreateWithFlags(event, cudaEventDisableTiming));
    std::vector<int> result(kCount);
    for (int round = 0; round < 20; ++round) {
        if (round > 0) {
            CUDA(cudaStreamWaitEvent(a, c_done, 0));
            CUDA(cudaStreamWaitEvent(b, c_done, 0));
        }
        fill<<<kBlocks, kThreads, 0, a>>>(left.data(), round);
        CUDA(cudaEventRecord(a_done, a));
        fill<<<kBlocks, kThreads, 0, b>>>(right.data(), 2 * round);
        CUDA(cudaEventRecord(b_done, b));
        CUDA(cudaStreamWaitEvent(c, a_done, 0));
        CUDA(cudaStreamWaitEvent(c, b_done, 0));
        combine<<<kBlocks, kThreads, 0, c>>>(left.data(), right.data(), out.data());
        CUDA(cudaEventRecord(c_done, c));
        if (round % 5 == 4) {
            CUDA(
                cudaMemcpyAsync(result.data(), out.data(), out.bytes(), cudaMemcpyDeviceToHost, c));
            CUDA(cudaStreamSynchronize(c));
            check_combined(result, round, 2 * round);
        }
    }
    conformance::report("diamond", result);
    for (cudaEvent_t event : {a_done, b_done, c_done}) CUDA(cudaEventDestroy(event));
    for (cudaStream_t stream : {a, b, c}) CUDA(cudaStreamDestroy(stream));
}

// A blocking stream waits for the legacy stream and the legacy stream for it, without an event.
void legacy_order(conformance::DeviceArray<int>& left, conformance::DeviceArray<int>& right,
                  conformance::DeviceArray<int>& out) {
    cudaStream_t blocking;
    CUDA(cudaStreamCreate(&blocking));
    fill<<<kBlocks, kThreads>>>(left.data(), 100);
    fill<<<kBlocks, kThreads, 0, blocking>>>(right.data(), 7);
    combine<<<kBlocks, kThreads>>>(left.data(), right.data(), out.data());
    fill<<<kBlocks, kThreads, 0, blocking>>>(right.data(), 8);
    CUDA(cudaGetLastError());
    CUDA(cudaDeviceSynchronize());
    check_combined(out.host(), 100, 7);
    conformance::report("legacy order", out.host());
    CUDA(cudaStreamDestroy(blocking));
}

void queries(conformance::DeviceArray<int>& values) {
    cudaStream_t stream;
    cudaEvent_t begin, end;
    CUDA(cudaStreamCreate(&stream));
    CUDA(cudaEventCreate(&begin));
    CUDA(cudaEventCreate(&end));
    CUDA(cudaStreamQuery(stream));
    CUDA(cudaEventQuery(begin));  // never recorded: complete
    CUDA(cudaEventRecord(begin, stream));
    fill<<<kBlocks, kThreads, 0, stream>>>(values.data(), 1);
    CUDA(cudaEventRecord(end, stream));
    const cudaError_t state = cudaEventQuery(end);
    CHECK(state == cudaSuccess || state == cudaErrorNotReady);
    CUDA(cudaEventSynchronize(end));
    CUDA(cudaEventQuery(end));
    CUDA(cudaStreamQuery(stream));
    (void)cudaGetLastError();  // a cudaErrorNotReady of the first query
    float milliseconds = -1;
    CUDA(cudaEventElapsedTime(&milliseconds, begin, end));
    CHECK(milliseconds >= 0 && milliseconds < 60000);

    unsigned flags = 99;
    int priority = 99, least = 99, greatest = 99;
    CUDA(cudaStreamGetFlags(stream, &flags));
    CUDA(cudaStreamGetPriority(stream, &priority));
    CUDA(cudaDeviceGetStreamPriorityRange(&least, &greatest));
    CHECK(flags == cudaStreamDefault && priority == 0 && greatest <= least);
    // Destroyed with work in flight: the work still ends.
    fill<<<kBlocks, kThreads, 0, stream>>>(values.data(), 5);
    CUDA(cudaStreamDestroy(stream));
    CUDA(cudaEventDestroy(begin));
    CUDA(cudaEventDestroy(end));
    CUDA(cudaDeviceSynchronize());
    CHECK(values.host()[3] == 8);
    std::printf("queries\n");
}

}  // namespace

int main() {
    conformance::DeviceArray<int> left(kCount), right(kCount), out(kCount);
    diamond(left, right, out);
    legacy_order(left, right, out);
    queries(out);
    return 0;
}
