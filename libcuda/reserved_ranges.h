// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <iterator>
#include <map>
#include <mutex>
#include <optional>

namespace cubar::guest {

/// What cuMemAddressReserve gave out: addresses, with or without memory behind them. Thread-safe;
/// ranges never overlap.
class ReservedRanges {
public:
    struct Range {
        std::uint64_t begin = 0;
        std::uint64_t bytes = 0;
    };

    void add(Range range) {
        const std::lock_guard lock(mutex_);
        ranges_.insert_or_assign(range.begin, range.bytes);
    }
    /// False: there is no such range.
    bool remove(Range range) {
        const std::lock_guard lock(mutex_);
        const auto it = ranges_.find(range.begin);
        if (it == ranges_.end() || it->second != range.bytes) return false;
        ranges_.erase(it);
        return true;
    }
    std::optional<Range> find(std::uint64_t address) const {
        const std::lock_guard lock(mutex_);
        auto it = ranges_.upper_bound(address);
        if (it == ranges_.begin()) return std::nullopt;
        --it;
        if (address - it->first >= it->second) return std::nullopt;
        return Range{it->first, it->second};
    }
    bool holds(std::uint64_t address) const { return find(address).has_value(); }

private:
    mutable std::mutex mutex_;
    std::map<std::uint64_t, std::uint64_t> ranges_;
};

}  // namespace cubar::guest
