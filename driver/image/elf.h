// SPDX-License-Identifier: Apache-2.0
// The ELF files that NVIDIA GPUs run ("cubins"), as far as a driver's front end needs them.
#pragma once

#include <elf.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "driver/image/bytes.h"
#include "driver/image/result.h"

namespace cubar::driver::image {

struct Section {
    std::string_view name;
    Elf64_Shdr header{};
    Bytes data;  // empty for SHT_NOBITS
};

struct ElfSymbol {
    std::string_view name;
    Elf64_Sym symbol{};
};

// A checked view of a cubin; the bytes must outlive it.
class ElfReader {
public:
    // Fails unless `bytes` holds a whole 64-bit little-endian CUDA ELF file. More may follow.
    static Result<ElfReader> open(Bytes bytes) noexcept;

    ElfReader() = default;

    std::uint64_t length() const noexcept { return bytes_.size(); }
    // 10 * major + minor of the architecture that the code was made for.
    unsigned sm() const noexcept { return sm_; }

    std::size_t section_count() const noexcept { return header_.e_shnum; }
    Result<Section> section(std::size_t index) const noexcept;
    // The first section of that name, or nothing.
    Result<std::optional<Section>> find_section(std::string_view name) const noexcept;

    // Symbols of the (only) SHT_SYMTAB section; 0 if there is none.
    std::size_t symbol_count() const noexcept { return symbols_.size() / sizeof(Elf64_Sym); }
    Result<ElfSymbol> symbol(std::size_t index) const noexcept;

private:
    Result<std::string_view> text(const Elf64_Shdr& table, std::uint64_t offset) const noexcept;
    Result<Elf64_Shdr> section_header(std::uint64_t index) const noexcept;

    Bytes bytes_;
    Elf64_Ehdr header_{};
    unsigned sm_ = 0;
    Bytes symbols_;
    Elf64_Shdr symbol_names_{};
};

// How many leading bytes elf_length() looks at.
inline constexpr std::size_t kElfHeaderSize = sizeof(Elf64_Ehdr);

// Where the image ends: the end of the section headers, of the program headers (which come last in
// a cubin) and of every section. `bytes` must reach to the end of the section headers at least; a
// caller that has a pointer only asks elf_table_length() for how far that is.
Result<std::uint64_t> elf_length(Bytes bytes) noexcept;

// What a loaded file takes in device memory beyond its own bytes, at the most: its sections without
// data, but for those of shared memory. 0 for what elf_length() refuses; saturates.
std::uint64_t elf_nobits_bytes(Bytes bytes) noexcept;

// Where the two header tables end, from the first kElfHeaderSize bytes.
Result<std::uint64_t> elf_table_length(Bytes header) noexcept;

}  // namespace cubar::driver::image
