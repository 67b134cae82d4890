// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <span>
#include <string_view>

namespace cubar::guest {

/// A parameter's place in the kernel's parameter block, in bytes.
struct KernelParameter {
    std::uint16_t offset;
    std::uint16_t size;
};

inline constexpr std::size_t kFunctionAttributes = 16;  ///< CUfunction_attribute values below this

/// What a launch needs of a kernel and what applications ask for, as the host told it once. Shared
/// by a CUkernel and its CUfunctions. Constant once made, but for the attributes that can be set.
struct KernelFacts {
    std::span<const KernelParameter> parameters;  ///< in order of their index
    std::uint32_t parameter_bytes = 0;            ///< of the whole block
    bool prints = false;                          ///< calls vprintf
    std::array<std::atomic<std::int32_t>, kFunctionAttributes> attribute{};
    std::string_view name;  ///< ends with a zero byte

    std::uint32_t references = 0;  ///< guarded by the pool
    std::size_t capacity = 0;      ///< bytes behind this object for parameters and name
    KernelFacts* next_free = nullptr;
};

/// Owns all KernelFacts. They are recycled, never returned to the heap, so that a launch that races
/// with the unloading of its module reads stale facts, not freed memory.
class KernelFactsPool {
public:
    KernelFactsPool() = default;
    KernelFactsPool(const KernelFactsPool&) = delete;
    KernelFactsPool& operator=(const KernelFactsPool&) = delete;

    /// Facts with room for these, one reference held by the caller; null: out of memory.
    KernelFacts* make(std::span<const KernelParameter> parameters, std::string_view name);
    KernelFacts* share(KernelFacts* facts);
    void release(KernelFacts* facts);

private:
    std::mutex mutex_;
    KernelFacts* free_ = nullptr;
};

}  // namespace cubar::guest
