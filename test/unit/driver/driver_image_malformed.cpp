// SPDX-License-Identifier: Apache-2.0
// Images made by hand: each starts out good, and each single damage must be refused with its
// reason.
#include <catch2/catch.hpp>
#include <cstring>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "driver/image/elf.h"
#include "driver/image/fatbin.h"
#include "driver/image/kernel_params.h"

using namespace cubar::driver::image;

namespace {

using Buffer = std::vector<std::byte>;

template <typename T>
void put(Buffer& buffer, std::size_t offset, T value) {
    REQUIRE(offset + sizeof value <= buffer.size());
    std::memcpy(buffer.data() + offset, &value, sizeof value);
}

template <typename T>
void append(Buffer& buffer, T value) {
    buffer.resize(buffer.size() + sizeof value);
    put(buffer, buffer.size() - sizeof value, value);
}

// ---- fatbins ---------------------------------------------------------------------------------

struct Entry {
    std::uint16_t kind = 2;
    std::uint32_t sm = 80;
    std::uint64_t flags = 0x11;
    std::uint64_t padded = 8;
    std::uint32_t compressed = 0;
    std::uint64_t uncompressed = 0;
    std::uint32_t header = 64;
};

constexpr std::uint64_t kLz4 = 0x2000;
constexpr std::uint64_t kZstd = 0x8000;
constexpr std::uint64_t kSpecific = 0x100000;
constexpr std::uint64_t kFamily = 0x200000;

Buffer fatbin(const std::vector<Entry>& entries) {
    Buffer result;
    append(result, kFatbinMagic);
    append(result, std::uint16_t{1});
    append(result, std::uint16_t{16});
    append(result, std::uint64_t{0});
    for (const Entry& entry : entries) {
        const std::size_t begin = result.size();
        result.resize(begin + entry.header + entry.padded);
        put(result, begin, entry.kind);
        put(result, begin + 2, std::uint16_t{0x101});
        put(result, begin + 4, entry.header);
        put(result, begin + 8, entry.padded);
        put(result, begin + 16, entry.compressed);
        put(result, begin + 24, std::uint32_t{8 << 16 | 4});
        put(result, begin + 28, entry.sm);
        put(result, begin + 40, entry.flags);
        put(result, begin + 56, entry.uncompressed);
    }
    put(result, 8, std::uint64_t{result.size() - 16});
    return result;
}

// "" or the reason why the fatbin could not be walked to its end.
std::string walk(Bytes bytes) {
    auto reader = FatbinReader::open(bytes);
    if (!reader) {
        return reader.reason();
    }
    while (true) {
        const auto entry = reader->next();
        if (!entry) {
            const auto after = reader->next();
            REQUIRE(after);
            REQUIRE_FALSE(after->has_value());
            return entry.reason();
        }
        if (!entry->has_value()) {
            return "";
        }
    }
}

constexpr std::size_t kFirst = 16;  // offset of the first entry

std::string walk_damaged(const std::function<void(Buffer&)>& damage) {
    Buffer bytes = fatbin({{}, {}});
    REQUIRE(walk(bytes).empty());
    damage(bytes);
    return walk(bytes);
}

std::uint32_t chosen(const std::vector<Entry>& entries, unsigned major, unsigned minor) {
    const auto entry = choose_entry(fatbin(entries), major, minor);
    REQUIRE(entry);
    return entry->has_value() ? (*entry)->sm + ((*entry)->is(EntryKind::kPtx) ? 1000 : 0) +
                                    ((*entry)->suffix == ArchSuffix::kSpecific ? 10000U : 0U) +
                                    ((*entry)->suffix == ArchSuffix::kFamily ? 20000U : 0U)
                              : 0;
}

}  // namespace

