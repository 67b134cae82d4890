// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

namespace cubar::host {

/// Module images that the guest sends in parts. Thread-safe.
class ImageStore {
public:
    using Image = std::vector<std::byte>;

    /// The largest image, and what may be on its way at once.
    static constexpr std::uint64_t kMaxImageBytes = std::uint64_t{1} << 30;
    static constexpr std::uint64_t kMaxBytes = std::uint64_t{2} << 30;
    static constexpr std::size_t kMaxUploads = 64;

    /// The number of a new upload; 0: too large, or too much is on its way.
    std::uint32_t begin(std::uint64_t bytes);
    /// Appends a part; they come in order. False: not the next part of that upload.
    bool append(std::uint32_t upload, std::uint64_t offset, std::span<const std::byte> part);
    /// The whole image, with a zero byte after it as text wants; null: no such upload, or not all
    /// of it has come.
    std::shared_ptr<const Image> find(std::uint32_t upload) const;
    /// The number means nothing any more.
    void end(std::uint32_t upload);

private:
    struct Upload {
        std::uint64_t bytes;
        std::uint64_t received;
        std::shared_ptr<Image> image;
    };

    mutable std::mutex mutex_;
    std::map<std::uint32_t, Upload> uploads_;
    std::uint32_t last_ = 0;
    std::uint64_t bytes_ = 0;
};

}  // namespace cubar::host
