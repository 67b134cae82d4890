// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda.h>

#include <atomic>

namespace cubar::softgpu::device {

/// A context's sticky error: the first one stays, and work that begins after it is not done.
class FaultState {
public:
    [[nodiscard]] CUresult get() const { return error_.load(std::memory_order_acquire); }
    [[nodiscard]] bool faulted() const { return get() != CUDA_SUCCESS; }
    /// Keeps the first error of all callers.
    void set(CUresult error) {
        CUresult none = CUDA_SUCCESS;
        error_.compare_exchange_strong(none, error, std::memory_order_release,
                                       std::memory_order_relaxed);
    }

private:
    // Released by set() on a stream's thread, acquired by get() on the application's threads.
    std::atomic<CUresult> error_{CUDA_SUCCESS};
};

}  // namespace cubar::softgpu::device
