// SPDX-License-Identifier: Apache-2.0
// The loop around the model, as an inference engine has it: each token's input goes to the device,
// its logits and what was chosen come back, and the host waits before it begins the next.
#pragma once

#include <cublas_v2.h>
#include <cuda_runtime.h>

#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "model.h"
#include "shape.h"

namespace cubar::decode {

/// Pinned memory of the host.
template <typename T>
class PinnedArray {
public:
    explicit PinnedArray(std::size_t count) : count_(count) {
        check(cudaMallocHost(&first_, count * sizeof(T)), "cudaMallocHost");
    }
    PinnedArray(const PinnedArray&) = delete;
    PinnedArray& operator=(const PinnedArray&) = delete;
    ~PinnedArray() { cudaFreeHost(first_); }
    T* get() const { return first_; }
    std::span<T> all() const { return {first_, count_}; }

private:
    T* first_ = nullptr;
    std::size_t count_;
};

/// A stream and cuBLAS with a workspace of its own: it then gives the same bits in a captured graph
/// as outside, and allocates nothing in a capture. (It uses no atomics unless told to.)
class Library {
public:
    Library();
    Library(const Library&) = delete;
    Library& operator=(const Library&) = delete;
    ~Library();
    cudaStream_t stream() const { return stream_; }
    cublasHandle_t cublas() const { return cublas_; }

private:
    cudaStream_t stream_ = nullptr;
    cublasHandle_t cublas_ = nullptr;
    DeviceArray<char> workspace_;
};

enum class Way { kEager, kGraph };

class Decoder {
public:
    Decoder(const Shape& shape, const Library& library);
    Decoder(const Decoder&) = delete;
    Decoder& operator=(const Decoder&) = delete;
    ~Decoder();

    struct Run {
        std::vector<int> tokens;
        double tokens_per_s = 0;  ///< of these alone, not of the prompt
    };
    using OnLogits = std::function<void(std::span<const float>)>;
    /// Greedy decoding of so many tokens from kPrompt. `on_logits` sees what each was chosen from.
    Run run(Way way, int tokens, const OnLogits& on_logits = {});

    std::size_t graph_nodes() const;

private:
    int step(Way way, int token, int position);
    void capture();

    const Shape& shape_;
    cudaStream_t stream_;
    Model model_;
    PinnedArray<Input> input_;
    PinnedArray<float> logits_;
    PinnedArray<int> token_;
    cudaGraph_t graph_ = nullptr;
    cudaGraphExec_t executable_ = nullptr;
};

}  // namespace cubar::decode
