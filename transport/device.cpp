// SPDX-License-Identifier: Apache-2.0
#include "transport/device.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <new>

#include "transport/wait.h"

namespace cubar::transport {

namespace {

constexpr std::uint64_t kAllOnes = ~std::uint64_t{0};

/// True if [offset, offset + bytes) lies in a memory of `whole` bytes and begins on a page.
bool fits(std::uint64_t offset, std::uint64_t bytes, std::uint64_t whole) {
    return offset % kPageBytes == 0 && offset <= whole && bytes <= whole - offset;
}

/// Time of one load that hits no cache unless the memory is cached: the least of some rounds, so
/// that an interrupted round does not count.
Nanoseconds time_of_load(const std::byte* memory) {
    constexpr unsigned kRounds = 16;
    constexpr unsigned kLoads = 128;
    Nanoseconds best = kNever;
    for (unsigned round = 0; round < kRounds; ++round) {
        const Nanoseconds start = now();
        for (unsigned i = 0; i < kLoads; ++i) {
            static_cast<void>(*reinterpret_cast<const volatile std::uint64_t*>(memory));
        }
        best = std::min(best, now() - start);
    }
    return best / kLoads;
}

/// Cached loads take some nanoseconds, even emulated; uncached ones a hundred and more.
constexpr Nanoseconds kCachedLoad = 40;

Failure no_memory() {
    return Failure::make(Error::kNoMemory, ENOMEM, "allocating");
}

}  // namespace

Failure Device::map(Mapping& reservation, std::span<std::byte> part, std::uint64_t offset,
                    Caching caching, bool writable) const {
    Failure failure = reservation.map(memory_file(caching), offset, part, writable);
    if (failure.os_error == EPERM) {
        failure = Failure::make(
            Error::kLockdown, EPERM,
            "%s: the kernel forbids mapping PCI memory (lockdown, as with Secure Boot); see "
            "/sys/kernel/security/lockdown",
            name_);
    }
    return failure;
}

void Device::set_name(const char* kind, const char* which) {
    std::snprintf(name_, sizeof name_, "%s %s", kind, which);
}

Failure Device::open_memory(std::uint64_t bar_bytes) {
    owner_ = ForkMark::here();
    if (bar_bytes < kPageBytes) {
        return Failure::make(Error::kTooSmall, 0, "%s: BAR2 has %llu bytes", name_,
                             static_cast<unsigned long long>(bar_bytes));
    }
    Result<Mapping> page = Mapping::reserve(kPageBytes);
    if (!page) {
        return page.failure();
    }
    header_page_ = std::move(*page);
    if (Failure failure = map(header_page_, header_page_.bytes(), 0, Caching::kControl, false)) {
        return failure;
    }
    header_ = reinterpret_cast<const Header*>(header_page_.data());
    if (Failure failure = check_header(bar_bytes)) {
        return failure;
    }
    if (Failure failure = copy_facts()) {
        return failure;
    }
    return measure_memory();
}

Failure Device::check_header(std::uint64_t bar_bytes) const {
    const Header& header = *header_;
    if (header.magic == kAllOnes) {
        return Failure::make(Error::kNotEnabled, 0,
                             "%s: BAR2 reads as all ones; the udev rule of cubar's guest package "
                             "enables the device (echo 1 > enable)",
                             name_);
    }
    if (header.magic != kMagic) {
        return Failure::make(Error::kNotOurs, 0, "%s: BAR2 does not begin with cubar's magic",
                             name_);
    }
    if (header.layout_version != kLayoutVersion) {
        return Failure::make(Error::kLayoutVersion, 0,
                             "%s: the host's memory layout is version %u, this library knows %u: "
                             "install the matching package",
                             name_, header.layout_version, kLayoutVersion);
    }
    if (header.bar_bytes > bar_bytes) {
        return Failure::make(Error::kTooSmall, 0,
                             "%s: BAR2 has %llu bytes, the host serves %llu: give the device the "
                             "size that cubard is configured for",
                             name_, static_cast<unsigned long long>(bar_bytes),
                             static_cast<unsigned long long>(header.bar_bytes));
    }
    const bool sound =
        header.channel_stride == sizeof(cubar::Channel) && header.channel_count >= 1 &&
        header.channel_count <= kMaxChannels && header.granule_bytes == kGranuleBytes &&
        header.facts_bytes >= sizeof(Facts) &&
        fits(header.facts_offset, header.facts_bytes, header.bar_bytes) &&
        fits(header.channels_offset, header.channel_count * sizeof(cubar::Channel),
             header.bar_bytes) &&
        header.arena_bytes >= kGranuleBytes && header.arena_bytes % kGranuleBytes == 0 &&
        fits(header.arena_offset, header.arena_bytes, header.bar_bytes);
    if (!sound) {
        return Failure::make(Error::kBadHeader, 0, "%s: sizes and offsets do not fit", name_);
    }
    // Pairs with cubard's release store, the last of its preparations.
    const auto state = static_cast<HostState>(header.host_state.load(std::memory_order_acquire));
    if (state != HostState::kServing) {
        return Failure::make(Error::kHostAbsent, 0, "%s: cubard is %s", name_,
                             state == HostState::kStopping ? "stopping" : "not serving");
    }
    return {};
}

Failure Device::copy_facts() {
    const std::size_t bytes = (sizeof(Facts) + kPageBytes - 1) & ~(kPageBytes - 1);
    if (!fits(header_->facts_offset, bytes, header_->bar_bytes)) {
        return Failure::make(Error::kBadHeader, 0, "%s: no room for the facts", name_);
    }
    Result<Mapping> pages = Mapping::reserve(bytes);
    if (!pages) {
        return pages.failure();
    }
    if (Failure failure =
            map(*pages, pages->bytes(), header_->facts_offset, Caching::kControl, false)) {
        return failure;
    }
    facts_.reset(new (std::nothrow) Facts);
    if (facts_ == nullptr) {
        return no_memory();
    }
    std::memcpy(facts_.get(), pages->data(), sizeof(Facts));
    facts_->device_count = std::min<std::uint32_t>(facts_->device_count, kMaxDevices);
    return {};
}

Failure Device::measure_memory() {
    Result<Mapping> page = Mapping::reserve(kPageBytes);
    if (!page) {
        return page.failure();
    }
    if (Failure failure = map(*page, page->bytes(), header_->arena_offset, Caching::kBulk, false)) {
        return failure;
    }
    memory_type_ = time_of_load(page->data()) <= kCachedLoad ? MemoryType::kWriteBack
                                                             : MemoryType::kWriteCombining;
    return {};
}

Result<std::unique_ptr<Device>> open_device(const char* selection) {
    if (selection == nullptr || *selection == '\0') {
        return open_pci_device(nullptr);
    }
    constexpr char kPci[] = "pci:";
    constexpr char kLocal[] = "local:";
    if (std::strncmp(selection, kPci, sizeof kPci - 1) == 0) {
        return open_pci_device(selection + sizeof kPci - 1);
    }
    if (std::strncmp(selection, kLocal, sizeof kLocal - 1) == 0) {
        return open_local_device(selection + sizeof kLocal - 1);
    }
    return Failure::make(Error::kBadSelection, 0,
                         "CUBAR_DEVICE is \"%s\", but should be pci:0000:00:04.0 or local:/path",
                         selection);
}

}  // namespace cubar::transport
