// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
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
    /// copies must go on. False: there is no room.
    template <typename Lease>
    bool prepare(Lease&& lease) {
        const std::lock_guard lock(mutex_);
        if (leased_ == 0) add_set(lease);
        return leased_ != 0;
    }

    /// An empty loan: the host has no arena left for even one set.
    template <typename Lease>
    Loan borrow(Lease&& lease) {
        for (;;) {
            const std::uint32_t seen = returned_.load(std::memory_order_acquire);
            {
                const std::lock_guard lock(mutex_);
                if (idle_count_ == 0 && leased_ < kSets && !exhausted_) add_set(lease);
                if (idle_count_ != 0) return Loan(*this, take());
                if (leased_ == 0) return {};
            }
            transport::futex_wait(returned_, seen, transport::kNever,
                                  transport::FutexScope::kPrivate);
        }
    }

private:
    template <typename Lease>
    void add_set(Lease&& lease) {
        std::uint64_t offset = 0;
        if (!lease(kGranuleBytes, offset)) {
            exhausted_ = leased_ != 0;  // the sets at hand must do from now on
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
        {
            const std::lock_guard lock(mutex_);
            put(set);
        }
        // Pairs with the acquire load in borrow().
        returned_.fetch_add(1, std::memory_order_release);
        transport::futex_wake(returned_, 1, transport::FutexScope::kPrivate);
    }

    std::mutex mutex_;
    std::atomic<std::uint32_t> returned_{0};  ///< sets that came back; those who wait sleep on it
    std::array<StagingSet, kSets> sets_;
    std::array<StagingSet*, kSets> idle_{};
    std::size_t first_idle_ = 0;
    std::size_t idle_count_ = 0;
    std::size_t leased_ = 0;
    bool exhausted_ = false;
};

}  // namespace cubar::guest
