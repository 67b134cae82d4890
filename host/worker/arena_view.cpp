// SPDX-License-Identifier: Apache-2.0
#include "host/worker/arena_view.h"

#include <sys/mman.h>

#include "host/common/control_client.h"
#include "host/worker/page_lock.h"
#include "host/worker/try.h"

namespace cubar::host {

ArenaView::ArenaView(const Place& place, ControlClient& control, const Driver& driver)
    : place_(place), control_(control), driver_(driver) {}

ArenaView::~ArenaView() {
    if (base_ != nullptr) munmap(base_, place_.bytes);
}

bool ArenaView::reserve() {
    const int fixed = place_.address != 0 ? MAP_FIXED_NOREPLACE : 0;
    void* wanted = reinterpret_cast<void*>(place_.address);
    void* got = mmap(wanted, place_.bytes, PROT_NONE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | fixed, -1, 0);
    if (got == MAP_FAILED) return false;
    if (place_.address != 0 && got != wanted) {
        munmap(got, place_.bytes);
        return false;
    }
    base_ = static_cast<std::byte*>(got);
    return true;
}

bool ArenaView::page_lock(std::uint64_t offset, std::uint64_t size) const {
    return lock_at_own_address(driver_, at(offset), size);
}

std::optional<ArenaView::Lease> ArenaView::lease(std::uint64_t granules) {
    if (granules == 0 || granules > place_.bytes / kGranuleBytes) return std::nullopt;
    const std::optional<std::uint64_t> first = control_.lease_granules(granules);
    if (!first) return std::nullopt;
    const std::uint64_t offset = *first * kGranuleBytes;
    const std::uint64_t size = granules * kGranuleBytes;
    const std::lock_guard lock(mutex_);
    void* mapped = mmap(at(offset), size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
                        place_.memory_fd, static_cast<off_t>(place_.offset + offset));
    if (mapped == MAP_FAILED) {
        control_.return_granules(*first, granules);
        return std::nullopt;
    }
    const bool registered = page_lock(offset, size);
    runs_[offset] = Run{size, registered};
    return Lease{offset, registered};
}

bool ArenaView::give_back(std::uint64_t offset, std::uint64_t granules) {
    const std::uint64_t size = granules * kGranuleBytes;
    const std::lock_guard lock(mutex_);
    const auto run = runs_.find(offset);
    if (run == runs_.end() || run->second.bytes != size) return false;
    if (run->second.registered) ask(driver_.cuMemHostUnregister, static_cast<void*>(at(offset)));
    run->second.registered = false;
    // Granules that are still mapped here stay this session's.
    if (mmap(at(offset), size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED,
             -1, 0) == MAP_FAILED) {
        return false;
    }
    runs_.erase(run);
    control_.return_granules(offset / kGranuleBytes, granules);
    return true;
}

void ArenaView::lost_registrations() {
    const std::lock_guard lock(mutex_);
    for (auto& [offset, run] : runs_) run.registered = false;
}

void ArenaView::register_missing() {
    const std::lock_guard lock(mutex_);
    for (auto& [offset, run] : runs_) {
        if (!run.registered) run.registered = page_lock(offset, run.bytes);
    }
}

std::span<std::byte> ArenaView::bytes(std::uint64_t offset, std::uint64_t size) const {
    const std::lock_guard lock(mutex_);
    auto run = runs_.upper_bound(offset);
    if (run == runs_.begin()) return {};
    --run;
    const std::uint64_t inside = offset - run->first;
    if (inside > run->second.bytes || size > run->second.bytes - inside) return {};
    return {at(offset), size};
}

bool ArenaView::registered(std::uint64_t offset) const {
    const std::lock_guard lock(mutex_);
    auto run = runs_.upper_bound(offset);
    if (run == runs_.begin()) return false;
    --run;
    return offset - run->first < run->second.bytes && run->second.registered;
}

}  // namespace cubar::host
