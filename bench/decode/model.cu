// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "model.h"

namespace cubar::decode {
namespace {

constexpr Part kLayerParts[] = {Part::kAttentionNorm,   Part::kQueryKeyValue, Part::kAttentionOut,
                                Part::kFeedForwardNorm, Part::kGateUp,        Part::kDown};

std::size_t widest_input(const Shape& shape) {
    return std::size_t(std::max({shape.hidden, shape.query_rows(), shape.feed_forward}));
}

}  // namespace

std::size_t parameters(const Shape& shape) {
    std::size_t layer = 0;
    for (const Part part : kLayerParts) layer += extent(shape, part).elements();
    return std::size_t(shape.layers) * layer + extent(shape, Part::kEmbedding).elements() +
           extent(shape, Part::kFinalNorm).elements() + extent(shape, Part::kOutput).elements();
}

std::size_t bytes_needed(const Shape& shape) {
    const std::size_t cache =
        2 * std::size_t(shape.layers) * std::size_t(shape.context) * std::size_t(shape.kv_rows());
    return (parameters(shape) + cache) * sizeof(__half);
}

Model::Model(const Shape& shape, cublasHandle_t cublas, cudaStream_t stream)
    : shape_(shape),
      cublas_(cublas),
      stream_(stream),
      embedding_(make(Part::kEmbedding)),
      final_norm_(make(Part::kFinalNorm)),
      output_(make(Part::kOutput)),
      input_(1),
      state_(std::size_t(shape.hidden)),
      normed_(widest_input(shape)),
      query_key_value_(std::size_t(extent(shape, Part::kQueryKeyValue).rows)),
      gate_up_(std::size_t(extent(shape, Part::kGateUp).rows)),
      logits_(std::size_t(shape.vocabulary)),
      token_(1) {
    for (int layer = 0; layer < shape.layers; ++layer) layers_.push_back(make_layer(layer));
}

Model::Weights Model::make(Part part, int layer) const {
    const std::size_t count = extent(shape_, part).elements();
    Weights weights(count);
    fill(weights.get(), count, spread(shape_, part, layer), stream_);
    return weights;
}

Model::Layer Model::make_layer(int number) const {
    const std::size_t cache = std::size_t(shape_.context) * std::size_t(shape_.kv_rows());
    return {make(Part::kAttentionNorm, number),
            make(Part::kQueryKeyValue, number),
            make(Part::kAttentionOut, number),
            make(Part::kFeedForwardNorm, number),
            make(Part::kGateUp, number),
            make(Part::kDown, number),
            Weights(cache),
            Weights(cache)};
}

void Model::multiply(Part part, const Weights& matrix, const __half* in, float* out,
                     bool increase) const {
    const Extent size = extent(shape_, part);
    const float one = 1;
    const float before = increase ? 1 : 0;
    // Rows in memory are columns to cuBLAS.
    CUBAR_CHECK(cublasGemmEx(cublas_, CUBLAS_OP_T, CUBLAS_OP_N, size.rows, 1, size.columns, &one,
                             matrix.get(), CUDA_R_16F, size.columns, in, CUDA_R_16F, size.columns,
                             &before, out, CUDA_R_32F, size.rows, CUBLAS_COMPUTE_32F,
                             CUBLAS_GEMM_DEFAULT));
}

void Model::attention(const Layer& layer) {
    normalise(state_.get(), layer.attention_norm.get(), normed_.get(), shape_.hidden, stream_);
    multiply(Part::kQueryKeyValue, layer.query_key_value, normed_.get(), query_key_value_.get());
    rotate(input_.get(), shape_, query_key_value_.get(), layer.keys.get(), layer.values.get(),
           stream_);
    attend(input_.get(), shape_, query_key_value_.get(), layer.keys.get(), layer.values.get(),
           normed_.get(), stream_);
    multiply(Part::kAttentionOut, layer.attention_out, normed_.get(), state_.get(), true);
}

void Model::feed_forward(const Layer& layer) {
    normalise(state_.get(), layer.feed_forward_norm.get(), normed_.get(), shape_.hidden, stream_);
    multiply(Part::kGateUp, layer.gate_up, normed_.get(), gate_up_.get());
    gate(gate_up_.get(), normed_.get(), shape_.feed_forward, stream_);
    multiply(Part::kDown, layer.down, normed_.get(), state_.get(), true);
}

void Model::step() {
    embed(input_.get(), embedding_.get(), state_.get(), shape_.hidden, stream_);
    for (const Layer& layer : layers_) {
        attention(layer);
        feed_forward(layer);
    }
    normalise(state_.get(), final_norm_.get(), normed_.get(), shape_.hidden, stream_);
    multiply(Part::kOutput, output_, normed_.get(), logits_.get());
    choose(logits_.get(), shape_.vocabulary, token_.get(), stream_);
}

}  // namespace cubar::decode
