// SPDX-License-Identifier: Apache-2.0
#include "host/cubard/compile_cache.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <chrono>
#include <system_error>

namespace cubar::host {
namespace {

constexpr std::chrono::seconds kLookInterval{1};
/// So many entries are removed before other events have their turn: some 20 ms.
constexpr std::size_t kEntriesAtOnce = 4096;
constexpr std::chrono::milliseconds kTurn{1};
constexpr std::uint64_t kMostOfTheDriver = std::uint64_t{4} << 30;

}  // namespace

CompileCache::CompileCache(EventLoop& loop, const CacheRoot& root, std::string vm, uid_t owner,
                           std::uint64_t limit, std::function<void()> on_beyond)
    : root_(root),
      vm_(std::move(vm)),
      owner_(owner),
      limit_(limit),
      on_beyond_(std::move(on_beyond)),
      look_timer_(loop, [this] { look(); }),
      empty_timer_(loop, [this] { empty_some(); }) {
    // An earlier cubard may have had a higher limit, or not the time.
    if (have_directory() && bytes() > driver_limit()) {
        begin_to_empty();
    }
}

std::uint64_t CompileCache::driver_limit() const {
    return std::min(limit_ / 2, kMostOfTheDriver);
}

std::uint64_t CompileCache::bytes() const {
    return directory_ ? directory_->bytes().value_or(limit_) : 0;
}

std::optional<CompileCache::User> CompileCache::use() {
    if (emptying_) {
        return std::nullopt;
    }
    // Again each time: an administrator may have removed it.
    if (users_ == 0 && !have_directory()) {
        return std::nullopt;
    }
    return std::optional<User>(std::in_place, *this);
}

bool CompileCache::have_directory() {
    try {
        directory_.emplace(root_.open(vm_, owner_));
        return true;
    } catch (const std::system_error& error) {
        spdlog::warn("{}: no compile cache: {}", vm_, error.what());
        directory_.reset();
        return false;
    }
}

void CompileCache::enter() {
    if (users_++ == 0) {
        look_timer_.repeat(kLookInterval);
    }
}

void CompileCache::leave() {
    if (--users_ != 0) {
        return;
    }
    look_timer_.disarm();
    if (emptying_ || bytes() > driver_limit()) {
        begin_to_empty();
    }
}

void CompileCache::look() {
    if (emptying_ || bytes() < limit_) {
        return;
    }
    spdlog::error(
        "{}: its compile cache has grown beyond {} MiB, which the driver never lets it: "
        "its sessions are ended and the cache is emptied",
        vm_, limit_ >> 20);
    emptying_ = true;
    on_beyond_();
}

void CompileCache::begin_to_empty() {
    emptying_ = true;
    empty_timer_.arm(kTurn);
}

void CompileCache::empty_some() {
    using Cleared = CacheDirectory::Cleared;
    switch (directory_->clear(kEntriesAtOnce)) {
        case Cleared::kNotYet:
            empty_timer_.arm(kTurn);
            return;
        case Cleared::kStuck:
            spdlog::error("{}: {} cannot be emptied, so there is no compile cache: remove it", vm_,
                          path());
            return;
        case Cleared::kAll:
            spdlog::info("{}: the compile cache has been emptied", vm_);
            emptying_ = false;
            return;
    }
}

}  // namespace cubar::host
