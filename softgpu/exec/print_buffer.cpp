// SPDX-License-Identifier: Apache-2.0
#include "softgpu/exec/print_buffer.h"

#include <utility>

namespace cubar::softgpu::exec {

void PrintBuffer::set_capacity(size_t capacity) {
    const std::lock_guard lock(mutex_);
    capacity_ = capacity;
    drop_oldest();
}

size_t PrintBuffer::capacity() const {
    const std::lock_guard lock(mutex_);
    return capacity_;
}

void PrintBuffer::append(std::string text) {
    const std::lock_guard lock(mutex_);
    held_ += text.size();
    texts_.push_back(std::move(text));
    drop_oldest();
}

std::string PrintBuffer::drain() {
    std::deque<std::string> texts;
    {
        const std::lock_guard lock(mutex_);
        texts.swap(texts_);
        held_ = 0;
    }
    std::string all;
    for (const std::string& text : texts) all += text;
    return all;
}

void PrintBuffer::drop_oldest() {
    while (held_ > capacity_) {
        held_ -= texts_.front().size();
        texts_.pop_front();
    }
}

}  // namespace cubar::softgpu::exec
