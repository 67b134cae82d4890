// SPDX-License-Identifier: Apache-2.0
#include "driver/image/elf.h"

#include <algorithm>
#include <cstring>

namespace cubar::driver::image {
namespace {

constexpr Elf64_Half kMachineCuda = 190;
constexpr unsigned char kOsAbiCuda = 51;     // before CUDA 13: the sm in the flags' low byte
constexpr unsigned char kOsAbiCudaNew = 65;  // since: in bits 8 to 15

// Bounds the time that 65535 sections can cost whose names are all one long string. Mangled names
// of templates reach some kilobytes.
constexpr std::size_t kMaxName = std::size_t{64} << 10;

Result<Elf64_Ehdr> read_header(Bytes bytes) noexcept {
    const auto header = load<Elf64_Ehdr>(bytes, 0);
    if (!header) {
        return Failure{"ELF: shorter than its header"};
    }
    if (std::memcmp(header->e_ident, ELFMAG, SELFMAG) != 0) {
        return Failure{"ELF: wrong magic number"};
    }
    if (header->e_ident[EI_CLASS] != ELFCLASS64 || header->e_ident[EI_DATA] != ELFDATA2LSB) {
        return Failure{"ELF: not 64-bit little-endian"};
    }
    if (header->e_machine != kMachineCuda) {
        return Failure{"ELF: not for a CUDA device"};
    }
    if (header->e_shnum == 0 && header->e_shoff != 0) {
        return Failure{"ELF: more sections than the header can count"};
    }
    if ((header->e_shnum != 0 && header->e_shentsize != sizeof(Elf64_Shdr)) ||
        (header->e_phnum != 0 && header->e_phentsize != sizeof(Elf64_Phdr))) {
        return Failure{"ELF: header tables of unknown entry size"};
    }
    return *header;
}

Result<std::uint64_t> table_length(const Elf64_Ehdr& header) noexcept {
    const auto sections = sum_product(header.e_shoff, header.e_shnum, sizeof(Elf64_Shdr));
    const auto programs = sum_product(header.e_phoff, header.e_phnum, sizeof(Elf64_Phdr));
    if (!sections || !programs) {
        return Failure{"ELF: impossible place of a header table"};
    }
    std::uint64_t end = header.e_ehsize;
    end = std::max<std::uint64_t>(end, sizeof(Elf64_Ehdr));
    end = header.e_shnum == 0 ? end : std::max(end, *sections);
    return header.e_phnum == 0 ? end : std::max(end, *programs);
}

Result<unsigned> architecture(const Elf64_Ehdr& header) noexcept {
    switch (header.e_ident[EI_OSABI]) {
        case kOsAbiCuda:
            return header.e_flags & 0xff;
        case kOsAbiCudaNew:
            return header.e_flags >> 8 & 0xff;
        default:
            return Failure{"ELF: unknown OS ABI"};
    }
}

}  // namespace

Result<std::uint64_t> elf_table_length(Bytes header) noexcept {
    const auto read = read_header(header);
    return read ? table_length(*read) : read.failure();
}

Result<std::uint64_t> elf_length(Bytes bytes) noexcept {
    const auto header = read_header(bytes);
    if (!header) {
        return header.failure();
    }
    const auto tables = table_length(*header);
    if (!tables) {
        return tables.failure();
    }
    std::uint64_t length = *tables;
    for (std::uint64_t index = 0; index < header->e_shnum; ++index) {
        const auto section = load<Elf64_Shdr>(bytes, header->e_shoff + index * sizeof(Elf64_Shdr));
        if (!section) {
            return Failure{"ELF: section headers beyond the end"};
        }
        if (section->sh_type == SHT_NOBITS || section->sh_type == SHT_NULL) {
            continue;
        }
        const auto end = sum(section->sh_offset, section->sh_size);
        if (!end) {
            return Failure{"ELF: a section of impossible size"};
        }
        length = std::max(length, *end);
    }
    return length;
}

std::uint64_t elf_nobits_bytes(Bytes bytes) noexcept {
    constexpr std::string_view kShared = ".nv.shared";
    const auto length = elf_length(bytes);
    if (!length) {
        return 0;
    }
    const Elf64_Ehdr header = *read_header(bytes);
    const auto section_at = [&](std::uint64_t index) {
        return load<Elf64_Shdr>(bytes, header.e_shoff + index * sizeof(Elf64_Shdr));
    };
    const auto names =
        header.e_shstrndx < header.e_shnum ? section_at(header.e_shstrndx) : std::nullopt;
    const auto is_shared = [&](const Elf64_Shdr& section) {
        const auto offset = names ? sum(names->sh_offset, section.sh_name) : std::nullopt;
        const auto name = offset ? part(bytes, *offset, kShared.size()) : std::nullopt;
        return name && std::memcmp(name->data(), kShared.data(), kShared.size()) == 0;
    };
    std::uint64_t total = 0;
    for (std::uint64_t index = 0; index < header.e_shnum; ++index) {
        const auto section = section_at(index);
        if (section->sh_type != SHT_NOBITS || is_shared(*section)) {
            continue;
        }
        if (__builtin_add_overflow(total, section->sh_size, &total)) {
            return UINT64_MAX;
        }
    }
    return total;
}

Result<ElfReader> ElfReader::open(Bytes bytes) noexcept {
    const auto length = elf_length(bytes);
    if (!length) {
        return length.failure();
    }
    const auto whole = part(bytes, 0, *length);
    if (!whole) {
        return Failure{"ELF: shorter than its sections"};
    }
    ElfReader reader;
    reader.bytes_ = *whole;
    reader.header_ = *read_header(bytes);
    const auto sm = architecture(reader.header_);
    if (!sm) {
        return sm.failure();
    }
    reader.sm_ = *sm;
    for (std::size_t index = 0; index < reader.section_count(); ++index) {
        const auto header = reader.section_header(index);
        if (!header) {
            return header.failure();
        }
        if (header->sh_type != SHT_SYMTAB) {
            continue;
        }
        const auto names = reader.section_header(header->sh_link);
        if (!names || names->sh_type != SHT_STRTAB) {
            return Failure{"ELF: a symbol table without names"};
        }
        reader.symbols_ = *part(reader.bytes_, header->sh_offset, header->sh_size);
        reader.symbol_names_ = *names;
        break;
    }
    return reader;
}

Result<Elf64_Shdr> ElfReader::section_header(std::uint64_t index) const noexcept {
    if (index >= header_.e_shnum) {
        return Failure{"ELF: no such section"};
    }
    // open() has seen that all of them lie inside.
    return *load<Elf64_Shdr>(bytes_, header_.e_shoff + index * sizeof(Elf64_Shdr));
}

Result<std::string_view> ElfReader::text(const Elf64_Shdr& table,
                                         std::uint64_t offset) const noexcept {
    const auto strings =
        table.sh_type == SHT_STRTAB ? part(bytes_, table.sh_offset, table.sh_size) : std::nullopt;
    if (!strings || offset >= strings->size()) {
        return Failure{"ELF: a name outside its string table"};
    }
    const Bytes rest = strings->subspan(static_cast<std::size_t>(offset));
    const auto* begin = reinterpret_cast<const char*>(rest.data());
    const void* end = std::memchr(begin, 0, std::min(rest.size(), kMaxName));
    if (end == nullptr) {
        return Failure{"ELF: a name without an end"};
    }
    return std::string_view(begin, static_cast<const char*>(end));
}

Result<Section> ElfReader::section(std::size_t index) const noexcept {
    const auto header = section_header(index);
    if (!header) {
        return header.failure();
    }
    const auto names = section_header(header_.e_shstrndx);
    if (!names) {
        return names.failure();
    }
    const auto name = text(*names, header->sh_name);
    if (!name) {
        return name.failure();
    }
    Section section{.name = *name, .header = *header, .data = {}};
    if (header->sh_type != SHT_NOBITS && header->sh_type != SHT_NULL) {
        section.data = *part(bytes_, header->sh_offset, header->sh_size);
    }
    return section;
}

Result<std::optional<Section>> ElfReader::find_section(std::string_view name) const noexcept {
    for (std::size_t index = 0; index < section_count(); ++index) {
        const auto candidate = section(index);
        if (!candidate) {
            return candidate.failure();
        }
        if (candidate->name == name) {
            return std::optional(*candidate);
        }
    }
    return std::optional<Section>{};
}

Result<ElfSymbol> ElfReader::symbol(std::size_t index) const noexcept {
    if (index >= symbol_count()) {
        return Failure{"ELF: no such symbol"};
    }
    ElfSymbol result;
    result.symbol = *load<Elf64_Sym>(symbols_, index * sizeof(Elf64_Sym));
    const auto name = text(symbol_names_, result.symbol.st_name);
    if (!name) {
        return name.failure();
    }
    result.name = *name;
    return result;
}

}  // namespace cubar::driver::image
