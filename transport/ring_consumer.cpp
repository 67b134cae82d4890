// SPDX-License-Identifier: Apache-2.0
#include "transport/ring_consumer.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <new>

#include "transport/futex.h"
#include "transport/ordering.h"

namespace cubar::transport {

Next RingConsumer::fail(const char* reason) {
    broken_ = reason;
    return Next::kBroken;
}

void RingConsumer::copy_out(Position from, void* to, std::size_t bytes) const {
    if (bytes == 0) {
        return;
    }
    const std::size_t at = from & (kRingBytes - 1);
    const std::size_t first = std::min(bytes, kRingBytes - at);
    std::memcpy(to, ring_ + at, first);
    std::memcpy(static_cast<std::byte*>(to) + first, ring_, bytes - first);
}

void RingConsumer::publish_head() {
    if (published_ == position_) {
        return;
    }
    published_ = position_;
    store_released<Barrier::kRecordBeforeHead>(control_.head, position_, MemoryType::kWriteBack);
    if (policy_ == WaitPolicy::kLocal) {
        full_barrier<Barrier::kHeadBeforeWaitsForSpace>(MemoryType::kWriteBack);
        if (control_.guest_waits_for_space.load(std::memory_order_relaxed) != 0) {
            futex_wake(low_half(control_.head), 1, FutexScope::kShared);
        }
    }
}

Next RingConsumer::next(Record& into) {
    if (broken_ != nullptr) {
        return Next::kBroken;
    }
    if (position_ - published_ >= kPublishEvery) {
        publish_head();
    }
    if (tail_seen_ == position_) {
        const Position tail = load_acquired<Barrier::kTailBeforeRecord>(control_.tail);
        if (tail == position_) {
            publish_head();
            return Next::kEmpty;
        }
        if (tail - position_ > kRingBytes) {
            return fail("the tail left the ring");
        }
        if (tail % kRecordAlign != 0) {
            return fail("the tail is not aligned");
        }
        tail_seen_ = tail;
    }
    const std::size_t available = tail_seen_ - position_;
    if (available < sizeof(RecordHeader)) {
        return fail("the tail cuts a header");
    }
    copy_out(position_, &into.header_, sizeof into.header_);
    const RecordHeader& header = into.header_;
    if (header.bytes < sizeof(RecordHeader) || header.bytes % kRecordAlign != 0) {
        return fail("a record's size is no record's");
    }
    if (header.bytes > kMaxRecordBytes) {
        return fail("a record is too large");
    }
    if (header.bytes > available) {
        return fail("a record exceeds the tail");
    }
    if (header.reply_slot >= kReplySlots && header.reply_slot != kNoReply) {
        return fail("a record names no reply slot");
    }
    const std::size_t body = header.bytes - sizeof(RecordHeader);
    if (body > into.capacity_) {
        const std::size_t capacity = std::bit_ceil(std::max<std::size_t>(body, 256));
        into.body_.reset(new (std::nothrow) std::byte[capacity]);
        into.capacity_ = into.body_ != nullptr ? capacity : 0;
        if (into.body_ == nullptr) {
            return fail("the worker is out of memory");
        }
    }
    copy_out(position_ + sizeof(RecordHeader), into.body_.get(), body);
    into.body_bytes_ = body;
    position_ += header.bytes;
    into.end_ = position_;
    return Next::kRecord;
}

bool RingConsumer::spin() {
    const auto has_work = [&] {
        return load_acquired<Barrier::kTailBeforeRecord>(control_.tail) != position_;
    };
    if (has_work()) {
        return true;
    }
    if (policy_ == WaitPolicy::kLocal) {
        const std::uint32_t cpu = this_cpu();
        if (control_.worker_cpu.load(std::memory_order_relaxed) != cpu) {
            control_.worker_cpu.store(cpu, std::memory_order_relaxed);
        }
    }
    Spin spin(policy_, budget_, control_.guest_cpu);
    while (spin.again()) {
        if (has_work()) {
            return true;
        }
    }
    return has_work();
}

bool RingConsumer::prepare_to_sleep() {
    control_.worker_sleeping.store(1, std::memory_order_relaxed);
    full_barrier<Barrier::kSleepingBeforeTail>(MemoryType::kWriteBack);
    if (load_acquired<Barrier::kTailBeforeRecord>(control_.tail) != position_) {
        control_.worker_sleeping.store(0, std::memory_order_relaxed);
        return false;
    }
    return true;
}

void RingConsumer::woke() {
    control_.worker_sleeping.store(0, std::memory_order_relaxed);
    std::uint64_t rings = 0;
    // Non-blocking, like every doorbell: empty if something else woke the worker.
    static_cast<void>(!read(doorbell_, &rings, sizeof rings));
}

bool RingConsumer::sleep(std::span<pollfd> others, int limit_ms) {
    if (broken_ != nullptr || !prepare_to_sleep()) {
        return true;
    }
    std::array<pollfd, 8> all{};
    const std::size_t count = std::min(others.size(), all.size() - 1);
    all[0] = {doorbell_, POLLIN, 0};
    std::copy_n(others.begin(), count, all.begin() + 1);
    poll(all.data(), count + 1, limit_ms);
    std::copy_n(all.begin() + 1, count, others.begin());
    woke();
    return all[0].revents != 0;
}

}  // namespace cubar::transport
