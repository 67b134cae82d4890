// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "libcuda/arena.h"
#include "libcuda/call.h"

namespace cubar::guest {

/// A module image in this process, or what is wrong with it.
struct Image {
    std::span<const std::byte> bytes;
    const char* fault = nullptr;  ///< static text
};

/// The image of which an application gives only the address.
Image image_at(const void* address);

/// A file in memory, for cuModuleLoad and cuLibraryLoadFromFile.
class ImageFile {
public:
    /// CUDA_ERROR_FILE_NOT_FOUND also for what is no plain file.
    CUresult read(const char* path);
    /// The image that the file holds; one that names an end beyond the file's is at fault.
    Image image() const;

private:
    std::unique_ptr<std::byte[]> data_;
    std::size_t bytes_ = 0;  ///< of the file, behind which a zero follows
};

/// A module image on its way to the host: in one piece of the arena where there is room for it,
/// else in parts through a smaller one.
class ImageUpload {
public:
    explicit ImageUpload(const Caller& caller) : caller_(caller) {}
    ImageUpload(const ImageUpload&) = delete;
    ImageUpload& operator=(const ImageUpload&) = delete;
    /// Lets the host forget an upload in parts.
    ~ImageUpload();

    CUresult send(std::span<const std::byte> image);

    std::uint64_t offset() const { return block_ ? block_->offset() : 0; }
    std::uint64_t bytes() const { return bytes_; }
    std::uint32_t number() const { return number_; }

private:
    CUresult send_in_parts(std::span<const std::byte> image);

    const Caller& caller_;
    std::optional<ArenaBlock> block_;
    std::uint64_t bytes_ = 0;
    std::uint32_t number_ = 0;
};

/// The options of a load, as cuModuleLoadDataEx and cuLibraryLoadData take them.
class LoadOptions {
public:
    explicit LoadOptions(const Caller& caller) : caller_(caller) {}

    /// CUDA_ERROR_INVALID_VALUE for null arrays, NOT_SUPPORTED for options whose pointers mean
    /// nothing on the host.
    CUresult read(unsigned count, CUjit_option* options, void** values);
    CUresult read_library(unsigned count, CUlibraryOption* options, void** values);
    /// CUDA_ERROR_INVALID_IMAGE for an image at fault, which the application's error log then says.
    CUresult check(const Image& image);
    /// Makes room for the compiler's messages, if the application wants them or CUBAR_LOG does.
    CUresult prepare_logs();

    std::span<const std::byte> payload() const { return std::as_bytes(std::span(entries_)); }

    template <typename Request>
    void describe(Request& request) const {
        request.option_count = jit_count_;
        request.library_option_count = static_cast<std::uint32_t>(entries_.size()) - jit_count_;
        request.payload_bytes = static_cast<std::uint32_t>(payload().size());
        request.info_log_offset = logs_ ? logs_->offset() : 0;
        request.info_log_bytes = info_.bytes;
        request.error_log_offset = logs_ ? logs_->offset() + info_.bytes : 0;
        request.error_log_bytes = error_.bytes;
    }

    /// Copies the messages to the application's buffers and tells their lengths; logs why the host
    /// does not take the image, if it does not.
    void finish(CUresult result, std::uint32_t info_used, std::uint32_t error_used);
    /// Stores what the host answered to an option that asks, e.g. CU_JIT_WALL_TIME.
    void answer(CUjit_option option, std::uint32_t value_bits);

private:
    struct Entry {
        std::uint32_t option;
        std::uint32_t zero;
        std::uint64_t value;
    };
    struct Log {
        char* buffer = nullptr;
        std::uint32_t bytes = 0;
        void** used = nullptr;  ///< the size option's value, which becomes the length
    };
    static void end(Log& log, std::uint32_t length);
    void deliver(Log& log, const std::byte* text, std::uint32_t used) const;

    const Caller& caller_;
    std::vector<Entry> entries_;
    std::uint32_t jit_count_ = 0;
    std::vector<std::pair<CUjit_option, void**>> answers_;
    Log info_;
    Log error_;
    /// Where the application gave no error log.
    char own_text_[512] = {};
    void* own_used_ = nullptr;
    std::optional<ArenaBlock> logs_;
};

}  // namespace cubar::guest
