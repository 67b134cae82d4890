// SPDX-License-Identifier: Apache-2.0
// A CUDA process that the VM tests steer: it obeys lines of stdin and answers each with a line.
//   hold MIB             allocates and fills so much, keeps it
//   free                 free device memory in bytes
//   await BYTES SECONDS  waits until so much is free
//   compute              runs a kernel and checks its result
//   spin                 launches and copies until an error comes or the process is killed
// An error is answered with "error NAME", and ends the process with 3.
#include <cuda_runtime.h>

#include <chrono>
#include <cstdlib>
#include <iostream>
#include <sstream>
#include <string>
#include <vector>

namespace {

constexpr int kCount = 4096;

__global__ void advance(int* values, int step) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    values[i] += step * i;
}

void check(cudaError_t error) {
    if (error == cudaSuccess) return;
    std::cout << "error " << cudaGetErrorName(error) << std::endl;
    std::_Exit(3);
}

std::size_t free_memory() {
    std::size_t available = 0, total = 0;
    check(cudaMemGetInfo(&available, &total));
    return available;
}

void hold(std::istream& words) {
    std::size_t mebibytes = 0;
    words >> mebibytes;
    void* memory = nullptr;
    check(cudaMalloc(&memory, mebibytes << 20));
    check(cudaMemset(memory, 1, mebibytes << 20));
    check(cudaDeviceSynchronize());
    std::cout << "holding " << mebibytes << std::endl;
}

void await(std::istream& words) {
    std::size_t bytes = 0;
    double seconds = 0;
    words >> bytes >> seconds;
    const auto begin = std::chrono::steady_clock::now();
    const auto limit = begin + std::chrono::duration<double>(seconds);
    while (free_memory() < bytes) {
        if (std::chrono::steady_clock::now() > limit) {
            std::cout << "short " << bytes - free_memory() << std::endl;
            return;
        }
    }
    std::cout << "back" << std::endl;
}

/// Rounds of additions on `values`, and the result of the last one.
std::vector<int> run_rounds(int* values, int rounds) {
    check(cudaMemset(values, 0, kCount * sizeof *values));
    for (int round = 1; round <= rounds; ++round) {
        advance<<<kCount / 128, 128>>>(values, round);
        check(cudaGetLastError());
    }
    std::vector<int> result(kCount);
    check(cudaMemcpy(result.data(), values, kCount * sizeof *values, cudaMemcpyDeviceToHost));
    return result;
}

bool computes(int* values) {
    const int rounds = 20;
    const auto result = run_rounds(values, rounds);
    for (int i = 0; i < kCount; ++i)
        if (result[i] != i * rounds * (rounds + 1) / 2) return false;
    return true;
}

}  // namespace

int main() {
    int* values = nullptr;
    check(cudaMalloc(&values, kCount * sizeof *values));
    std::cout << "ready" << std::endl;
    for (std::string line; std::getline(std::cin, line);) {
        std::istringstream words(line);
        std::string command;
        words >> command;
        if (command == "hold") {
            hold(words);
        } else if (command == "free") {
            std::cout << "free " << free_memory() << std::endl;
        } else if (command == "await") {
            await(words);
        } else if (command == "compute") {
            std::cout << (computes(values) ? "right" : "wrong") << std::endl;
        } else if (command == "spin") {
            std::cout << "spinning" << std::endl;
            for (;;) run_rounds(values, 50);
        } else if (command == "quit") {
            return 0;
        } else {
            std::cout << "unknown command " << command << std::endl;
            return 2;
        }
    }
    return 0;
}
