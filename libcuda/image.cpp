// SPDX-License-Identifier: Apache-2.0
#include "libcuda/image.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>

#include "driver/image/elf.h"
#include "driver/image/fatbin.h"
#include "driver/image/image.h"
#include "driver/log.h"
#include "libcuda/own_memory.h"
#include "transport/bulk_copy.h"
#include "transport/descriptor.h"

namespace cubar::guest {
namespace {

/// An image of up to this size goes in one piece; a larger one would take arena that others need.
constexpr std::size_t kOnePiece = std::size_t{16} << 20;
constexpr std::size_t kPart = kGranuleBytes;

Image measured(const driver::image::Result<driver::image::Measured>& found) {
    if (!found) return {{}, found.reason()};
    if (!is_mapped(found->bytes)) return {{}, "image: ends before the end that it names"};
    return {found->bytes, nullptr};
}

/// What to look at where the driver's log is empty.
const char* likely_reason(CUresult result) {
    switch (result) {
        case CUDA_ERROR_OUT_OF_MEMORY:
            return "the GPU's memory or this VM's quota does not hold it; free some, or raise the "
                   "quota on the host";
        case CUDA_ERROR_NO_BINARY_FOR_GPU:
        case CUDA_ERROR_INVALID_PTX:
        case CUDA_ERROR_UNSUPPORTED_PTX_VERSION:
            return "it is for another GPU or a newer driver; build it for this GPU";
        case CUDA_ERROR_INVALID_IMAGE:
            return "it is damaged, or packed in a way that the host does not know; build it anew, "
                   "or "
                   "update cubar on the host";
        default:
            return "it does not say why";
    }
}

}  // namespace

Image image_at(const void* address) {
    return measured(driver::image::measure(address, is_mapped));
}

CUresult ImageFile::read(const char* path) {
    // Without waiting for the writer of a pipe, which is no image file anyhow.
    const transport::Descriptor file(open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    struct stat status {};
    if (file.get() < 0 || fstat(file.get(), &status) != 0 || !S_ISREG(status.st_mode)) {
        return CUDA_ERROR_FILE_NOT_FOUND;
    }
    const auto size = static_cast<std::size_t>(status.st_size);
    data_.reset(new (std::nothrow) std::byte[size + 1]);
    if (data_ == nullptr) return CUDA_ERROR_OUT_OF_MEMORY;
    for (bytes_ = 0; bytes_ < size;) {
        const ssize_t got = ::read(file.get(), data_.get() + bytes_, size - bytes_);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return CUDA_ERROR_FILE_NOT_FOUND;
        if (got == 0) break;  // it has become shorter meanwhile
        bytes_ += static_cast<std::size_t>(got);
    }
    data_[bytes_] = std::byte{0};
    return CUDA_SUCCESS;
}

Image ImageFile::image() const {
    using driver::image::ImageKind;
    const std::span whole(data_.get(), bytes_);
    driver::image::Result<std::uint64_t> length = std::uint64_t{bytes_};
    switch (driver::image::image_kind(whole)) {
        case ImageKind::kFatbin:
            length = driver::image::fatbin_length(whole);
            break;
        case ImageKind::kElf:
            length = driver::image::elf_length(whole);
            break;
        case ImageKind::kPtx:
            break;
        case ImageKind::kFatbinWrapper:
            return {{}, "fatbin wrapper: means nothing in a file"};
        case ImageKind::kUnknown:
            return {{}, "image: neither fatbin nor ELF nor PTX"};
    }
    if (!length) return {{}, length.reason()};
    if (*length > bytes_) return {{}, "image: ends before the end that it names"};
    return {whole.first(static_cast<std::size_t>(*length)), nullptr};
}

ImageUpload::~ImageUpload() {
    if (number_ != 0) {
        wire::image_end::Request request{};
        request.upload = number_;
        caller_.channel().post(
            {static_cast<std::uint32_t>(wire::image_end::kOpcode), caller_.thread->number, 0, 0},
            request);
    }
    block_.reset();
    // A small one leaves its granule for the next.
    if (bytes_ > kGranuleBytes) return_free_granules(caller_);
}

CUresult ImageUpload::send(std::span<const std::byte> image) {
    bytes_ = image.size();
    if (image.size() <= kOnePiece) {
        ArenaBlock block = ArenaBlock::allocate(caller_, image.size());
        if (block) {
            transport::bulk_write(block.data(), image.data(), image.size(),
                                  caller_.channel().memory_type());
            block_.emplace(std::move(block));
            return CUDA_SUCCESS;
        }
    }
    return send_in_parts(image);
}

CUresult ImageUpload::send_in_parts(std::span<const std::byte> image) {
    ArenaBlock block = ArenaBlock::allocate(caller_, std::min(kPart, image.size()));
    if (!block) return CUDA_ERROR_OUT_OF_MEMORY;
    wire::image_begin::Request begin{};
    begin.bytes = image.size();
    wire::image_begin::Reply begun{};
    CUBAR_TRY(call_in<wire::image_begin>(caller_, {}, {}, begin, begun));
    number_ = begun.upload;
    for (std::size_t done = 0; done < image.size();) {
        const std::size_t bytes = std::min(block.bytes(), image.size() - done);
        transport::bulk_write(block.data(), image.data() + done, bytes,
                              caller_.channel().memory_type());
        wire::image_part::Request part{};
        part.image_offset = done;
        part.arena_offset = block.offset();
        part.bytes = bytes;
        part.upload = number_;
        wire::image_part::Reply reply{};
        CUBAR_TRY(call_in<wire::image_part>(caller_, {}, {}, part, reply));
        done += bytes;
    }
    return CUDA_SUCCESS;
}

CUresult LoadOptions::read(unsigned count, CUjit_option* options, void** values) {
    if (count != 0 && (options == nullptr || values == nullptr)) return CUDA_ERROR_INVALID_VALUE;
    for (unsigned index = 0; index < count; ++index) {
        const auto value = reinterpret_cast<std::uint64_t>(values[index]);
        switch (options[index]) {
            case CU_JIT_INFO_LOG_BUFFER:
                info_.buffer = static_cast<char*>(values[index]);
                break;
            case CU_JIT_ERROR_LOG_BUFFER:
                error_.buffer = static_cast<char*>(values[index]);
                break;
            case CU_JIT_INFO_LOG_BUFFER_SIZE_BYTES:
                info_.bytes = static_cast<std::uint32_t>(value);
                info_.used = &values[index];
                break;
            case CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES:
                error_.bytes = static_cast<std::uint32_t>(value);
                error_.used = &values[index];
                break;
            case CU_JIT_WALL_TIME:
                answers_.emplace_back(options[index], &values[index]);
                break;
            case CU_JIT_GLOBAL_SYMBOL_NAMES:
            case CU_JIT_GLOBAL_SYMBOL_ADDRESSES:
            case CU_JIT_REFERENCED_KERNEL_NAMES:
            case CU_JIT_REFERENCED_VARIABLE_NAMES:
                return CUDA_ERROR_NOT_SUPPORTED;
            case CU_JIT_THREADS_PER_BLOCK:
                answers_.emplace_back(options[index], &values[index]);
                [[fallthrough]];
            default:
                entries_.push_back({static_cast<std::uint32_t>(options[index]), 0, value});
                break;
        }
    }
    if (info_.buffer == nullptr) info_.bytes = 0;
    if (error_.buffer == nullptr) error_.bytes = 0;
    jit_count_ = static_cast<std::uint32_t>(entries_.size());
    return CUDA_SUCCESS;
}

CUresult LoadOptions::read_library(unsigned count, CUlibraryOption* options, void** values) {
    if (count != 0 && options == nullptr) return CUDA_ERROR_INVALID_VALUE;
    for (unsigned index = 0; index < count; ++index) {
        switch (options[index]) {
            // The host keeps a copy of the image as long as it needs it.
            case CU_LIBRARY_BINARY_IS_PRESERVED:
                break;
            case CU_LIBRARY_HOST_UNIVERSAL_FUNCTION_AND_DATA_TABLE:
                if (values == nullptr || values[index] != nullptr) return CUDA_ERROR_NOT_SUPPORTED;
                break;
            default:
                return CUDA_ERROR_INVALID_VALUE;
        }
    }
    return CUDA_SUCCESS;
}

CUresult LoadOptions::check(const Image& image) {
    if (image.fault == nullptr) return CUDA_SUCCESS;
    CUBAR_LOG(kError, "an image that cannot be read: %s", image.fault);
    if (error_.bytes != 0) {
        const auto length = static_cast<std::uint32_t>(
            std::min<std::size_t>(std::strlen(image.fault), error_.bytes - 1));
        std::memcpy(error_.buffer, image.fault, length);
        end(error_, length);
    }
    end(info_, 0);
    return CUDA_ERROR_INVALID_IMAGE;
}

CUresult LoadOptions::prepare_logs() {
    // Nobody reads more; and the arena is not the application's to fill.
    constexpr std::uint32_t kMostLog = 1u << 20;
    info_.bytes = std::min(info_.bytes, kMostLog);
    error_.bytes = std::min(error_.bytes, kMostLog);
    const bool wanted = info_.bytes + error_.bytes != 0;
    if (error_.bytes == 0 && driver::log_enabled(driver::LogLevel::kError)) {
        error_ = {own_text_, sizeof own_text_, &own_used_};
    }
    if (info_.bytes + error_.bytes == 0) return CUDA_SUCCESS;
    ArenaBlock block = ArenaBlock::allocate(caller_, info_.bytes + error_.bytes);
    if (block) {
        logs_.emplace(std::move(block));
    } else if (wanted) {
        return CUDA_ERROR_OUT_OF_MEMORY;
    } else {
        error_ = {};
    }
    return CUDA_SUCCESS;
}

void LoadOptions::end(Log& log, std::uint32_t length) {
    if (log.bytes == 0) return;
    log.buffer[length] = '\0';
    *log.used = reinterpret_cast<void*>(static_cast<std::uintptr_t>(length));
}

void LoadOptions::deliver(Log& log, const std::byte* text, std::uint32_t used) const {
    if (log.bytes == 0) return;
    const std::uint32_t length = std::min(used, log.bytes - 1);
    transport::bulk_read(reinterpret_cast<std::byte*>(log.buffer), text, length,
                         caller_.channel().memory_type());
    end(log, length);
}

void LoadOptions::finish(CUresult result, std::uint32_t info_used, std::uint32_t error_used) {
    if (logs_) {
        deliver(info_, logs_->data(), info_used);
        deliver(error_, logs_->data() + info_.bytes, error_used);
    }
    if (result == CUDA_SUCCESS) return;
    const bool says_why = error_.bytes != 0 && error_.buffer[0] != '\0';
    CUBAR_LOG(kError, "the host's driver does not take an image (error %d): %s",
              static_cast<int>(result), says_why ? error_.buffer : likely_reason(result));
}

void LoadOptions::answer(CUjit_option option, std::uint32_t value_bits) {
    for (const auto& [asked, place] : answers_) {
        // CUDA stores the 4 bytes of the value where the option's pointer was.
        if (asked == option) std::memcpy(place, &value_bits, sizeof value_bits);
    }
}

}  // namespace cubar::guest
