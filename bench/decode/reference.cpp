// SPDX-License-Identifier: Apache-2.0
#include "reference.h"

#include <cuda_fp16.h>

#include <algorithm>
#include <cmath>
#include <span>

#include "formulas.h"
#include "weights.h"

namespace cubar::decode {
namespace {

using Vector = std::vector<float>;

float rounded(double value) {
    return __half2float(__float2half_rn(static_cast<float>(value)));
}

Vector make(const Shape& shape, Part part, int layer = 0) {
    const Spread distribution = spread(shape, part, layer);
    Vector result(extent(shape, part).elements());
    for (std::size_t i = 0; i < result.size(); ++i) result[i] = rounded(weight(distribution, i));
    return result;
}

Vector multiply(const Vector& matrix, const Vector& in) {
    Vector result(matrix.size() / in.size());
    for (std::size_t row = 0; row < result.size(); ++row) {
        double sum = 0;
        for (std::size_t i = 0; i < in.size(); ++i) {
            sum += static_cast<double>(matrix[row * in.size() + i]) * in[i];
        }
        result[row] = static_cast<float>(sum);
    }
    return result;
}

void increase(Vector& by, const Vector& more) {
    for (std::size_t i = 0; i < by.size(); ++i) by[i] += more[i];
}

Vector normalise(const Vector& in, const Vector& weights) {
    double squares = 0;
    for (const float value : in) squares += static_cast<double>(value) * value;
    const double factor =
        1 / std::sqrt(squares / static_cast<double>(in.size()) + static_cast<double>(kNormEpsilon));
    Vector result(in.size());
    for (std::size_t i = 0; i < in.size(); ++i) result[i] = rounded(in[i] * factor * weights[i]);
    return result;
}

/// A layer with its cache: one row of all heads for each position.
struct Layer {
    Layer(const Shape& shape, int number)
        : attention_norm(make(shape, Part::kAttentionNorm, number)),
          query_key_value(make(shape, Part::kQueryKeyValue, number)),
          attention_out(make(shape, Part::kAttentionOut, number)),
          feed_forward_norm(make(shape, Part::kFeedForwardNorm, number)),
          gate_up(make(shape, Part::kGateUp, number)),
          down(make(shape, Part::kDown, number)) {}

    Vector attention_norm, query_key_value, attention_out;
    Vector feed_forward_norm, gate_up, down;
    std::vector<Vector> keys, values;
};

class Host {
public:
    explicit Host(const Shape& shape)
        : shape_(shape),
          embedding_(make(shape, Part::kEmbedding)),
          final_norm_(make(shape, Part::kFinalNorm)),
          output_(make(shape, Part::kOutput)) {
        for (int i = 0; i < shape.layers; ++i) layers_.emplace_back(shape, i);
    }

    Vector step(int token, int position) {
        const auto hidden = static_cast<std::size_t>(shape_.hidden);
        const auto row = embedding_.begin() +
                         static_cast<std::ptrdiff_t>(static_cast<std::size_t>(token) * hidden);
        Vector state(row, row + shape_.hidden);
        for (Layer& layer : layers_) {
            Vector in = normalise(state, layer.attention_norm);
            const Vector query_key_value = multiply(layer.query_key_value, in);
            increase(state,
                     multiply(layer.attention_out, attend(layer, query_key_value, position)));
            in = normalise(state, layer.feed_forward_norm);
            increase(state, multiply(layer.down, gate(multiply(layer.gate_up, in))));
        }
        return multiply(output_, normalise(state, final_norm_));
    }

private:
    Vector turned(std::span<const float> head, int position) const {
        const std::size_t half = head.size() / 2;
        Vector result(head.size());
        for (std::size_t i = 0; i < half; ++i) {
            const double angle = rotation(position, static_cast<int>(i), shape_.head_size);
            const double first = head[i], second = head[i + half];
            result[i] = static_cast<float>(first * std::cos(angle) - second * std::sin(angle));
            result[i + half] =
                static_cast<float>(first * std::sin(angle) + second * std::cos(angle));
        }
        return result;
    }

    Vector attend(Layer& layer, const Vector& query_key_value, int position) const {
        const auto size = static_cast<std::size_t>(shape_.head_size);
        const auto heads = static_cast<std::size_t>(shape_.heads);
        const auto kv_heads = static_cast<std::size_t>(shape_.kv_heads);
        const auto head_of = [&](std::size_t head) {
            return std::span(query_key_value).subspan(head * size, size);
        };
        Vector keys;
        Vector values;
        for (std::size_t head = 0; head < kv_heads; ++head) {
            for (const float key : turned(head_of(heads + head), position)) {
                keys.push_back(rounded(key));
            }
            for (const float value : head_of(heads + kv_heads + head)) {
                values.push_back(rounded(value));
            }
        }
        layer.keys.push_back(keys);
        layer.values.push_back(values);
        Vector out;
        for (std::size_t head = 0; head < heads; ++head) {
            const std::size_t from = head / (heads / kv_heads) * size;
            for (const double value : mean(layer, turned(head_of(head), position), from)) {
                out.push_back(rounded(value));
            }
        }
        return out;
    }

    /// The values of one head, weighted by the softmax of its keys' products with the query.
    static std::vector<double> mean(const Layer& layer, const Vector& query, std::size_t from) {
        std::vector<double> products;
        for (const Vector& key : layer.keys) {
            double product = 0;
            for (std::size_t i = 0; i < query.size(); ++i) {
                product += static_cast<double>(query[i]) * key[from + i];
            }
            products.push_back(product / std::sqrt(static_cast<double>(query.size())));
        }
        const double highest = *std::max_element(products.begin(), products.end());
        double total = 0;
        std::vector<double> result(query.size());
        for (std::size_t position = 0; position < products.size(); ++position) {
            const double share = std::exp(products[position] - highest);
            total += share;
            for (std::size_t i = 0; i < result.size(); ++i) {
                result[i] += share * layer.values[position][from + i];
            }
        }
        for (double& value : result) value /= total;
        return result;
    }

    static Vector gate(const Vector& gate_up) {
        const std::size_t size = gate_up.size() / 2;
        Vector result(size);
        for (std::size_t i = 0; i < size; ++i) {
            const double value = gate_up[i];
            result[i] = rounded(value / (1 + std::exp(-value)) * gate_up[size + i]);
        }
        return result;
    }

    const Shape& shape_;
    Vector embedding_;
    std::vector<Layer> layers_;
    Vector final_norm_;
    Vector output_;
};

}  // namespace

ReferenceRun reference(const Shape& shape, int tokens) {
    Host host(shape);
    ReferenceRun run;
    int position = 0;
    Vector logits;
    for (const int token : kPrompt) logits = host.step(token, position++);
    for (int i = 0; i < tokens; ++i) {
        const auto best = std::max_element(logits.begin(), logits.end());
        run.tokens.push_back(static_cast<int>(best - logits.begin()));
        run.logits.push_back(logits);
        if (i + 1 < tokens) logits = host.step(run.tokens.back(), position++);
    }
    return run;
}

}  // namespace cubar::decode
