// SPDX-License-Identifier: Apache-2.0
#include "host/worker/output_capture.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <system_error>

namespace cubar::host {

// A memory file, not a pipe: a writer never blocks on it, however much a kernel prints, and what
// has been written is there to be read the moment the synchronisation returns.
OutputCapture::OutputCapture() : file_(memfd_create("cubar-output", MFD_CLOEXEC)) {
    if (file_ < 0) throw std::system_error(errno, std::generic_category(), "memfd_create");
    std::fflush(stdout);
    if (dup2(file_, STDOUT_FILENO) < 0) {
        close(file_);
        throw std::system_error(errno, std::generic_category(), "taking over standard output");
    }
}

OutputCapture::~OutputCapture() {
    close(file_);
}

std::size_t OutputCapture::pending() {
    const std::lock_guard lock(mutex_);
    drain_locked();
    return kept_.size();
}

std::vector<std::byte> OutputCapture::take(std::size_t most) {
    const std::lock_guard lock(mutex_);
    const std::size_t count = std::min(most, kept_.size());
    const auto* first = reinterpret_cast<const std::byte*>(kept_.data());
    std::vector<std::byte> taken(first, first + count);
    kept_.erase(0, count);
    return taken;
}

void OutputCapture::drain_locked() {
    std::fflush(stdout);
    // The descriptors share their offset, so this is how much was written. (fstat is newfstatat in
    // today's C library, and a worker may open or look up no file.)
    const off_t written = lseek(file_, 0, SEEK_CUR);
    if (written <= taken_) return;
    const auto fresh = static_cast<std::size_t>(written - taken_);
    const std::size_t before = kept_.size();
    kept_.resize(before + fresh);
    const ssize_t got = std::max<ssize_t>(pread(file_, kept_.data() + before, fresh, taken_), 0);
    kept_.resize(before + static_cast<std::size_t>(got));
    taken_ += got;
    // Gives the memory back; the file's length stays, so a write that happens now is not lost.
    fallocate(file_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, taken_);
}

}  // namespace cubar::host
