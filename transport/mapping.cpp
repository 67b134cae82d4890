// SPDX-License-Identifier: Apache-2.0
#include "transport/mapping.h"

#include <sys/mman.h>

#include <cerrno>
#include <cstring>

namespace cubar::transport {

namespace {

// Older kernels take the flag for a hint, hence the comparison after the call.
#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

constexpr int kReserved = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;

Failure map_failure(const char* what) {
    const int error = errno;
    return Failure::make(Error::kMapFailed, error, "%s: %s", what, strerrordesc_np(error));
}

}  // namespace

Result<Mapping> Mapping::reserve(std::size_t bytes, std::uintptr_t address) {
    const ForkMark owner = ForkMark::here();
    if (!owner.valid()) {
        return Failure::make(Error::kNoMemory, errno, "no page for the fork mark");
    }
    void* const asked = reinterpret_cast<void*>(address);
    void* const memory =
        mmap(asked, bytes, PROT_NONE, kReserved | (address != 0 ? MAP_FIXED_NOREPLACE : 0), -1, 0);
    if (memory == MAP_FAILED) {
        return map_failure("reserving addresses");
    }
    if (address != 0 && memory != asked) {
        munmap(memory, bytes);
        return Failure::make(Error::kMapFailed, EEXIST, "reserving addresses: in use");
    }
    madvise(memory, bytes, MADV_DONTFORK);
    return Mapping({static_cast<std::byte*>(memory), bytes}, owner);
}

Failure Mapping::map(int descriptor, std::uint64_t offset, std::span<std::byte> part,
                     bool writable) {
    const int protection = writable ? PROT_READ | PROT_WRITE : PROT_READ;
    if (mmap(part.data(), part.size(), protection, MAP_SHARED | MAP_FIXED, descriptor,
             static_cast<off_t>(offset)) == MAP_FAILED) {
        return map_failure("mmap");
    }
    if (madvise(part.data(), part.size(), MADV_DONTFORK) != 0) {
        const Failure failure = map_failure("madvise(MADV_DONTFORK)");
        unmap(part);
        return failure;
    }
    return {};
}

void Mapping::unmap(std::span<std::byte> part) {
    // Should the kernel lack memory for this, the old pages stay mapped: harmless, for nobody
    // looks.
    if (mmap(part.data(), part.size(), PROT_NONE, kReserved | MAP_FIXED, -1, 0) != MAP_FAILED) {
        madvise(part.data(), part.size(), MADV_DONTFORK);
    }
}

void Mapping::reset() {
    if (!bytes_.empty() && owner_.valid()) {
        munmap(bytes_.data(), bytes_.size());
    }
    bytes_ = {};
}

}  // namespace cubar::transport
