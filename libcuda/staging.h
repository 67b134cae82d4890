// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <mutex>
#include <utility>

#include "cubar/handle.h"
#include "cubar/layout.h"
#include "cubar/record.h"
#include "transport/futex.h"
#include "transport/wait.h"

namespace cubar::guest {

/// A part of the arena through which pageable memory is copied. The GPU writes the chunk's fence
/// when it has read or filled it.
struct StagingChunk {
    std::uint64_t offset = 0;  ///< in the arena
    std::uint32_t fence = kNoFence;
    Position busy_until = 0;  ///< end of the last record that used it
    ContextHandle context;    ///< in which that record runs

    static constexpr std::size_t kBytes = std::size_t{512} << 10;
};

/// A granule's worth of chunks: what one copy uses at a time.
struct StagingSet {
    static constexpr std::size_t kChunks = kGranuleBytes / StagingChunk::kBytes;
    std::array<StagingChunk, kChunks> chunks;
};

/// The staging memory of this process, leased from the host one set at a time as copies that run
/// at once need it. Thread-safe.
class StagingPool {
public:
    static constexpr std::size_t kSets = kStagingFences / StagingSet::kChunks;

    /// Lends the set that has been unused longest; waits where all are lent.
    class Loan {
    public:
        Loan() = default;
        Loan(StagingPool& pool, StagingSet& set) : pool_(&pool), set_(&set) {}
        Loan(const Loan&) = delete;
        Loan& operator=(const Loan&) = delete;
        Loan(Loan&& other) noexcept
            : pool_(other.pool_), set_(std::exchange(other.set_, nullptr)) {}
        Loan& operator=(Loan&&) = delete;
        ~Loan() {
            if (set_ != nullptr) pool_->give_back(*set_);
        }
        /// Gives this set back and takes over the other loan's.
        void replace(Loan&& other) {
            if (set_ != nullptr) pool_->give_back(*set_);
            pool_ = other.pool_;
            set_ = std::exchange(other.set_, nullptr);
        }
        explicit operator bool() const { return set_ != nullptr; }
        StagingSet* operator->() const { return set_; }

    private:
        StagingPool* pool_ = nullptr;
        StagingSet* set_ = nullptr;
    };

    /// Takes the arena for one set, if none was taken yet, before the application takes all of it:
    /// copies must go on. False: there is no room. `lease(bytes, offset)` says whether it got any.
    template <typename Lease>
    bool prepare(Lease&& lease) {
        std::unique_lock lock(mutex_);
        if (leased_ == 0) add_set(lease, lock);
        return leased_ != 0;
    }

    /// An empty loan: the host has no arena left for even one set.
    template <typename Lease>
    Loan borrow(Lease&& lease) {
        std::unique_lock lock(mutex_);
        for (;;) {
            if (idle_count_ == 0 && leased_ + leasing_ < kSets && !exhausted_) add_set(lease, lock);
            if (idle_count_ != 0) return Loan(*this, take());
            if (leased_ + leasing_ == 0) return {};
            const std::uint32_t seen = returned_.load(std::memory_order_relaxed);
            lock.unlock();
            transport::futex_wait(returned_, seen, transport::kNever,
                                  transport::FutexScope::kPrivate);
            lock.lock();
        }
    }

private:
    static constexpr int kEveryone = std::numeric_limits<int>::max();

    /// Leases without the lock, since the host is asked: sets come back meanwhile.
    template <typename Lease>
    void add_set(Lease&& lease, std::unique_lock<std::mutex>& lock) {
        std::uint64_t offset = 0;
        ++leasing_;
        lock.unlock();
        const bool got = lease(kGranuleBytes, offset);
        lock.lock();
        --leasing_;
        if (!got) {
            exhausted_ = leased_ != 0;  // the sets at hand must do from now on
            wake(kEveryone);            // who waits for this one alone waits for nothing
            return;
        }
        StagingSet& set = sets_[leased_];
        for (std::size_t chunk = 0; chunk < StagingSet::kChunks; ++chunk) {
            set.chunks[chunk].offset = offset + chunk * StagingChunk::kBytes;
            set.chunks[chunk].fence =
                kStreamFences + static_cast<std::uint32_t>(leased_ * StagingSet::kChunks + chunk);
        }
        ++leased_;
        put(set);
    }

    // A queue, so that the set taken is the one whose last copy is oldest.
    void put(StagingSet& set) { idle_[(first_idle_ + idle_count_++) % kSets] = &set; }
    StagingSet& take() {
        StagingSet& set = *idle_[first_idle_];
        first_idle_ = (first_idle_ + 1) % kSets;
        --idle_count_;
        return set;
    }
    void give_back(StagingSet& set) {
        const std::lock_guard lock(mutex_);
        put(set);
        wake(1);
    }
    void wake(int waiters) {
        returned_.fetch_add(1, std::memory_order_relaxed);
        transport::futex_wake(returned_, waiters, transport::FutexScope::kPrivate);
    }

    std::mutex mutex_;
    std::atomic<std::uint32_t> returned_{0};  ///< moves, under the lock, when waiting may be over
    std::array<StagingSet, kSets> sets_;
    std::array<StagingSet*, kSets> idle_{};
    std::size_t first_idle_ = 0;
    std::size_t idle_count_ = 0;
    std::size_t leased_ = 0;
    std::size_t leasing_ = 0;  ///< sets that threads are asking the host for
    bool exhausted_ = false;
};

}  // namespace cubar::guest
