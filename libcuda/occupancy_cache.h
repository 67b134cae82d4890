// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>

namespace cubar::guest {

struct KernelFacts;

/// Answers of the host about occupancy. ggml asks the same at each launch of flash attention.
/// Thread-safe.
class OccupancyCache {
public:
    enum class Question : std::uint8_t { kBlocks, kDynamicShared };
    struct Key {
        const KernelFacts* facts;
        std::int32_t device;
        Question question;
        std::uint32_t flags;
        std::int32_t block_threads;
        std::uint64_t argument;  ///< dynamic shared bytes, or blocks
        auto operator<=>(const Key&) const = default;
    };

    std::optional<std::uint64_t> find(const Key& key) const {
        const std::lock_guard lock(mutex_);
        const auto found = answers_.find(key);
        return found != answers_.end() ? std::optional(found->second) : std::nullopt;
    }
    void keep(const Key& key, std::uint64_t answer) {
        const std::lock_guard lock(mutex_);
        // A program that asks ever new questions must not grow this without end.
        if (answers_.size() >= kMost) answers_.clear();
        answers_[key] = answer;
    }
    /// An attribute has changed, or facts are about to be recycled.
    void clear() {
        const std::lock_guard lock(mutex_);
        answers_.clear();
    }

private:
    static constexpr std::size_t kMost = 4096;
    mutable std::mutex mutex_;
    std::map<Key, std::uint64_t> answers_;
};

}  // namespace cubar::guest
