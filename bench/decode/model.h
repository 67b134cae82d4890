// SPDX-License-Identifier: Apache-2.0
// A decoder-only transformer on the GPU, with a KV cache and random weights.
#pragma once

#include <cublas_v2.h>
#include <cuda_fp16.h>

#include <cstddef>
#include <utility>
#include <vector>

#include "check.h"
#include "layers.h"
#include "shape.h"

namespace cubar::decode {

/// Elements in device memory.
template <typename T>
class DeviceArray {
public:
    explicit DeviceArray(std::size_t count) {
        check(cudaMalloc(&first_, count * sizeof(T)), "cudaMalloc");
    }
    DeviceArray(DeviceArray&& other) noexcept : first_(std::exchange(other.first_, nullptr)) {}
    DeviceArray& operator=(DeviceArray&&) = delete;
    ~DeviceArray() { cudaFree(first_); }
    T* get() const { return first_; }

private:
    T* first_ = nullptr;
};

std::size_t parameters(const Shape& shape);
/// Bytes of device memory that a model needs: its parameters and its cache.
std::size_t bytes_needed(const Shape& shape);

class Model {
public:
    /// Makes the weights. The stream is what all steps will be enqueued to.
    Model(const Shape& shape, cublasHandle_t cublas, cudaStream_t stream);

    /// Enqueues one step: reads input(), adds a position to the cache, makes logits() and token().
    void step();

    Input* input() const { return input_.get(); }
    const float* logits() const { return logits_.get(); }
    const int* token() const { return token_.get(); }

private:
    using Weights = DeviceArray<__half>;
    struct Layer {
        Weights attention_norm, query_key_value, attention_out;
        Weights feed_forward_norm, gate_up, down;
        Weights keys, values;  ///< the cache: one row of all heads for each position
    };

    Weights make(Part part, int layer = 0) const;
    Layer make_layer(int number) const;
    void attention(const Layer& layer);
    void feed_forward(const Layer& layer);
    /// out (f32) = matrix * in, or is increased by it.
    void multiply(Part part, const Weights& matrix, const __half* in, float* out,
                  bool increase = false) const;

    const Shape& shape_;
    cublasHandle_t cublas_;
    cudaStream_t stream_;
    Weights embedding_;
    std::vector<Layer> layers_;
    Weights final_norm_;
    Weights output_;
    DeviceArray<Input> input_;
    DeviceArray<float> state_;    ///< what the layers add to
    DeviceArray<__half> normed_;  ///< what goes into a product: as wide as any
    DeviceArray<float> query_key_value_;
    DeviceArray<float> gate_up_;
    DeviceArray<float> logits_;
    DeviceArray<int> token_;
};

}  // namespace cubar::decode
