// SPDX-License-Identifier: Apache-2.0
#include "host/worker/image_store.h"

namespace cubar::host {

std::uint32_t ImageStore::begin(std::uint64_t bytes) {
    const std::lock_guard lock(mutex_);
    if (bytes == 0 || bytes > kMaxImageBytes || bytes > kMaxBytes - bytes_ ||
        uploads_.size() >= kMaxUploads) {
        return 0;
    }
    do {
        ++last_;
    } while (last_ == 0 || uploads_.contains(last_));
    uploads_.emplace(last_, Upload{bytes, 0, std::make_shared<Image>()});
    bytes_ += bytes;
    return last_;
}

bool ImageStore::append(std::uint32_t number, std::uint64_t offset,
                        std::span<const std::byte> part) {
    const std::lock_guard lock(mutex_);
    const auto found = uploads_.find(number);
    if (found == uploads_.end()) return false;
    Upload& upload = found->second;
    if (part.empty() || offset != upload.received || part.size() > upload.bytes - offset) {
        return false;
    }
    upload.image->insert(upload.image->end(), part.begin(), part.end());
    upload.received += part.size();
    if (upload.received == upload.bytes) upload.image->push_back({});
    return true;
}

std::shared_ptr<const ImageStore::Image> ImageStore::find(std::uint32_t number) const {
    const std::lock_guard lock(mutex_);
    const auto found = uploads_.find(number);
    if (found == uploads_.end()) return nullptr;
    const Upload& upload = found->second;
    return upload.received == upload.bytes ? upload.image : nullptr;
}

void ImageStore::end(std::uint32_t number) {
    const std::lock_guard lock(mutex_);
    const auto found = uploads_.find(number);
    if (found == uploads_.end()) return;
    bytes_ -= found->second.bytes;
    uploads_.erase(found);
}

}  // namespace cubar::host
