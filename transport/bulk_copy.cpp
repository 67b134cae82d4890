// SPDX-License-Identifier: Apache-2.0
#include "transport/bulk_copy.h"

#include <cpuid.h>
#include <immintrin.h>

#include <atomic>
#include <cstring>

#include "transport/ordering.h"

namespace cubar::transport {

namespace {

constexpr std::size_t kLane = 16;
/// Copies into cached memory from this size on would only push out what the program needs there.
constexpr std::size_t kBypassCache = std::size_t{256} << 10;

std::size_t to_next_lane(const std::byte* at) {
    return -reinterpret_cast<std::uintptr_t>(at) & (kLane - 1);
}

/// Non-temporal stores; `bulk` on a lane, `bytes` whole lanes.
void stream_out(std::byte* bulk, const std::byte* source, std::size_t bytes) {
    for (std::size_t at = 0; at < bytes; at += kLane) {
        _mm_stream_si128(reinterpret_cast<__m128i*>(bulk + at),
                         _mm_loadu_si128(reinterpret_cast<const __m128i*>(source + at)));
    }
}

/// Streaming loads; `bulk` on a lane, `bytes` whole lanes.
[[gnu::target("sse4.1")]] void stream_in(std::byte* target, const std::byte* bulk,
                                         std::size_t bytes) {
    for (std::size_t at = 0; at < bytes; at += kLane) {
        // The intrinsic takes a pointer to non-const and only reads.
        auto* lane = reinterpret_cast<__m128i*>(const_cast<std::byte*>(bulk + at));
        _mm_storeu_si128(reinterpret_cast<__m128i*>(target + at), _mm_stream_load_si128(lane));
    }
}

/// Asked once: CPUID leaves a virtual machine.
bool has_streaming_loads() {
    enum : std::uint8_t { kUnknown, kNo, kYes };
    static constinit std::atomic<std::uint8_t> known{kUnknown};
    std::uint8_t answer = known.load(std::memory_order_relaxed);
    if (answer == kUnknown) {
        unsigned a = 0, b = 0, c = 0, d = 0;
        answer = __get_cpuid(1, &a, &b, &c, &d) != 0 && (c & bit_SSE4_1) != 0 ? kYes : kNo;
        known.store(answer, std::memory_order_relaxed);
    }
    return answer == kYes;
}

}  // namespace

void bulk_write(std::byte* bulk, const std::byte* source, std::size_t bytes, MemoryType memory) {
    if (memory == MemoryType::kWriteBack && bytes < kBypassCache) {
        std::memcpy(bulk, source, bytes);
        return;
    }
    const std::size_t head = std::min(bytes, to_next_lane(bulk));
    const std::size_t body = (bytes - head) & ~(kLane - 1);
    std::memcpy(bulk, source, head);
    stream_out(bulk + head, source + head, body);
    std::memcpy(bulk + head + body, source + head + body, bytes - head - body);
    store_fence<Barrier::kBulkBeforeTail>();
}

void bulk_read(std::byte* target, const std::byte* bulk, std::size_t bytes, MemoryType memory) {
    full_barrier<Barrier::kFenceBeforeBulkLoads>(memory);
    if (memory == MemoryType::kWriteBack || !has_streaming_loads()) {
        std::memcpy(target, bulk, bytes);
        return;
    }
    // The ends too are read by whole lanes: a load of some bytes costs as much as one of sixteen.
    // A lane that holds one of our bytes lies on our page.
    alignas(kLane) std::byte lane[kLane];
    const std::size_t head = std::min(bytes, to_next_lane(bulk));
    if (head != 0) {
        const std::size_t skip = kLane - to_next_lane(bulk);
        stream_in(lane, bulk - skip, kLane);
        std::memcpy(target, lane + skip, head);
    }
    const std::size_t body = (bytes - head) & ~(kLane - 1);
    stream_in(target + head, bulk + head, body);
    const std::size_t tail = bytes - head - body;
    if (tail != 0) {
        stream_in(lane, bulk + head + body, kLane);
        std::memcpy(target + head + body, lane, tail);
    }
}

}  // namespace cubar::transport
