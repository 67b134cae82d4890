// SPDX-License-Identifier: Apache-2.0
// The barriers of the protocol by name: the one place that knows which instruction each of them is.
//
// test/model checks the protocol over store buffers, write-combining buffers and early loads, and
// fails when any one of these is taken away. docs/protocol.md draws which pairs with which.
//
// Full barriers and store fences are instructions (asm) beside atomics that are ordered for the
// compiler, not std::atomic_thread_fence: that one means nothing to the thread sanitizer, which
// follows the acquire and release operations here, and says nothing about write-combined memory.
#pragma once

#include <atomic>
#include <cstdint>

#include "cubar/layout.h"
#include "transport/memory_type.h"

#ifndef __x86_64__
#error "cubar's ordering rules are those of x86-64"
#endif

namespace cubar::transport {

enum class Barrier : std::uint8_t {
    // Guest.
    kRecordBeforeTail,    ///< store fence + release; pairs with kTailBeforeRecord
    kBulkBeforeTail,      ///< store fence after non-temporal stores; pairs with kTailBeforeRecord
    kTailBeforeSleeping,  ///< full; pairs with kSleepingBeforeTail
    kWaitsForSpaceBeforeHead,  ///< full; pairs with kHeadBeforeWaitsForSpace
    kReplyWaitBeforeState,     ///< full; pairs with kStateBeforeReplyWait
    kStateBeforeAnswer,        ///< acquire; pairs with kAnswerBeforeState
    kFenceBeforeBulkLoads,     ///< full; pairs with kBulkBeforeFence
    // Host.
    kTailBeforeRecord,         ///< acquire; pairs with kRecordBeforeTail and kBulkBeforeTail
    kRecordBeforeHead,         ///< release; pairs with the guest's acquire load of head
    kSleepingBeforeTail,       ///< full; pairs with kTailBeforeSleeping
    kHeadBeforeWaitsForSpace,  ///< full; pairs with kWaitsForSpaceBeforeHead
    kAnswerBeforeState,        ///< release; pairs with kStateBeforeAnswer
    kStateBeforeReplyWait,     ///< full; pairs with kReplyWaitBeforeState
    kBulkBeforeFence,          ///< release; pairs with kFenceBeforeBulkLoads
    kLast = kBulkBeforeFence,
};
inline constexpr unsigned kBarriers = static_cast<unsigned>(Barrier::kLast) + 1;

/// What a barrier is made of. A release or acquire costs x86 nothing and binds the compiler.
enum class BarrierKind : std::uint8_t { kStoreRelease, kLoadAcquire, kStoreFence, kFull };

constexpr BarrierKind kind_of(Barrier barrier) {
    switch (barrier) {
        case Barrier::kBulkBeforeTail:
            return BarrierKind::kStoreFence;
        case Barrier::kRecordBeforeTail:
        case Barrier::kRecordBeforeHead:
        case Barrier::kAnswerBeforeState:
        case Barrier::kBulkBeforeFence:
            return BarrierKind::kStoreRelease;
        case Barrier::kStateBeforeAnswer:
        case Barrier::kTailBeforeRecord:
            return BarrierKind::kLoadAcquire;
        case Barrier::kTailBeforeSleeping:
        case Barrier::kWaitsForSpaceBeforeHead:
        case Barrier::kReplyWaitBeforeState:
        case Barrier::kFenceBeforeBulkLoads:
        case Barrier::kSleepingBeforeTail:
        case Barrier::kHeadBeforeWaitsForSpace:
        case Barrier::kStateBeforeReplyWait:
            return BarrierKind::kFull;
    }
    return BarrierKind::kFull;
}

/// The name as it stands in the code, for the model's report.
const char* name_of(Barrier barrier);

inline void pause_cpu() {
    __builtin_ia32_pause();
}

/// SFENCE: what was stored to write-combined memory, or non-temporally, comes before later stores.
inline void fence_stores() {
    asm volatile("sfence" ::: "memory");
}

/// Publishes with a plain store; earlier stores to `memory` come first.
template <Barrier B, typename T>
inline void store_released(Shared<T>& word, T value, MemoryType memory) {
    static_assert(kind_of(B) == BarrierKind::kStoreRelease);
    if (memory == MemoryType::kWriteCombining) {
        fence_stores();
    }
    word.store(value, std::memory_order_release);
}

template <Barrier B, typename T>
inline T load_acquired(const Shared<T>& word) {
    static_assert(kind_of(B) == BarrierKind::kLoadAcquire);
    return word.load(std::memory_order_acquire);
}

/// Orders non-temporal stores, whatever memory they went to.
template <Barrier B>
inline void store_fence() {
    static_assert(kind_of(B) == BarrierKind::kStoreFence);
    fence_stores();
}

/// Orders earlier stores and loads before later loads. A locked instruction on this thread's own
/// stack does it for cached memory, a third cheaper; MFENCE also orders write-combined memory and
/// streaming loads.
template <Barrier B>
inline void full_barrier(MemoryType memory) {
    static_assert(kind_of(B) == BarrierKind::kFull);
    if (memory == MemoryType::kWriteBack) {
        asm volatile("lock orl $0, (%%rsp)" ::: "memory", "cc");
    } else {
        asm volatile("mfence" ::: "memory");
    }
}

/// The same where a locked instruction on private memory (ShortLock::unlock) has just been
/// executed.
template <Barrier B>
inline void full_barrier_after_unlock(MemoryType memory) {
    static_assert(kind_of(B) == BarrierKind::kFull);
    if (memory == MemoryType::kWriteBack) {
        asm volatile("" ::: "memory");
    } else {
        asm volatile("mfence" ::: "memory");
    }
}

}  // namespace cubar::transport
