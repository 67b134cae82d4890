// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "quantise.h"

namespace llama {

/// Writes a GGUF file: key-value pairs, then tensors whose rows are made only as they are written.
class Gguf {
public:
    void number(std::string_view key, uint32_t value);
    void real(std::string_view key, float value);
    void text(std::string_view key, std::string_view value);
    void texts(std::string_view key, const std::vector<std::string>& values);
    void reals(std::string_view key, const std::vector<float>& values);
    void numbers(std::string_view key, const std::vector<int32_t>& values);

    /// `values` returns all of the tensor's values, row by row. One row is a vector of `columns`.
    void tensor(std::string_view name, Type type, size_t columns, size_t rows,
                std::function<std::vector<float>()> values);

    /// False, with errno set, if the file cannot be written.
    [[nodiscard]] bool write(const std::string& path) const;

private:
    struct Tensor {
        std::string name;
        Type type;
        size_t columns;
        size_t rows;
        std::function<std::vector<float>()> values;
    };

    std::vector<uint8_t> pairs_;
    uint64_t pair_count_ = 0;
    std::vector<Tensor> tensors_;

    void key(std::string_view name, uint32_t type);
};

}  // namespace llama
