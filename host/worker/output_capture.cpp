// SPDX-License-Identifier: Apache-2.0
#include "host/worker/output_capture.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <system_error>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#include <sanitizer/common_interface_defs.h>
#endif

namespace cubar::host {
namespace {

int log_descriptor = STDERR_FILENO;

[[noreturn]] void fail(const char* what) {
    throw std::system_error(errno, std::generic_category(), what);
}

}  // namespace

void keep_log_apart() {
    log_descriptor = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    // Of softgpu as well, whose log is its own.
    const std::string name = "fd:" + std::to_string(log_descriptor);
    if (log_descriptor < 0 || setenv("CUBAR_LOG", name.c_str(), 1) != 0) {
        fail("keeping the log apart");
    }
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    __sanitizer_set_report_fd(reinterpret_cast<void*>(static_cast<std::intptr_t>(log_descriptor)));
#endif
}

void complain_to_log(const std::string& line) {
    dprintf(log_descriptor, "cubar-worker: %s\n", line.c_str());
}

// Memory files, not pipes: a writer never blocks on one, however much a kernel prints, and what
// has been written is there to be read the moment the synchronisation returns.
OutputCapture::OutputCapture() {
    std::fflush(nullptr);
    files_[0].descriptor = STDOUT_FILENO;
    files_[1].descriptor = STDERR_FILENO;
    for (File& file : files_) {
        file.file = memfd_create("cubar-output", MFD_CLOEXEC);
        if (file.file < 0) fail("memfd_create");
        if (dup2(file.file, file.descriptor) < 0) fail("taking over the standard output");
    }
}

OutputCapture::~OutputCapture() {
    for (const File& file : files_) close(file.file);
}

OutputCapture::Text OutputCapture::take(std::size_t most) {
    const std::lock_guard lock(mutex_);
    std::fflush(stdout);  // softgpu and the driver print through stdio
    for (File& file : files_) drain(file);
    File& first = files_[files_[0].kept.empty() ? 1 : 0];
    Text text{first.descriptor, first.kept.substr(0, most), 0};
    first.kept.erase(0, text.bytes.size());
    text.left = files_[0].kept.size() + files_[1].kept.size();
    return text;
}

void OutputCapture::drain(File& file) {
    // The descriptors share their offset, so this is how much was written. (fstat is newfstatat in
    // today's C library, and a worker may open or look up no file.)
    const off_t written = lseek(file.file, 0, SEEK_CUR);
    if (written <= file.taken) return;
    const auto fresh = static_cast<std::size_t>(written - file.taken);
    const std::size_t before = file.kept.size();
    file.kept.resize(before + fresh);
    const ssize_t got =
        std::max<ssize_t>(pread(file.file, file.kept.data() + before, fresh, file.taken), 0);
    file.kept.resize(before + static_cast<std::size_t>(got));
    file.taken += got;
    // Gives the memory back; the file's length stays, so a write that happens now is not lost.
    fallocate(file.file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, file.taken);
}

}  // namespace cubar::host
