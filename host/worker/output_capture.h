// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <mutex>
#include <string>
#include <vector>

namespace cubar::host {

/// Device printf appears on this process's standard output, where the driver writes it when it
/// synchronises; it belongs on the guest's. This takes the descriptor over and keeps what is
/// written until the guest fetches it.
class OutputCapture {
public:
    OutputCapture();
    OutputCapture(const OutputCapture&) = delete;
    OutputCapture& operator=(const OutputCapture&) = delete;
    ~OutputCapture();

    /// Everything that this process has written to its standard output so far.
    /// Thread-safe. Flushes stdio first, since softgpu and the driver print through it.
    std::size_t pending();
    /// Takes up to `most` bytes of it, oldest first.
    std::vector<std::byte> take(std::size_t most);

private:
    void drain_locked();

    std::mutex mutex_;
    int file_ = -1;
    off_t taken_ = 0;  ///< bytes of the file that are in kept_ or were taken from it
    std::string kept_;
};

}  // namespace cubar::host
