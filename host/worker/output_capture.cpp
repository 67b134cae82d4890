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
#include <utility>

#include "driver/log.h"

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
    for (File& file : files_) file.bound();
    File& first = files_[files_[0].unread() == 0 && files_[0].dropped == 0 ? 1 : 0];
    Text text{first.descriptor, first.take(most), 0};
    text.left = files_[0].unread() + files_[1].unread();
    return text;
}

void OutputCapture::bound() {
    const std::lock_guard lock(mutex_);
    for (File& file : files_) file.bound();
}

// The descriptors share their offset, so this is how much was written. (fstat is newfstatat in
// today's C library, and a worker may open or look up no file.)
std::size_t OutputCapture::File::unread() const {
    return static_cast<std::size_t>(std::max<off_t>(lseek(file, 0, SEEK_CUR) - taken, 0));
}

void OutputCapture::File::bound() {
    const std::size_t bytes = unread();
    if (bytes <= kMostKept) return;
    if (dropped == 0) {
        CUBAR_LOG(kWarn,
                  "the guest fetches no device output: of %s only the last %zu bytes are kept; a "
                  "program gets it when it synchronises",
                  descriptor == STDOUT_FILENO ? "printf" : "assert", kMostKept);
    }
    dropped += bytes - kMostKept;
    forget(bytes - kMostKept);
}

void OutputCapture::File::forget(std::size_t bytes) {
    taken += static_cast<off_t>(bytes);
    // Gives the memory back; the file's length stays, so a write that happens now is not lost.
    fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, taken);
}

std::string OutputCapture::File::take(std::size_t most) {
    std::string text;
    if (dropped != 0) {
        text = "[cubar: " + std::to_string(std::exchange(dropped, 0)) +
               " bytes of device output were dropped here: synchronise more often]\n";
    }
    const std::size_t note = text.size();
    text.resize(std::min(most, note + unread()));
    const ssize_t got =
        std::max<ssize_t>(pread(file, text.data() + note, text.size() - note, taken), 0);
    text.resize(note + static_cast<std::size_t>(got));
    forget(static_cast<std::size_t>(got));
    return text;
}

}  // namespace cubar::host
