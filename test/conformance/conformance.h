// SPDX-License-Identifier: Apache-2.0
// What the conformance programs share: checks that end the program, printed seeds, checksums.
//
// A program prints the same bytes on every run (no pointers, no times), checks what the device
// computed against the host, and exits with 0 or, at the first mismatch, with 1.
#pragma once

#include <cuda_runtime.h>

#include <cinttypes>
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <vector>

namespace conformance {

/// Names the place and the reason on stdout and ends the program with exit code 1.
[[noreturn]] inline void fail(const char* file, int line, const char* format, ...) {
    const char* slash = std::strrchr(file, '/');
    std::printf("FAILED %s:%d: ", slash ? slash + 1 : file, line);
    std::va_list arguments;
    va_start(arguments, format);
    std::vprintf(format, arguments);
    va_end(arguments);
    std::printf("\n");
    std::fflush(stdout);
    std::_Exit(1);
}

inline void expect(cudaError_t got, cudaError_t want, const char* call, const char* file,
                   int line) {
    if (got != want)
        fail(file, line, "%s: got %s, expected %s", call, cudaGetErrorName(got),
             cudaGetErrorName(want));
}

/// A reproducible sequence (splitmix64). The seed is printed, CONFORMANCE_SEED replaces it.
class Random {
public:
    explicit Random(std::uint64_t seed) : state_(seed) {
        if (const char* chosen = std::getenv("CONFORMANCE_SEED"))
            state_ = std::strtoull(chosen, nullptr, 0);
        std::printf("seed %" PRIu64 "\n", state_);
    }

    std::uint64_t next() {
        state_ += 0x9e3779b97f4a7c15u;
        std::uint64_t mixed = state_;
        mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9u;
        mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111ebu;
        return mixed ^ (mixed >> 31);
    }

    /// A number in [0, bound).
    std::uint32_t below(std::uint32_t bound) { return static_cast<std::uint32_t>(next() % bound); }

    /// A number in [low, high).
    double between(double low, double high) {
        return low + (high - low) * static_cast<double>(next() >> 11) * 0x1p-53;
    }

private:
    std::uint64_t state_;
};

/// Device memory for `size()` elements, freed with its owner.
template <typename T>
class DeviceArray {
public:
    explicit DeviceArray(std::size_t size) : size_(size) {
        expect(cudaMalloc(&data_, size * sizeof(T)), cudaSuccess, "cudaMalloc", __FILE__, __LINE__);
    }
    explicit DeviceArray(const std::vector<T>& values) : DeviceArray(values.size()) {
        expect(cudaMemcpy(data_, values.data(), bytes(), cudaMemcpyHostToDevice), cudaSuccess,
               "cudaMemcpy to the device", __FILE__, __LINE__);
    }
    DeviceArray(const DeviceArray&) = delete;
    DeviceArray& operator=(const DeviceArray&) = delete;
    ~DeviceArray() { cudaFree(data_); }

    T* data() const { return data_; }
    std::size_t size() const { return size_; }
    std::size_t bytes() const { return size_ * sizeof(T); }

    /// A copy on the host; waits for all earlier work of the default stream.
    std::vector<T> host() const {
        std::vector<T> values(size_);
        expect(cudaMemcpy(values.data(), data_, bytes(), cudaMemcpyDeviceToHost), cudaSuccess,
               "cudaMemcpy to the host", __FILE__, __LINE__);
        return values;
    }

private:
    T* data_ = nullptr;
    std::size_t size_;
};

/// Prints a checksum (FNV-1a) of the values, so that two runs can be compared byte by byte.
template <typename T>
void report(const char* name, const T* values, std::size_t count) {
    std::uint64_t hash = 0xcbf29ce484222325u;
    const auto* bytes = reinterpret_cast<const unsigned char*>(values);
    for (std::size_t i = 0; i < count * sizeof(T); ++i) hash = (hash ^ bytes[i]) * 0x100000001b3u;
    std::printf("%s: %zu values, checksum %016" PRIx64 "\n", name, count, hash);
}

template <typename T>
void report(const char* name, const std::vector<T>& values) {
    report(name, values.data(), values.size());
}

/// The number of blocks of `threads` that cover `count` elements.
constexpr unsigned blocks_for(std::size_t count, unsigned threads) {
    return static_cast<unsigned>((count + threads - 1) / threads);
}

}  // namespace conformance

/// Ends the program unless the condition holds.
#define CHECK(condition)                                                           \
    do {                                                                           \
        if (!(condition)) conformance::fail(__FILE__, __LINE__, "%s", #condition); \
    } while (false)

/// Ends the program unless element `index` of a result has the expected value.
#define CHECK_AT(index, got, want)                                                              \
    do {                                                                                        \
        if (!((got) == (want)))                                                                 \
            conformance::fail(__FILE__, __LINE__, "%s at %zu: got %.17g, expected %.17g", #got, \
                              static_cast<std::size_t>(index), static_cast<double>(got),        \
                              static_cast<double>(want));                                       \
    } while (false)

/// Ends the program unless the runtime call succeeds.
#define CUDA(call) conformance::expect((call), cudaSuccess, #call, __FILE__, __LINE__)

/// Ends the program unless the runtime call fails with exactly this error.
#define CUDA_FAILS(call, error) conformance::expect((call), (error), #call, __FILE__, __LINE__)
