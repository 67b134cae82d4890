// SPDX-License-Identifier: Apache-2.0
// The guest's end of a channel's command ring.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <span>

#include "cubar/layout.h"
#include "cubar/record.h"
#include "transport/device.h"
#include "transport/lock.h"
#include "transport/ordering.h"
#include "transport/wait.h"

namespace cubar::transport {

/// What a record says besides its request.
struct Call {
    std::uint32_t opcode;
    std::uint32_t thread;
    std::uint64_t context;
    std::uint64_t stream;
};

/// What became of a record that is not waited for.
struct Posted {
    Error error;
    Position position;  ///< end of the record in the stream, if there was no error
};

/// Builds records in the ring itself, from any number of threads, in the order of its lock. The
/// ring is mapped twice in a row, so no record wraps. A record costs two locked instructions on
/// private memory and a load of the worker's sleep flag; the doorbell only if that is set.
class RingProducer {
public:
    /// `doubled_ring`: kRingBytes of ring, mapped twice in a row.
    RingProducer(ChannelControl& control, std::byte* doubled_ring, const WaitContext& wait,
                 const Device& device, std::uint32_t worker_peer)
        : control_(control),
          ring_(doubled_ring),
          wait_(wait),
          device_(device),
          worker_peer_(worker_peer) {}
    RingProducer(const RingProducer&) = delete;
    RingProducer& operator=(const RingProducer&) = delete;

    /// A record under construction; holds the ring's lock until commit() or until it goes, when
    /// nothing was sent. Store each byte once and load none: the memory may be write-combining.
    class Build {
    public:
        explicit Build(Error error) : error_(error) {}
        Build(RingProducer& ring, std::byte* at, std::uint32_t bytes)
            : ring_(&ring), at_(at), bytes_(bytes) {}
        Build(const Build&) = delete;
        Build& operator=(const Build&) = delete;
        ~Build() {
            if (ring_ != nullptr) {
                ring_->lock_.unlock();
            }
        }

        explicit operator bool() const { return ring_ != nullptr; }
        Error error() const { return error_; }

        void set_header(const Call& call, std::uint32_t reply_slot) {
            // In place: a copy would wait for its own stores.
            ::new (at_) RecordHeader{bytes_,      call.opcode,  reply_slot,
                                     call.thread, call.context, call.stream};
        }
        /// Everything behind the header, padding included.
        std::byte* body() const { return at_ + sizeof(RecordHeader); }
        std::uint32_t body_bytes() const {
            return bytes_ - static_cast<std::uint32_t>(sizeof(RecordHeader));
        }

        /// Where it ends in the stream, once it is committed.
        Position end() const { return ring_->tail_ + bytes_; }

        /// Publishes the record, drops the lock and wakes the worker if it sleeps.
        Position commit() {
            RingProducer& ring = *ring_;
            ring_ = nullptr;
            return ring.publish(bytes_);
        }

    private:
        RingProducer* ring_ = nullptr;
        std::byte* at_ = nullptr;
        std::uint32_t bytes_ = 0;
        Error error_ = Error::kNone;
    };

    /// Begins a record with `body_bytes` behind its header. Waits for space if need be, without the
    /// lock. kTooLarge, or why the host will never make space.
    Build begin(std::size_t body_bytes) {
        if (body_bytes > kMaxRecordBytes - sizeof(RecordHeader)) {
            return Build(Error::kTooLarge);
        }
        const std::uint32_t bytes = record_bytes(sizeof(RecordHeader) + body_bytes);
        lock_.lock();
        if (tail_ + bytes - head_seen_ > kRingBytes) [[unlikely]] {
            if (const Error error = wait_for_space(bytes); error != Error::kNone) {
                return Build(error);
            }
        }
        return Build(*this, ring_ + (tail_ & (kRingBytes - 1)), bytes);
    }

    /// One whole record: header, request, payload.
    template <typename Request>
    Posted post(const Call& call, const Request& request, std::span<const std::byte> payload = {},
                std::uint32_t reply_slot = kNoReply) {
        static_assert(std::is_trivially_copyable_v<Request>);
        return post_parts(call, &request, sizeof request, payload, reply_slot);
    }

    /// The same for a request whose type is not at hand; inlined where the size is a constant.
    [[gnu::always_inline]] Posted post_parts(const Call& call, const void* request,
                                             std::size_t request_bytes,
                                             std::span<const std::byte> payload,
                                             std::uint32_t reply_slot) {
        if (payload.size() > kMaxRecordBytes) {
            return {Error::kTooLarge, 0};
        }
        Build build = begin(request_bytes + payload.size());
        if (!build) {
            return {build.error(), 0};
        }
        build.set_header(call, reply_slot);
        if (request_bytes != 0) {
            std::memcpy(build.body(), request, request_bytes);
        }
        if (!payload.empty()) {
            std::memcpy(build.body() + request_bytes, payload.data(), payload.size());
        }
        return {Error::kNone, build.commit()};
    }

    /// Position after the last record. Any thread; may be stale when it returns.
    Position position() const { return control_.tail.load(std::memory_order_relaxed); }

private:
    Position publish(std::uint32_t bytes) {
        const Position end = tail_ + bytes;
        tail_ = end;
        store_released<Barrier::kRecordBeforeTail>(control_.tail, end, wait_.memory);
        lock_.unlock();
        full_barrier_after_unlock<Barrier::kTailBeforeSleeping>(wait_.memory);
        if (control_.worker_sleeping.load(std::memory_order_relaxed) != 0) [[unlikely]] {
            device_.ring_doorbell(worker_peer_);
        }
        return end;
    }

    /// Called and, unless it fails, returns with the lock held.
    Error wait_for_space(std::uint32_t bytes);
    bool has_space(std::uint32_t bytes);

    ChannelControl& control_;
    std::byte* const ring_;
    const WaitContext& wait_;
    const Device& device_;
    const std::uint32_t worker_peer_;

    ShortLock lock_;
    Position tail_ = 0;       ///< what control_.tail says; under lock_
    Position head_seen_ = 0;  ///< last head that was seen; under lock_
    ShortLock space_lock_;    ///< held by the one thread that sleeps for space
};

}  // namespace cubar::transport
