// SPDX-License-Identifier: Apache-2.0
#include "driver/image/image.h"

#include <cstring>
#include <string_view>

#include "driver/image/elf.h"
#include "driver/image/fatbin.h"

namespace cubar::driver::image {
namespace {

constexpr std::uint64_t kMaxText = std::uint64_t{1} << 30;
constexpr std::uint64_t kMaxImage = std::uint64_t{1} << 32;
constexpr std::uint32_t kElfMagic = 0x464c457f;

// Text of which only the beginning is known: never looks behind a null character, which is what
// it finds behind its end.
class Cursor {
public:
    Cursor(const std::byte* at, std::size_t limit) noexcept : at_(at), left_(limit) {}

    char peek() const noexcept {
        return left_ == 0 ? '\0' : static_cast<char>(std::to_integer<unsigned char>(*at_));
    }

    void advance() noexcept {
        if (peek() != '\0') {
            ++at_;
            --left_;
        }
    }

    bool consume(std::string_view wanted) noexcept {
        Cursor ahead = *this;
        for (const char c : wanted) {
            if (ahead.peek() != c) {
                return false;
            }
            ahead.advance();
        }
        *this = ahead;
        return true;
    }

private:
    const std::byte* at_;
    std::size_t left_;
};

bool skip_blank_or_comment(Cursor& cursor) noexcept {
    if (cursor.peek() != '\0' && std::strchr(" \t\r\n\v\f", cursor.peek()) != nullptr) {
        cursor.advance();
        return true;
    }
    if (cursor.consume("//")) {
        while (cursor.peek() != '\n' && cursor.peek() != '\0') {
            cursor.advance();
        }
        return true;
    }
    if (cursor.consume("/*")) {
        while (cursor.peek() != '\0' && !cursor.consume("*/")) {
            cursor.advance();
        }
        return true;
    }
    return false;
}

bool is_ptx(const std::byte* at, std::size_t limit) noexcept {
    Cursor cursor(at, limit);
    while (skip_blank_or_comment(cursor)) {
    }
    return cursor.consume(".version");
}

// Byte by byte, for there may be no more of them than differ.
bool has_magic(const std::byte* at, std::size_t limit, std::uint32_t magic) noexcept {
    for (std::size_t index = 0; index < sizeof magic; ++index) {
        if (index == limit || at[index] != static_cast<std::byte>(magic >> (8 * index))) {
            return false;
        }
    }
    return true;
}

ImageKind kind_of(const std::byte* at, std::size_t limit) noexcept {
    if (has_magic(at, limit, kFatbinWrapperMagic)) {
        return ImageKind::kFatbinWrapper;
    }
    if (has_magic(at, limit, kFatbinMagic)) {
        return ImageKind::kFatbin;
    }
    if (has_magic(at, limit, kElfMagic)) {
        return ImageKind::kElf;
    }
    return is_ptx(at, limit) ? ImageKind::kPtx : ImageKind::kUnknown;
}

Result<Measured> measured(ImageKind kind, const std::byte* begin,
                          const Result<std::uint64_t>& length) noexcept {
    if (!length) {
        return length.failure();
    }
    if (*length > kMaxImage) {
        return Failure{"image: larger than 4 GiB"};
    }
    return Measured{kind, Bytes(begin, static_cast<std::size_t>(*length))};
}

constexpr Failure kEndsEarly{"image: ends before the end that it names"};

bool is_there(Readable readable, const std::byte* begin, std::size_t size) noexcept {
    return readable == nullptr || readable(Bytes(begin, size));
}

Result<Measured> measure_fatbin(const std::byte* begin, Readable readable) noexcept {
    if (!is_there(readable, begin, kFatbinHeaderSize)) {
        return kEndsEarly;
    }
    return measured(ImageKind::kFatbin, begin, fatbin_length(Bytes(begin, kFatbinHeaderSize)));
}

Result<Measured> measure_elf(const std::byte* begin, Readable readable) noexcept {
    if (!is_there(readable, begin, kElfHeaderSize)) {
        return kEndsEarly;
    }
    const auto tables = elf_table_length(Bytes(begin, kElfHeaderSize));
    const auto looked_at = measured(ImageKind::kElf, begin, tables);
    if (!looked_at) {
        return looked_at;
    }
    if (!is_there(readable, begin, looked_at->bytes.size())) {
        return kEndsEarly;
    }
    return measured(ImageKind::kElf, begin, elf_length(looked_at->bytes));
}

Result<Measured> measure_wrapper(const std::byte* begin, Readable readable) noexcept {
    if (!is_there(readable, begin, sizeof(FatbinWrapper))) {
        return kEndsEarly;
    }
    FatbinWrapper wrapper;
    std::memcpy(&wrapper, begin, sizeof wrapper);
    if (wrapper.version != 1 && wrapper.version != 2) {
        return Failure{"fatbin wrapper: unknown version"};
    }
    const auto* data = static_cast<const std::byte*>(wrapper.data);
    if (data == nullptr) {
        return Failure{"fatbin wrapper: points to nothing"};
    }
    auto fatbin = measure_fatbin(data, readable);
    if (fatbin) {
        fatbin->kind = ImageKind::kFatbinWrapper;
        fatbin->prelinked = wrapper.version == 2 ? wrapper.aux : nullptr;
    }
    return fatbin;
}

Result<Measured> measure_ptx(const std::byte* begin) noexcept {
    const std::size_t length = strnlen(reinterpret_cast<const char*>(begin), kMaxText + 1);
    if (length > kMaxText) {
        return Failure{"PTX: larger than 1 GiB"};
    }
    return Measured{ImageKind::kPtx, Bytes(begin, length)};
}

}  // namespace

ImageKind image_kind(Bytes bytes) noexcept {
    return kind_of(bytes.data(), bytes.size());
}

Result<Measured> measure(const void* image, Readable readable) noexcept {
    if (image == nullptr) {
        return Failure{"image: null"};
    }
    const auto* begin = static_cast<const std::byte*>(image);
    // Fewer bytes than a magic number has are no image of any kind.
    const bool begins = is_there(readable, begin, sizeof kElfMagic);
    switch (begins ? kind_of(begin, kMaxText) : ImageKind::kUnknown) {
        case ImageKind::kFatbinWrapper:
            return measure_wrapper(begin, readable);
        case ImageKind::kFatbin:
            return measure_fatbin(begin, readable);
        case ImageKind::kElf:
            return measure_elf(begin, readable);
        case ImageKind::kPtx:
            return measure_ptx(begin);
        case ImageKind::kUnknown:
            break;
    }
    return Failure{"image: neither fatbin nor ELF nor PTX"};
}

}  // namespace cubar::driver::image
