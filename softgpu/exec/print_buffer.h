// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <deque>
#include <mutex>
#include <string>

namespace cubar::softgpu::exec {

/// Where device printf goes until the host synchronises. Bounded as CU_LIMIT_PRINTF_FIFO_SIZE:
/// when it is full the oldest output is lost, as CUDA documents. Thread-safe.
class PrintBuffer {
public:
    static constexpr size_t kDefaultCapacity = size_t{1} << 20;

    explicit PrintBuffer(size_t capacity = kDefaultCapacity) : capacity_(capacity) {}

    /// Bytes of formatted text kept at most; less than what is held drops the oldest.
    void set_capacity(size_t capacity);
    [[nodiscard]] size_t capacity() const;

    /// One printf call's text.
    void append(std::string text);
    /// Takes everything out, in the order in which it was printed.
    [[nodiscard]] std::string drain();

private:
    void drop_oldest();

    mutable std::mutex mutex_;
    size_t capacity_;
    size_t held_ = 0;
    std::deque<std::string> texts_;
};

}  // namespace cubar::softgpu::exec
