// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <array>
#include <cstddef>
#include <mutex>
#include <string>

namespace cubar::host {

/// Device printf appears on this process's standard output, a failed assert on its standard error,
/// where the driver writes them when it synchronises; they belong on the guest's. This takes both
/// descriptors over and keeps what is written until the guest fetches it. Thread-safe.
class OutputCapture {
public:
    OutputCapture();
    OutputCapture(const OutputCapture&) = delete;
    OutputCapture& operator=(const OutputCapture&) = delete;
    ~OutputCapture();

    /// What is kept of each descriptor for a guest that does not fetch it. Beyond, the oldest text
    /// is dropped, as CUDA's own buffer does, and a line in its place says how much.
    static constexpr std::size_t kMostKept = std::size_t{64} << 20;

    struct Text {
        int descriptor;  ///< where it was written
        std::string bytes;
        std::size_t left;  ///< bytes of either descriptor that stay
    };
    /// Takes up to `most` bytes of what this process has written so far: standard output first,
    /// since a kernel prints before it fails, and each in its order.
    Text take(std::size_t most);

    /// Drops what is too much. To be called where the driver may have written.
    void bound();

private:
    struct File {
        int descriptor = -1;  ///< that it stands for
        int file = -1;
        off_t taken = 0;          ///< bytes of the file that were taken from it, or dropped
        std::size_t dropped = 0;  ///< of which nobody was told yet

        std::size_t unread() const;
        void bound();
        void forget(std::size_t bytes);
        std::string take(std::size_t most);
    };

    std::mutex mutex_;
    std::array<File, 2> files_;
};

/// Sends this process's log where its standard error points now, wherever that will point later.
/// To be called before the first line is logged, by the only thread.
void keep_log_apart();

/// Writes a line to that log.
void complain_to_log(const std::string& line);

}  // namespace cubar::host
