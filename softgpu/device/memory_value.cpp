// SPDX-License-Identifier: Apache-2.0
#include "softgpu/device/memory_value.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include "softgpu/device/error.h"
#include "softgpu/device/issue.h"

namespace cubar::softgpu::device {
namespace {

using std::chrono::microseconds;

constexpr unsigned kCondition = 0x3;  // the bits of CU_STREAM_WAIT_VALUE_… that say what for

// How long a wait for a word pauses between looks, once it has looked a few times in a row.
constexpr int kEagerLooks = 200;
constexpr microseconds kLongestPause{100};

template <class Word>
bool fulfilled(Word found, Word value, unsigned condition) {
    using Signed = std::make_signed_t<Word>;
    switch (condition) {
        case CU_STREAM_WAIT_VALUE_GEQ:
            return static_cast<Signed>(found - value) >= 0;
        case CU_STREAM_WAIT_VALUE_EQ:
            return found == value;
        case CU_STREAM_WAIT_VALUE_AND:
            return (found & value) != 0;
        default:
            return static_cast<Word>(~(found | value)) != 0;
    }
}

template <class Word>
void write(Address address, std::uint64_t value) {
    // Pairs with whoever reads the word: the host program, or wait() of another stream.
    std::atomic_ref(*reinterpret_cast<Word*>(address))
        .store(static_cast<Word>(value), std::memory_order_release);
}

template <class Word>
void wait(const Stream& stream, Address address, std::uint64_t value, unsigned condition) {
    const std::atomic_ref word(*reinterpret_cast<Word*>(address));
    microseconds pause{1};
    for (int looks = 0; !stream.abandoned(); ++looks) {
        // Pairs with the store of the host program, or with write() of another stream.
        if (fulfilled(word.load(std::memory_order_acquire), static_cast<Word>(value), condition))
            return;
        if (looks < kEagerLooks) {
            std::this_thread::yield();
        } else {
            std::this_thread::sleep_for(pause);
            pause = std::min(pause * 2, kLongestPause);
        }
    }
}

}  // namespace

void ValueOperation::check(const Memory& memory) const {
    if (kind == Kind::kBarrier) return;
    require_value(address != 0 && address % bytes == 0, "the word is not aligned");
    require_value(memory.holds(address, bytes), "the word is not in memory that CUDA knows");
    if (kind == Kind::kWrite) {
        require_value((flags & ~unsigned{CU_STREAM_WRITE_VALUE_NO_MEMORY_BARRIER}) == 0,
                      "unknown flags");
        return;
    }
    require((flags & CU_STREAM_WAIT_VALUE_FLUSH) == 0, CUDA_ERROR_NOT_SUPPORTED,
            "remote writes cannot be flushed");
    require_value((flags & ~kCondition) == 0, "unknown flags");
}

void ValueOperation::perform(const Stream& stream) const {
    if (kind == Kind::kBarrier) {
        std::atomic_thread_fence(std::memory_order_seq_cst);
    } else if (kind == Kind::kWrite) {
        bytes == 4 ? write<std::uint32_t>(address, value) : write<std::uint64_t>(address, value);
    } else {
        const unsigned condition = flags & kCondition;
        bytes == 4 ? wait<std::uint32_t>(stream, address, value, condition)
                   : wait<std::uint64_t>(stream, address, value, condition);
    }
}

ValuesWork::ValuesWork(const Memory& memory, std::span<const ValueOperation> operations)
    : Work(CU_GRAPH_NODE_TYPE_BATCH_MEM_OP),
      operations_(operations.begin(), operations.end()),
      waits_(std::any_of(operations.begin(), operations.end(), [](const auto& each) {
          return each.kind == ValueOperation::Kind::kWait;
      })) {
    for (const ValueOperation& operation : operations_) operation.check(memory);
}

void ValuesWork::run(Stream& stream) const {
    for (const ValueOperation& operation : operations_) {
        // A fault while one waited: nothing after it happens.
        if (stream.abandoned()) return;
        if (operation.kind == ValueOperation::Kind::kBarrier ||
            may_touch(stream, operation.address, operation.bytes))
            operation.perform(stream);
    }
}

void run_values(Context& context, const StreamRef& stream,
                std::span<const ValueOperation> operations) {
    issue(context, stream, std::make_shared<ValuesWork>(context.memory(), operations));
}

}  // namespace cubar::softgpu::device