TEST_CASE("a damaged fatbin is refused with its reason") {
    CHECK(walk({}) == "fatbin: shorter than its header");
    CHECK(walk(fatbin({})).empty());
    CHECK(walk_damaged([](Buffer& b) { put(b, 0, std::uint32_t{1}); }) ==
          "fatbin: wrong magic number");
    CHECK(walk_damaged([](Buffer& b) { put(b, 4, std::uint16_t{2}); }) ==
          "fatbin: unknown version");
    CHECK(walk_damaged([](Buffer& b) { put(b, 6, std::uint16_t{8}); }) ==
          "fatbin: unknown version");
    CHECK(walk_damaged([](Buffer& b) { put(b, 8, std::uint64_t{b.size()}); }) ==
          "fatbin: shorter than its header says");
    CHECK(walk_damaged([](Buffer& b) { put(b, 8, ~std::uint64_t{0}); }) ==
          "fatbin: shorter than its header says");
    CHECK(walk_damaged([](Buffer& b) { put(b, 8, std::uint64_t{72 + 40}); }) ==
          "fatbin: an entry shorter than its header");
    CHECK(walk_damaged([](Buffer& b) { put(b, kFirst + 2, std::uint16_t{1}); }) ==
          "fatbin: an entry of unknown version");
    CHECK(walk_damaged([](Buffer& b) { put(b, kFirst + 4, std::uint32_t{63}); }) ==
          "fatbin: an entry with a header too small");
    CHECK(walk_damaged([](Buffer& b) { put(b, kFirst + 4, ~std::uint32_t{0}); }) ==
          "fatbin: an entry that reaches beyond the end");
    CHECK(walk_damaged([](Buffer& b) { put(b, kFirst + 8, ~std::uint64_t{0}); }) ==
          "fatbin: an entry that reaches beyond the end");
    CHECK(walk_damaged([](Buffer& b) { put(b, kFirst + 40, kLz4 | kZstd); }) ==
          "fatbin: an entry with two compressions");
    CHECK(walk_damaged([](Buffer& b) {
              put(b, kFirst + 40, kLz4);
              put(b, kFirst + 16, std::uint32_t{9});
          }) == "fatbin: an entry with more compressed bytes than it has");

    Buffer endless = fatbin({});
    put(endless, 8, ~std::uint64_t{0});
    const auto length = fatbin_length(endless);
    REQUIRE_FALSE(length);
    CHECK(std::string(length.reason()) == "fatbin: impossible size");
    CHECK_FALSE(fatbin_length({}));
    CHECK_FALSE(choose_entry({}, 8, 0));
    Buffer bad_entry = fatbin({{}});
    put(bad_entry, kFirst + 2, std::uint16_t{1});
    CHECK_FALSE(choose_entry(bad_entry, 8, 0));
}

TEST_CASE("an entry's header may be longer, and bytes may follow the fatbin") {
    Buffer bytes = fatbin({{.kind = 1, .sm = 75, .padded = 16, .header = 104}, {.sm = 90}});
    const std::string text = "abc";
    std::memcpy(bytes.data() + kFirst + 104, text.data(), text.size());
    bytes.resize(bytes.size() + 100);
    auto reader = FatbinReader::open(bytes);
    REQUIRE(reader);
    const auto ptx = reader->next();
    REQUIRE((ptx && ptx->has_value()));
    CHECK((*ptx)->is(EntryKind::kPtx));
    CHECK((*ptx)->sm == 75);
    CHECK((*ptx)->ptx_major == 8);
    CHECK((*ptx)->ptx_minor == 4);
    CHECK((*ptx)->stored.size() == 3);
    CHECK((*ptx)->size == 3);
    const auto elf = reader->next();
    REQUIRE((elf && elf->has_value()));
    CHECK((*elf)->sm == 90);
    CHECK((*elf)->stored.size() == 8);
    const auto end = reader->next();
    REQUIRE(end);
    CHECK_FALSE(end->has_value());
}

TEST_CASE("a compressed entry keeps both its sizes") {
    const Buffer bytes = fatbin({{.flags = kZstd, .compressed = 5, .uncompressed = 999}});
    auto reader = FatbinReader::open(bytes);
    REQUIRE(reader);
    const auto entry = reader->next();
    REQUIRE((entry && entry->has_value()));
    CHECK((*entry)->compression == Compression::kZstd);
    CHECK((*entry)->stored.size() == 5);
    CHECK((*entry)->size == 999);
}

TEST_CASE("native code wins, the newest that fits") {
    const std::vector<Entry> entries{{.sm = 80}, {.sm = 86}, {.sm = 89}, {.kind = 1, .sm = 80}};
    CHECK(chosen(entries, 8, 0) == 80);
    CHECK(chosen(entries, 8, 6) == 86);
    CHECK(chosen(entries, 8, 7) == 86);
    CHECK(chosen(entries, 8, 9) == 89);
    CHECK(chosen(entries, 9, 0) == 1080);
    CHECK(chosen(entries, 7, 5) == 0);
}

TEST_CASE("of PTX the newest that fits is taken") {
    const std::vector<Entry> entries{{.kind = 1, .sm = 75},
                                     {.kind = 1, .sm = 90},
                                     {.kind = 1, .sm = 80},
                                     {.kind = 64, .sm = 95}};
    CHECK(chosen(entries, 7, 5) == 1075);
    CHECK(chosen(entries, 8, 9) == 1080);
    CHECK(chosen(entries, 12, 0) == 1090);
    CHECK(chosen(entries, 7, 0) == 0);
}

