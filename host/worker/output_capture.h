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

    struct Text {
        int descriptor;  ///< where it was written
        std::string bytes;
        std::size_t left;  ///< bytes of either descriptor that stay
    };
    /// Takes up to `most` bytes of what this process has written so far: standard output first,
    /// since a kernel prints before it fails, and each in its order.
    Text take(std::size_t most);

private:
    struct File {
        int descriptor = -1;  ///< that it stands for
        int file = -1;
        off_t taken = 0;  ///< bytes of the file that are in `kept` or were taken from it
        std::string kept;
    };
    static void drain(File& file);

    std::mutex mutex_;
    std::array<File, 2> files_;
};

/// Sends this process's log where its standard error points now, wherever that will point later.
/// To be called before the first line is logged, by the only thread.
void keep_log_apart();

/// Writes a line to that log.
void complain_to_log(const std::string& line);

}  // namespace cubar::host
