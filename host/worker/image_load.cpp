// SPDX-License-Identifier: Apache-2.0
#include "host/worker/image_load.h"

#include <algorithm>
#include <cstring>
#include <string_view>

#include "driver/image/decompress.h"
#include "driver/image/elf.h"
#include "driver/image/fatbin.h"
#include "driver/image/image.h"
#include "driver/log.h"
#include "host/worker/arena_view.h"
#include "host/worker/ptx_variables.h"
#include "host/worker/try.h"

namespace cubar::host {
namespace {

namespace image = driver::image;

constexpr std::uint32_t kMostOptions = 256;
constexpr std::uint32_t kMostLogBytes = 1u << 20;

struct Entry {
    std::uint32_t option;
    std::uint32_t reserved;
    std::uint64_t value;
};

/// The driver reads as far as an image's headers say, so they must not say more than there is. A
/// wrapper holds a pointer, which means nothing here.
bool whole(image::Bytes bytes) {
    switch (image::image_kind(bytes)) {
        case image::ImageKind::kPtx:
            return true;
        case image::ImageKind::kFatbin: {
            const auto length = image::fatbin_length(bytes);
            return length && *length <= bytes.size();
        }
        case image::ImageKind::kElf: {
            const auto length = image::elf_length(bytes);
            return length && *length <= bytes.size();
        }
        case image::ImageKind::kFatbinWrapper:
        case image::ImageKind::kUnknown:
            return false;
    }
    return false;
}

bool mentions_vprintf(image::Bytes code) {
    const std::string_view text(reinterpret_cast<const char*>(code.data()), code.size());
    return text.find("vprintf") != std::string_view::npos;
}

/// Of a cubin, or of PTX.
std::uint64_t variable_bytes(image::Bytes code) {
    if (image::image_kind(code) == image::ImageKind::kElf) return image::elf_nobits_bytes(code);
    return ptx_variable_bytes({reinterpret_cast<const char*>(code.data()), code.size()});
}

void add_facts(image::Bytes code, ImageLoad::Facts& facts) {
    facts.variable_bytes = std::max(facts.variable_bytes, variable_bytes(code));
    facts.prints = facts.prints || mentions_vprintf(code);
}

/// Looks into the entry of a fatbin that the driver will choose for a device.
bool add_entry(image::Bytes fatbin, int major, int minor, ImageLoad::Facts& facts) {
    const auto chosen =
        image::choose_entry(fatbin, static_cast<unsigned>(major), static_cast<unsigned>(minor));
    if (!chosen) return false;
    if (!*chosen) return true;
    const auto code = image::decompress(**chosen);
    if (!code) return false;
    add_facts(*code, facts);
    return true;
}

}  // namespace

CUresult ImageLoad::prepare(Session& session, std::uint32_t upload, std::uint64_t offset,
                            std::uint64_t bytes, const Options& options) {
    CUBAR_TRY(fetch_image(session, upload, offset, bytes));
    CUBAR_TRY(read_options(options));
    add(CU_JIT_WALL_TIME, 0);
    CUBAR_TRY(add_log(session, info_, CU_JIT_INFO_LOG_BUFFER, CU_JIT_INFO_LOG_BUFFER_SIZE_BYTES));
    return add_log(session, errors_, CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES);
}

CUresult ImageLoad::fetch_image(Session& session, std::uint32_t upload, std::uint64_t offset,
                                std::uint64_t bytes) {
    if (upload != 0) {
        image_ = session.images().find(upload);
        if (image_ == nullptr) return CUDA_ERROR_INVALID_VALUE;
    } else {
        const auto source = session.arena().bytes(offset, bytes);
        if (source.empty() || bytes > ImageStore::kMaxImageBytes) return CUDA_ERROR_INVALID_VALUE;
        auto copy = std::make_shared<std::vector<std::byte>>(source.size() + 1);
        std::memcpy(copy->data(), source.data(), source.size());
        image_ = std::move(copy);
    }
    return whole(std::span(*image_).first(image_->size() - 1)) ? CUDA_SUCCESS
                                                               : CUDA_ERROR_INVALID_IMAGE;
}

CUresult ImageLoad::read_options(const Options& options) {
    // The two library options change nothing here: the driver makes a copy of the image in any
    // case, and the guest refuses the table of host functions.
    const std::uint64_t needed =
        (std::uint64_t{options.jit_count} + options.library_count) * sizeof(Entry);
    if (options.jit_count > kMostOptions || needed > options.payload.size()) {
        return CUDA_ERROR_INVALID_VALUE;
    }
    for (std::uint32_t index = 0; index < options.jit_count; ++index) {
        Entry entry;
        std::memcpy(&entry, options.payload.data() + index * sizeof entry, sizeof entry);
        switch (entry.option) {
            // The worker's own, or with pointers for values.
            case CU_JIT_WALL_TIME:
            case CU_JIT_INFO_LOG_BUFFER:
            case CU_JIT_INFO_LOG_BUFFER_SIZE_BYTES:
            case CU_JIT_ERROR_LOG_BUFFER:
            case CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES:
            case CU_JIT_GLOBAL_SYMBOL_NAMES:
            case CU_JIT_GLOBAL_SYMBOL_ADDRESSES:
            case CU_JIT_GLOBAL_SYMBOL_COUNT:
            case CU_JIT_REFERENCED_KERNEL_NAMES:
            case CU_JIT_REFERENCED_KERNEL_COUNT:
            case CU_JIT_REFERENCED_VARIABLE_NAMES:
            case CU_JIT_REFERENCED_VARIABLE_COUNT:
                return CUDA_ERROR_INVALID_VALUE;
            default:
                break;
        }
        if (entry.option >= CU_JIT_NUM_OPTIONS) return CUDA_ERROR_INVALID_VALUE;
        add(static_cast<CUjit_option>(entry.option), entry.value);
    }
    return CUDA_SUCCESS;
}

CUresult ImageLoad::add_log(Session& session, Log& log, CUjit_option buffer, CUjit_option size) {
    if (log.bytes == 0) return CUDA_SUCCESS;
    if (log.bytes > kMostLogBytes || session.arena().bytes(log.offset, log.bytes).empty()) {
        return CUDA_ERROR_INVALID_VALUE;
    }
    log.text.resize(log.bytes);
    add(buffer, reinterpret_cast<std::uint64_t>(log.text.data()));
    add(size, log.bytes);
    return CUDA_SUCCESS;
}

void ImageLoad::add(CUjit_option option, std::uint64_t value) {
    options_.push_back(option);
    values_.push_back(reinterpret_cast<void*>(value));
}

std::uint32_t ImageLoad::answer(CUjit_option option) const {
    const auto found = std::find(options_.begin(), options_.end(), option);
    if (found == options_.end()) return 0;
    std::uint32_t value = 0;
    std::memcpy(&value, &values_[static_cast<std::size_t>(found - options_.begin())], sizeof value);
    return value;
}

std::uint32_t ImageLoad::deliver(Session& session, const Log& log, CUjit_option size) const {
    if (log.text.empty()) return 0;
    const std::size_t used = strnlen(log.text.data(), std::min(answer(size), log.bytes));
    const auto target = session.arena().bytes(log.offset, log.bytes);
    if (target.size() < used) return 0;
    std::memcpy(target.data(), log.text.data(), used);
    return static_cast<std::uint32_t>(used);
}

CUresult ImageLoad::examine(Session& session, Facts& facts) const {
    const image::Bytes bytes = *image_;
    if (image::image_kind(bytes) != image::ImageKind::kFatbin) {
        add_facts(bytes, facts);
        return CUDA_SUCCESS;
    }
    const Driver& driver = session.driver();
    int devices = 0;
    CUBAR_TRY(ask(driver.cuDeviceGetCount, &devices));
    int last_major = 0;
    int last_minor = 0;
    for (int ordinal = 0; ordinal < devices; ++ordinal) {
        CUdevice device = 0;
        int major = 0;
        int minor = 0;
        CUBAR_TRY(ask(driver.cuDeviceGet, &device, ordinal));
        CUBAR_TRY(ask(driver.cuDeviceGetAttribute, &major,
                      CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, device));
        CUBAR_TRY(ask(driver.cuDeviceGetAttribute, &minor,
                      CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, device));
        if (major == last_major && minor == last_minor) continue;
        // What cannot be measured is not loaded: it might take any memory.
        if (!add_entry(bytes, major, minor, facts)) return CUDA_ERROR_INVALID_IMAGE;
        last_major = major;
        last_minor = minor;
    }
    return CUDA_SUCCESS;
}

}  // namespace cubar::host