TEST_CASE("architecture-specific entries run where they were made for") {
    const std::vector<Entry> specific{{.sm = 90, .flags = kSpecific},
                                      {.kind = 1, .sm = 90, .flags = kSpecific},
                                      {.kind = 1, .sm = 75}};
    CHECK(chosen(specific, 9, 0) == 10090);
    CHECK(chosen(specific, 10, 0) == 1075);
    const std::vector<Entry> both{{.sm = 90}, {.sm = 90, .flags = kSpecific}};
    CHECK(chosen(both, 9, 0) == 10090);
    CHECK(chosen(both, 9, 1) == 90);
    const std::vector<Entry> family{{.sm = 100, .flags = kFamily},
                                    {.kind = 1, .sm = 100, .flags = kFamily}};
    CHECK(chosen(family, 10, 0) == 20100);
    CHECK(chosen(family, 10, 3) == 20100);
    CHECK(chosen(family, 12, 0) == 0);
    CHECK(chosen({{.kind = 1, .sm = 90, .flags = kSpecific}}, 9, 0) == 11090);
}

// ---- ELF -------------------------------------------------------------------------------------

namespace {

// A cubin with null, .shstrtab (names of sections and symbols), .symtab, .nobits and a program
// header that comes last.
struct Cubin {
    static constexpr std::string_view kNames{"\0.names\0.symtab\0.nobits\0kernel\0", 31};
    Elf64_Ehdr header{};
    std::vector<Elf64_Shdr> sections;
    Elf64_Sym symbol{};
    Elf64_Phdr program{};

    Cubin() {
        std::memcpy(header.e_ident, ELFMAG, SELFMAG);
        header.e_ident[EI_CLASS] = ELFCLASS64;
        header.e_ident[EI_DATA] = ELFDATA2LSB;
        header.e_ident[EI_OSABI] = 51;
        header.e_ident[EI_ABIVERSION] = 7;
        header.e_machine = 190;
        header.e_flags = 0x500550;
        header.e_ehsize = sizeof header;
        header.e_shentsize = sizeof(Elf64_Shdr);
        header.e_phentsize = sizeof(Elf64_Phdr);
        header.e_shnum = 4;
        header.e_shstrndx = 1;
        header.e_phnum = 1;
        header.e_shoff = sizeof header + kNames.size() + 1 + sizeof symbol;
        header.e_phoff = header.e_shoff + 4 * sizeof(Elf64_Shdr);
        sections.resize(4);
        sections[1] = {.sh_name = 1,
                       .sh_type = SHT_STRTAB,
                       .sh_offset = sizeof header,
                       .sh_size = kNames.size()};
        sections[2] = {.sh_name = 8,
                       .sh_type = SHT_SYMTAB,
                       .sh_offset = sizeof header + kNames.size() + 1,
                       .sh_size = sizeof symbol,
                       .sh_link = 1};
        sections[3] = {.sh_name = 16,
                       .sh_type = SHT_NOBITS,
                       .sh_offset = 100,
                       .sh_size = std::uint64_t{1} << 40};
        symbol.st_name = 24;
    }

    Buffer bytes() const {
        Buffer result;
        append(result, header);
        for (const char c : kNames) {
            append(result, c);
        }
        append(result, '\0');
        append(result, symbol);
        for (const Elf64_Shdr& section : sections) {
            append(result, section);
        }
        append(result, program);
        return result;
    }
};

std::string open(const Buffer& bytes) {
    const auto elf = ElfReader::open(bytes);
    return elf ? "" : elf.reason();
}

std::string open_damaged(const std::function<void(Cubin&)>& damage) {
    Cubin cubin;
    REQUIRE(open(cubin.bytes()).empty());
    damage(cubin);
    return open(cubin.bytes());
}

}  // namespace

TEST_CASE("a cubin by hand is read") {
    const Buffer bytes = Cubin().bytes();
    const auto elf = ElfReader::open(bytes);
    REQUIRE(elf);
    CHECK(elf->length() == bytes.size());
    CHECK(elf->sm() == 80);
    const auto nobits = elf->section(3);
    REQUIRE(nobits);
    CHECK(nobits->name == ".nobits");
    CHECK(nobits->data.empty());
    const auto names = elf->find_section(".names");
    REQUIRE(names);
    REQUIRE(names->has_value());
    CHECK((*names)->data.size() == Cubin::kNames.size());
    REQUIRE(elf->symbol_count() == 1);
    const auto symbol = elf->symbol(0);
    REQUIRE(symbol);
    CHECK(symbol->name == "kernel");
    CHECK_FALSE(kernel_params(*elf, "kernel"));
}

