// SPDX-License-Identifier: Apache-2.0
// Cubins from anywhere: no byte sequence may lead a reader outside or keep it for ever.
// Sources: driver/image/elf.cpp driver/image/kernel_params.cpp; include directories: . and CUDA's.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string_view>

#include "driver/image/elf.h"
#include "driver/image/kernel_params.h"

namespace image = cubar::driver::image;

namespace {

void require(bool condition) {
    if (!condition) {
        std::abort();
    }
}

bool inside(const void* data, std::size_t size, image::Bytes outer) {
    const auto* begin = static_cast<const std::byte*>(data);
    return size == 0 || (begin >= outer.data() && begin + size <= outer.data() + outer.size());
}

void check(const image::Result<image::KernelParams>& params) {
    if (!params) {
        require(params.reason() != nullptr);
        return;
    }
    for (const image::KernelParam& param : params->params) {
        require(param.offset + param.size <= params->total_size);
    }
}

void walk(const image::ElfReader& elf, image::Bytes input) {
    constexpr std::string_view kInfo = ".nv.info.";
    for (std::size_t index = 0; index < elf.section_count(); ++index) {
        const auto section = elf.section(index);
        if (!section) {
            continue;
        }
        require(inside(section->name.data(), section->name.size(), input));
        require(inside(section->data.data(), section->data.size(), input));
        if (section->name.starts_with(kInfo)) {
            check(image::kernel_params(elf, section->name.substr(kInfo.size())));
        }
    }
    for (std::size_t index = 0; index < elf.symbol_count(); ++index) {
        const auto symbol = elf.symbol(index);
        require(!symbol || inside(symbol->name.data(), symbol->name.size(), input));
    }
    (void)elf.find_section(".nowhere");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const image::Bytes input = std::as_bytes(std::span(data, size));
    (void)image::elf_table_length(input);
    check(image::parse_kernel_params(input));
    (void)image::elf_nobits_bytes(input);
    const auto elf = image::ElfReader::open(input);
    if (elf) {
        require(elf->length() <= size);
        walk(*elf, input);
    }
    return 0;
}
