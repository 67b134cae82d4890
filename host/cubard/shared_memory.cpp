// SPDX-License-Identifier: Apache-2.0
#include "host/cubard/shared_memory.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstring>
#include <system_error>
#include <utility>

namespace cubar::host {
namespace {

constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

[[noreturn]] void fail(const char* what) {
    throw std::system_error(errno, std::generic_category(), what);
}

std::uint64_t new_epoch() {
    std::uint64_t epoch = 0;
    while (epoch == 0) {
        if (::getrandom(&epoch, sizeof epoch, 0) != sizeof epoch) {
            fail("getrandom");
        }
    }
    return epoch;
}

template <typename T>
void wake(Shared<T>& word) {
    // A 64-bit word's sleepers sleep on its low half, the one at its address.
    ::syscall(SYS_futex, &word, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
}

}  // namespace

SharedMapping::SharedMapping(int fd, std::size_t bytes) {
    void* place = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (place == MAP_FAILED) {
        fail("mmap");
    }
    bytes_ = {static_cast<std::byte*>(place), bytes};
}

SharedMapping::SharedMapping(SharedMapping&& other) noexcept
    : bytes_(std::exchange(other.bytes_, {})) {}

SharedMapping& SharedMapping::operator=(SharedMapping&& other) noexcept {
    std::swap(bytes_, other.bytes_);
    return *this;
}

SharedMapping::~SharedMapping() {
    if (!bytes_.empty()) {
        ::munmap(bytes_.data(), bytes_.size());
    }
}

transport::Descriptor create_sealed_memory(const char* name, std::uint64_t bytes) {
    transport::Descriptor file(::memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING));
    if (!file) {
        fail("memfd_create");
    }
    if (::ftruncate(file.get(), static_cast<off_t>(bytes)) != 0) {
        fail("ftruncate");
    }
    if (::fcntl(file.get(), F_ADD_SEALS, kSeals) != 0) {
        fail("F_ADD_SEALS");
    }
    return file;
}

std::uint64_t sealed_memory_bytes(int fd) {
    struct stat status {};
    const int seals = ::fcntl(fd, F_GET_SEALS);
    if (seals < 0 || (seals & kSeals) != kSeals || ::fstat(fd, &status) != 0) {
        return 0;
    }
    return static_cast<std::uint64_t>(status.st_size);
}

GuestMemory::GuestMemory(const MemoryPlan& plan)
    : GuestMemory(plan, create_sealed_memory("cubar", plan.bar_bytes)) {}

GuestMemory::GuestMemory(const MemoryPlan& plan, transport::Descriptor file)
    : plan_(plan), file_(std::move(file)), mapping_(file_.get(), plan.arena_offset()) {}

void GuestMemory::begin_serving(const Facts& facts, std::uint32_t cubard_peer,
                                std::uint32_t first_channel_peer) {
    Header& head = header();
    head.layout_version = kLayoutVersion;
    head.protocol_version = kProtocolVersion;
    head.bar_bytes = plan_.bar_bytes;
    head.facts_offset = MemoryPlan::kFactsOffset;
    head.facts_bytes = sizeof(Facts);
    head.channels_offset = MemoryPlan::kChannelsOffset;
    head.channel_stride = sizeof(Channel);
    head.channel_count = plan_.channels;
    head.cubard_peer = cubard_peer;
    head.first_channel_peer = first_channel_peer;
    head.granule_bytes = kGranuleBytes;
    head.arena_offset = plan_.arena_offset();
    head.arena_bytes = plan_.arena_bytes();
    head.telemetry_offset = MemoryPlan::kTelemetryOffset;
    head.telemetry_bytes = sizeof(TelemetryPages);
    std::memcpy(mapping_.data() + MemoryPlan::kFactsOffset, &facts, sizeof facts);
    epoch_ = new_epoch();
    head.epoch.store(epoch_, std::memory_order_relaxed);
    // Pairs with the guest's acquire load when it opens the device.
    head.host_state.store(static_cast<std::uint32_t>(HostState::kServing),
                          std::memory_order_release);
    std::atomic_ref(head.magic).store(kMagic, std::memory_order_release);
}

void GuestMemory::end_serving() {
    header().host_state.store(static_cast<std::uint32_t>(HostState::kStopping),
                              std::memory_order_release);
}

void GuestMemory::wake_sleepers(std::uint32_t channel) const {
    Channel& place = at(channel);
    for (ReplySlot& slot : place.reply) {
        wake(slot.state);
    }
    wake(place.control.head);
    wake(place.control.session_state);
}

}  // namespace cubar::host