TEST_CASE("the architecture lies where the OS ABI says") {
    Cubin cubin;
    cubin.header.e_ident[EI_OSABI] = 65;
    cubin.header.e_flags = 0x06005a04;
    const Buffer bytes = cubin.bytes();
    const auto elf = ElfReader::open(bytes);
    REQUIRE(elf);
    CHECK(elf->sm() == 90);
}

TEST_CASE("a damaged cubin is refused with its reason") {
    CHECK(open({}) == "ELF: shorter than its header");
    CHECK(open_damaged([](Cubin& c) { c.header.e_ident[1] = 'e'; }) == "ELF: wrong magic number");
    CHECK(open_damaged([](Cubin& c) { c.header.e_ident[EI_CLASS] = ELFCLASS32; }) ==
          "ELF: not 64-bit little-endian");
    CHECK(open_damaged([](Cubin& c) { c.header.e_ident[EI_DATA] = ELFDATA2MSB; }) ==
          "ELF: not 64-bit little-endian");
    CHECK(open_damaged([](Cubin& c) { c.header.e_machine = 62; }) == "ELF: not for a CUDA device");
    CHECK(open_damaged([](Cubin& c) { c.header.e_ident[EI_OSABI] = 0; }) == "ELF: unknown OS ABI");
    CHECK(open_damaged([](Cubin& c) { c.header.e_shentsize = 40; }) ==
          "ELF: header tables of unknown entry size");
    CHECK(open_damaged([](Cubin& c) { c.header.e_phentsize = 32; }) ==
          "ELF: header tables of unknown entry size");
    CHECK(open_damaged([](Cubin& c) { c.header.e_shnum = 0; }) ==
          "ELF: more sections than the header can count");
    CHECK(open_damaged([](Cubin& c) { c.header.e_shoff = ~std::uint64_t{0}; }) ==
          "ELF: impossible place of a header table");
    CHECK(open_damaged([](Cubin& c) { c.header.e_phoff = ~std::uint64_t{0} - 8; }) ==
          "ELF: impossible place of a header table");
    CHECK(open_damaged([](Cubin& c) { c.header.e_shnum = 60000; }) ==
          "ELF: section headers beyond the end");
    CHECK(open_damaged([](Cubin& c) { c.header.e_phnum = 60000; }) ==
          "ELF: shorter than its sections");
    CHECK(open_damaged([](Cubin& c) { c.sections[1].sh_size = 1 << 20; }) ==
          "ELF: shorter than its sections");
    CHECK(open_damaged([](Cubin& c) { c.sections[1].sh_size = ~std::uint64_t{0}; }) ==
          "ELF: a section of impossible size");
    CHECK(open_damaged([](Cubin& c) { c.sections[2].sh_link = 9; }) ==
          "ELF: a symbol table without names");
    CHECK(open_damaged([](Cubin& c) { c.sections[2].sh_link = 3; }) ==
          "ELF: a symbol table without names");
    CHECK_FALSE(elf_table_length({}));
    CHECK_FALSE(elf_length({}));
}

TEST_CASE("names that are not there are refused where they are asked for") {
    const auto reason = [](const std::function<void(Cubin&)>& damage) -> std::string {
        Cubin cubin;
        damage(cubin);
        const Buffer bytes = cubin.bytes();
        const auto elf = ElfReader::open(bytes);
        REQUIRE(elf);
        const auto found = elf->find_section(".nowhere");
        if (!found) {
            CHECK_FALSE(kernel_params(*elf, "kernel"));
            return found.reason();
        }
        const auto symbol = elf->symbol(0);
        return symbol ? "" : symbol.reason();
    };
    CHECK(reason([](Cubin&) {}).empty());
    CHECK(reason([](Cubin& c) { c.header.e_shstrndx = 7; }) == "ELF: no such section");
    CHECK(reason([](Cubin& c) { c.header.e_shstrndx = 3; }) ==
          "ELF: a name outside its string table");
    CHECK(reason([](Cubin& c) { c.sections[2].sh_name = 31; }) ==
          "ELF: a name outside its string table");
    CHECK(reason([](Cubin& c) {
              c.sections[1].sh_size = 29;
              c.symbol.st_name = 24;
          }) == "ELF: a name without an end");
    CHECK(reason([](Cubin& c) { c.symbol.st_name = 4000; }) ==
          "ELF: a name outside its string table");
}

