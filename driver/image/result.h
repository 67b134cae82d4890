// SPDX-License-Identifier: Apache-2.0
// A value, or the reason why there is none. For readers of untrusted bytes.
#pragma once

#include <utility>

namespace cubar::driver::image {

struct Failure {
    const char* reason;  // static text, in lower case, for a log line or an error log buffer
};

template <typename T>
class [[nodiscard]] Result {
public:
    Result(T value) : value_(std::move(value)) {}         // NOLINT: implicit by design
    Result(Failure failure) : reason_(failure.reason) {}  // NOLINT: implicit by design

    explicit operator bool() const noexcept { return reason_ == nullptr; }
    const char* reason() const noexcept { return reason_; }  // null where there is a value
    Failure failure() const noexcept { return {reason_}; }

    // Only where there is a value.
    T& operator*() noexcept { return value_; }
    const T& operator*() const noexcept { return value_; }
    T* operator->() noexcept { return &value_; }
    const T* operator->() const noexcept { return &value_; }

private:
    T value_{};
    const char* reason_ = nullptr;
};

}  // namespace cubar::driver::image
