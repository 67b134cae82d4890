// SPDX-License-Identifier: Apache-2.0
// The text of a failed assert is on stderr when the call that tells of it returns, whichever it is.
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cassert>
#include <string>

#include "conformance.h"

namespace {

__global__ void fails(int* memory, const volatile int* go) {
    while (*go == 0) {
    }
    assert(threadIdx.x != 33 || memory[0] == 5);
}

constexpr int kBytes = 256;

struct Way {
    const char* name;
    cudaError_t (*call)(int* memory, cudaStream_t stream, cudaEvent_t event);
};

constexpr Way kWays[] = {
    {"cudaDeviceSynchronize",
     [](int*, cudaStream_t, cudaEvent_t) { return cudaDeviceSynchronize(); }},
    {"cudaStreamSynchronize",
     [](int*, cudaStream_t stream, cudaEvent_t) { return cudaStreamSynchronize(stream); }},
    {"cudaEventSynchronize",
     [](int*, cudaStream_t, cudaEvent_t event) { return cudaEventSynchronize(event); }},
    {"cudaMemcpy",
     [](int* memory, cudaStream_t, cudaEvent_t) {
         char bytes[kBytes];
         return cudaMemcpy(bytes, memory, kBytes, cudaMemcpyDeviceToHost);
     }},
};

/// In a process of its own, since nothing works after a fault.
void run(const Way& way) {
    const int errors = memfd_create("errors", 0);
    CHECK(errors >= 0 && dup2(errors, STDERR_FILENO) == STDERR_FILENO);
    int* memory = nullptr;
    cudaStream_t stream;
    cudaEvent_t event;
    CUDA(cudaMalloc(&memory, kBytes));
    CUDA(cudaMemset(memory, 0, kBytes));
    CUDA(cudaStreamCreate(&stream));
    CUDA(cudaEventCreate(&event));
    int* go = nullptr;
    CUDA(cudaMallocHost(&go, sizeof *go));
    *go = 0;
    fails<<<1, 64, 0, stream>>>(memory, go);
    CUDA(cudaEventRecord(event, stream));  // before the fault, which any call might tell of
    *static_cast<volatile int*>(go) = 1;
    const cudaError_t error = way.call(memory, stream, event);
    char said[4096] = {};
    const ssize_t said_bytes = pread(errors, said, sizeof said - 1, 0);
    CHECK(error == cudaErrorAssert);
    const std::string text(said, static_cast<std::size_t>(said_bytes < 0 ? 0 : said_bytes));
    CHECK(text.find("assert_text.cu:17: ") != std::string::npos);
    CHECK(text.find("block: [0,0,0], thread: [33,0,0] Assertion "
                    "`threadIdx.x != 33 || memory[0] == 5` failed.") != std::string::npos);
    CHECK(text.find("Assertion") == text.rfind("Assertion"));
    std::printf("%s: %s", way.name, text.c_str());
    std::fflush(stdout);
}

}  // namespace

int main() {
    for (const Way& way : kWays) {
        const pid_t child = fork();
        if (child == 0) {
            run(way);
            _exit(0);
        }
        int status = 0;
        CHECK(waitpid(child, &status, 0) == child && status == 0);
    }
    return 0;
}
