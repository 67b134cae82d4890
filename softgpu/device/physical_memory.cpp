// SPDX-License-Identifier: Apache-2.0
#include "softgpu/device/physical_memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

namespace cubar::softgpu::device {
namespace {

// The file is sparse: this bounds its addresses, the heap its memory. Far more addresses than
// memory, so that fragments never matter.
constexpr std::size_t kFileSize = std::size_t{1} << 42;

}  // namespace

PhysicalStore::~PhysicalStore() {
    if (file_ >= 0) close(file_);
}

bool PhysicalStore::open() {
    if (file_ >= 0) return true;
    const int file = memfd_create("softgpu-memory", MFD_CLOEXEC);
    if (file < 0) return false;
    if (ftruncate(file, static_cast<off_t>(kFileSize)) != 0) {
        close(file);
        return false;
    }
    file_ = file;
    offsets_.emplace(0, kFileSize);
    return true;
}

std::shared_ptr<const PhysicalStore::Pages> PhysicalStore::take(std::size_t size) {
    if (!heap_.claim(size)) return nullptr;
    std::unique_lock lock(mutex_);
    const auto offset = open() ? offsets_->take(size, kPageSize) : std::nullopt;
    lock.unlock();
    if (offset) return std::make_shared<const Pages>(*this, *offset, size);
    heap_.give_up(size);
    return nullptr;
}

void PhysicalStore::give_back(std::uint64_t offset, std::size_t size) {
    {
        std::lock_guard lock(mutex_);
        fallocate(file_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(offset),
                  static_cast<off_t>(size));
        offsets_->give(offset, size);
    }
    heap_.give_up(size);
}

}  // namespace cubar::softgpu::device
