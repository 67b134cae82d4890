// SPDX-License-Identifier: Apache-2.0
#include "softgpu/device/code_image.h"

#include <string_view>

#include "driver/image/decompress.h"
#include "driver/image/elf.h"
#include "driver/image/image.h"
#include "driver/log.h"
#include "softgpu/device/error.h"
#include "softgpu/ptx/parse.h"

namespace cubar::softgpu::device {
namespace {

using driver::image::ArchSuffix;
using driver::image::Bytes;
using driver::image::EntryKind;
using driver::image::FatbinEntry;
using driver::image::FatbinReader;
using driver::image::ImageKind;

[[noreturn]] void refuse(CUresult code, const char* reason, std::string& log) {
    log.append(reason).append("\n");
    throw Error(code, reason);
}

/// For what a program's author can mend. Programs seldom say which image it was, nor NVIDIA's
/// libraries what became of theirs: so the log does.
[[noreturn]] void refuse(CUresult code, const char* reason, const std::string& advice,
                         std::string& log) {
    CUBAR_LOG(kError, "softgpu: module refused: %s: %s", reason, advice.c_str());
    log.append(reason).append(": ").append(advice).append("\n");
    throw Error(code, reason);
}

[[noreturn]] void refuse_machine_code(const char* what, std::string& log) {
    refuse(
        CUDA_ERROR_NO_BINARY_FOR_GPU, what,
        "the software GPU executes PTX alone; build it with PTX for this compute capability or "
        "an earlier one, set CUBAR_SOFTGPU_CC to that of its PTX, or use an NVIDIA GPU; NVIDIA's "
        "own libraries, cuBLAS among them, bring machine code only",
        log);
}

[[noreturn]] void refuse_newer(unsigned target, std::string& log) {
    const std::string capability = std::to_string(target / 10) + "." + std::to_string(target % 10);
    refuse(CUDA_ERROR_INVALID_PTX, "the PTX is for a newer architecture",
           "build it for this compute capability, or set CUBAR_SOFTGPU_CC=" + capability, log);
}

bool runs(const FatbinEntry& entry, const Architecture& architecture) {
    const auto own = static_cast<unsigned>(architecture.major * 10 + architecture.minor);
    switch (entry.suffix) {
        case ArchSuffix::kNone:
            return entry.sm <= own;
        case ArchSuffix::kSpecific:
            return entry.sm == own;
        case ArchSuffix::kFamily:
            return entry.sm <= own && entry.sm / 10 == own / 10;
    }
    return false;
}

std::string_view as_text(Bytes bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace

CodeImage::CodeImage(const void* image, Lifetime lifetime, const Architecture& architecture,
                     std::string& log)
    : architecture_(architecture) {
    const auto measured = driver::image::measure(image);
    if (!measured) refuse(CUDA_ERROR_INVALID_IMAGE, measured.reason(), log);
    switch (measured->kind) {
        case ImageKind::kPtx:
            text_ = as_text(measured->bytes);
            return;
        case ImageKind::kFatbin:
        case ImageKind::kFatbinWrapper:
            choose(measured->bytes, log);
            break;
        case ImageKind::kElf: {
            if (const auto elf = driver::image::ElfReader::open(measured->bytes); !elf)
                refuse(CUDA_ERROR_INVALID_IMAGE, elf.reason(), log);
            refuse_machine_code("a cubin", log);
        }
        case ImageKind::kUnknown:
            refuse(CUDA_ERROR_INVALID_IMAGE, "neither a fatbin nor a cubin nor PTX", log);
    }
    if (lifetime == Lifetime::kPreserved) return;
    copy_.assign(entry_->stored.begin(), entry_->stored.end());
    entry_->stored = copy_;
}

void CodeImage::choose(Bytes fatbin, std::string& log) {
    auto reader = FatbinReader::open(fatbin);
    if (!reader) refuse(CUDA_ERROR_INVALID_IMAGE, reader.reason(), log);
    for (;;) {
        const auto next = reader->next();
        if (!next) refuse(CUDA_ERROR_INVALID_IMAGE, next.reason(), log);
        if (!*next) break;
        const FatbinEntry& entry = **next;
        if (!entry.is(EntryKind::kPtx) || !runs(entry, architecture_)) continue;
        if (!entry_ || entry.sm > entry_->sm) entry_ = entry;
    }
    if (!entry_) refuse_machine_code("a fatbin without PTX for this device", log);
}

std::unique_ptr<ptx::Module> CodeImage::parse(std::string& log) const {
    std::vector<std::byte> unpacked;
    std::string_view text = text_;
    if (entry_) {
        auto result = driver::image::decompress(*entry_);
        if (!result) refuse(CUDA_ERROR_INVALID_IMAGE, result.reason(), log);
        unpacked = std::move(*result);
        text = as_text(unpacked);
    }
    ptx::Log errors;
    std::unique_ptr<ptx::Module> module = ptx::parse_module(text, errors);
    log += errors.text;
    if (module == nullptr && errors.newer_version)
        throw Error(CUDA_ERROR_UNSUPPORTED_PTX_VERSION, "the PTX is of a newer version");
    if (module == nullptr) throw Error(CUDA_ERROR_INVALID_PTX, "the PTX is in error");
    if (module->target > static_cast<unsigned>(architecture_.major * 10 + architecture_.minor))
        refuse_newer(module->target, log);
    return module;
}

}  // namespace cubar::softgpu::device