// ---- .nv.info --------------------------------------------------------------------------------

namespace {

void record(Buffer& info, std::uint8_t format, std::uint8_t attribute, std::uint16_t value) {
    append(info, format);
    append(info, attribute);
    append(info, value);
}

void param(Buffer& info, std::uint16_t ordinal, std::uint16_t offset, std::uint32_t size) {
    record(info, 4, 0x17, 12);
    append(info, std::uint32_t{0});
    append(info, ordinal);
    append(info, offset);
    append(info, size << 18 | 0x1f000);
}

void param_v2(Buffer& info, std::uint16_t ordinal, std::uint16_t offset, std::uint16_t size) {
    record(info, 4, 0x45, 12);
    append(info, std::uint32_t{0});
    append(info, ordinal);
    append(info, offset);
    append(info, size);
    append(info, std::uint16_t{0x0500});
}

void total(Buffer& info, std::uint16_t bytes) {
    record(info, 3, 0x19, bytes);
}

std::string reason(const Buffer& info) {
    const auto params = parse_kernel_params(info);
    return params ? "" : params.reason();
}

}  // namespace

TEST_CASE("parameters are put into their order") {
    Buffer info;
    record(info, 1, 0x1e, 0);
    record(info, 2, 0x4a, 0);
    param_v2(info, 2, 4096, 28672);
    param(info, 1, 8, 4);
    param(info, 0, 0, 8);
    total(info, 32768);
    const auto params = parse_kernel_params(info);
    REQUIRE(params);
    CHECK(params->total_size == 32768);
    REQUIRE(params->params.size() == 3);
    CHECK(params->params[0].size == 8);
    CHECK(params->params[1].offset == 8);
    CHECK(params->params[1].size == 4);
    CHECK(params->params[2].offset == 4096);
    CHECK(params->params[2].size == 28672);
    CHECK(reason({}).empty());
}

TEST_CASE("a damaged .nv.info is refused with its reason") {
    Buffer info;
    param(info, 0, 0, 8);
    CHECK(reason(info) == ".nv.info: parameters without their total size");
    total(info, 7);
    CHECK(reason(info) == ".nv.info: a parameter outside the parameter buffer");
    param(info, 0, 0, 4);
    total(info, 8);
    CHECK(reason(info) == ".nv.info: a parameter is missing or named twice");
    Buffer missing;
    param(missing, 1, 0, 4);
    total(missing, 8);
    CHECK(reason(missing) == ".nv.info: a parameter is missing or named twice");
    Buffer cut;
    record(cut, 4, 0x17, 12);
    CHECK(reason(cut) == ".nv.info: a record that reaches beyond the end");
    cut.resize(3);
    CHECK(reason(cut) == ".nv.info: a record shorter than its header");
    Buffer shorter;
    record(shorter, 4, 0x17, 4);
    append(shorter, std::uint32_t{0});
    CHECK(reason(shorter) == ".nv.info: a parameter shorter than its description");
    Buffer unknown;
    record(unknown, 9, 0x17, 4);
    CHECK(reason(unknown) == ".nv.info: a record of unknown format");
}

TEST_CASE("random damage never makes a reader go astray") {
    constexpr unsigned kSeed = 20250707;
    INFO("seed " << kSeed);
    std::mt19937 random(kSeed);
    const Buffer good_fatbin = fatbin({{}, {.kind = 1}, {.flags = kLz4, .compressed = 4}});
    const Buffer good_cubin = Cubin().bytes();
    int refused = 0;
    for (int round = 0; round < 20000; ++round) {
        Buffer bytes = round % 2 == 0 ? good_fatbin : good_cubin;
        for (unsigned flips = 1 + random() % 4; flips > 0; --flips) {
            bytes[random() % bytes.size()] ^= static_cast<std::byte>(1U << (random() % 8));
        }
        if (round % 2 == 0) {
            refused += walk(bytes).empty() ? 0 : 1;
            continue;
        }
        const auto elf = ElfReader::open(bytes);
        if (!elf) {
            ++refused;
            continue;
        }
        for (std::size_t index = 0; index < elf->section_count(); ++index) {
            (void)elf->section(index);
        }
        for (std::size_t index = 0; index < elf->symbol_count(); ++index) {
            (void)elf->symbol(index);
        }
        (void)kernel_params(*elf, "kernel");
    }
    CHECK(refused > 1000);
}
