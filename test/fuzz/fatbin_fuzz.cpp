// SPDX-License-Identifier: Apache-2.0
// Fatbins from anywhere: no byte sequence may lead a reader outside or keep it for ever.
// Sources: driver/image/fatbin.cpp driver/image/image.cpp driver/image/elf.cpp
// driver/image/decompress.cpp; libraries: liblz4, libzstd; include directories: . and CUDA's.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <vector>

#include "driver/image/decompress.h"
#include "driver/image/elf.h"
#include "driver/image/fatbin.h"
#include "driver/image/image.h"

namespace image = cubar::driver::image;

namespace {

// Enough for the corpus; more would test malloc.
constexpr std::uint64_t kMaxUnpacked = 1 << 20;

void require(bool condition) {
    if (!condition) {
        std::abort();
    }
}

bool inside(image::Bytes inner, image::Bytes outer) {
    return inner.empty() || (inner.data() >= outer.data() &&
                             inner.data() + inner.size() <= outer.data() + outer.size());
}

void walk(image::Bytes input) {
    auto reader = image::FatbinReader::open(input);
    if (!reader) {
        require(reader.reason() != nullptr);
        return;
    }
    const auto length = image::fatbin_length(input);
    require(length && *length <= input.size());
    std::size_t count = 0;
    while (true) {
        const auto entry = reader->next();
        if (!entry || !entry->has_value()) {
            break;
        }
        require(++count <= input.size() / 64);
        require(inside((*entry)->stored, input));
        if ((*entry)->size <= kMaxUnpacked) {
            const auto unpacked = image::decompress(**entry);
            require(!unpacked || unpacked->size() <= (*entry)->size);
        }
    }
}

// measure() trusts that as much memory is there as the headers say; asks it only where it is.
bool may_measure(image::Bytes input) {
    switch (image::image_kind(input)) {
        case image::ImageKind::kFatbinWrapper:
            return false;  // its pointers point nowhere
        case image::ImageKind::kFatbin:
            return input.size() >= image::kFatbinHeaderSize;
        case image::ImageKind::kElf: {
            const auto tables = image::elf_table_length(input);
            return input.size() >= image::kElfHeaderSize && (!tables || *tables <= input.size());
        }
        case image::ImageKind::kPtx:
        case image::ImageKind::kUnknown:
            break;
    }
    return true;
}

void measure(image::Bytes input) {
    if (!may_measure(input)) {
        return;
    }
    std::vector<std::byte> ended(input.begin(), input.end());
    ended.push_back(std::byte{0});
    const auto measured = image::measure(ended.data());
    require(measured || measured.reason() != nullptr);
    const image::FatbinWrapper wrapper{image::kFatbinWrapperMagic, 1, ended.data(), nullptr};
    if (measured && measured->kind == image::ImageKind::kFatbin) {
        const auto wrapped = image::measure(&wrapper);
        require(wrapped && wrapped->bytes.data() == measured->bytes.data() &&
                wrapped->bytes.size() == measured->bytes.size());
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const image::Bytes input = std::as_bytes(std::span(data, size));
    (void)image::image_kind(input);
    (void)image::fatbin_length(input);
    walk(input);
    measure(input);
    for (const unsigned major : {7U, 8U, 9U, 10U, 12U}) {
        const auto entry = image::choose_entry(input, major, 5);
        if (entry && entry->has_value()) {
            require(inside((*entry)->stored, input));
            require((*entry)->sm <= 10 * major + 5);
        }
    }
    return 0;
}
