// SPDX-License-Identifier: Apache-2.0
// Reads what nvcc made of driver_image.cu: one fatbin for each way to compress.
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <catch2/catch.hpp>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <set>
#include <string>
#include <vector>

#include "driver/image/decompress.h"
#include "driver/image/elf.h"
#include "driver/image/fatbin.h"
#include "driver/image/image.h"
#include "driver/image/kernel_params.h"

using namespace cubar::driver::image;

namespace {

using Buffer = std::vector<std::byte>;

Buffer read(const char* variable) {
    const char* path = std::getenv(variable);
    REQUIRE(path != nullptr);
    std::ifstream file(path, std::ios::binary);
    REQUIRE(file);
    const std::string text((std::istreambuf_iterator<char>(file)), {});
    const auto bytes = std::as_bytes(std::span(text));
    return {bytes.begin(), bytes.end()};
}

std::vector<FatbinEntry> entries(Bytes fatbin) {
    auto reader = FatbinReader::open(fatbin);
    REQUIRE(reader);
    std::vector<FatbinEntry> result;
    while (true) {
        const auto entry = reader->next();
        REQUIRE(entry);
        if (!entry->has_value()) {
            return result;
        }
        result.push_back(**entry);
    }
}

Buffer unpacked(const FatbinEntry& entry) {
    const auto result = decompress(entry);
    INFO((result ? "" : result.reason()));
    REQUIRE(result);
    return *result;
}

std::string_view as_text(Bytes bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// Bytes that end where the process's memory ends: reading one more is a fault.
class AtEdge {
public:
    explicit AtEdge(Bytes bytes) {
        const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
        room_ = (bytes.size() + page - 1) / page * page;
        size_ = room_ + page;
        memory_ = static_cast<std::byte*>(
            mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
        REQUIRE(memory_ != MAP_FAILED);
        REQUIRE(mprotect(memory_ + room_, page, PROT_NONE) == 0);
        begin_ = memory_ + room_ - bytes.size();
        std::memcpy(begin_, bytes.data(), bytes.size());
    }
    ~AtEdge() { munmap(memory_, size_); }
    AtEdge(const AtEdge&) = delete;
    AtEdge& operator=(const AtEdge&) = delete;

    const std::byte* begin() const { return begin_; }

private:
    std::byte* memory_ = nullptr;
    std::byte* begin_ = nullptr;
    std::size_t room_ = 0;
    std::size_t size_ = 0;
};

constexpr std::array kFiles{"CUBAR_TEST_FATBIN_NONE", "CUBAR_TEST_FATBIN_LZ4",
                            "CUBAR_TEST_FATBIN_ZSTD"};

}  // namespace

TEST_CASE("a fatbin of nvcc is read to its end") {
    for (const char* file : kFiles) {
        INFO(file);
        const Buffer fatbin = read(file);
        CHECK(image_kind(fatbin) == ImageKind::kFatbin);
        const auto length = fatbin_length(Bytes(fatbin).first(kFatbinHeaderSize));
        REQUIRE(length);
        CHECK(*length == fatbin.size());

        std::multiset<std::pair<int, unsigned>> found;
        for (const FatbinEntry& entry : entries(fatbin)) {
            found.insert({entry.kind, entry.sm});
            if (entry.is(EntryKind::kPtx)) {
                CHECK(entry.ptx_major >= 9);
            }
        }
        // PTX 75; native code for 75, 80 and 90a.
        CHECK(found == decltype(found){{1, 75}, {2, 75}, {2, 80}, {2, 90}});
    }
}

TEST_CASE("all ways to compress hold the same images") {
    std::array<std::vector<Buffer>, kFiles.size()> images;
    constexpr std::array kExpected{Compression::kNone, Compression::kLz4, Compression::kZstd};
    for (std::size_t file = 0; file < kFiles.size(); ++file) {
        INFO(kFiles[file]);
        const Buffer fatbin = read(kFiles[file]);
        for (const FatbinEntry& entry : entries(fatbin)) {
            CHECK(entry.compression == kExpected[file]);
            images[file].push_back(unpacked(entry));
        }
        for (const Buffer& image : images[file]) {
            const ImageKind kind = image_kind(image);
            CHECK((kind == ImageKind::kElf || kind == ImageKind::kPtx));
        }
    }
    CHECK(images[1] == images[0]);
    CHECK(images[2] == images[0]);
}

TEST_CASE("PTX comes without its padding") {
    for (const char* file : kFiles) {
        const Buffer fatbin = read(file);
        for (const FatbinEntry& entry : entries(fatbin)) {
            if (entry.is(EntryKind::kPtx)) {
                const Buffer ptx = unpacked(entry);
                CHECK(as_text(ptx).find('\0') == std::string_view::npos);
                CHECK(as_text(ptx).find(".entry add") != std::string_view::npos);
            }
        }
    }
}

TEST_CASE("a device gets the entry that suits it") {
    const Buffer fatbin = read("CUBAR_TEST_FATBIN_NONE");
    const auto chosen = [&](unsigned major, unsigned minor) -> std::string {
        const auto entry = choose_entry(fatbin, major, minor);
        REQUIRE(entry);
        if (!entry->has_value()) {
            return "none";
        }
        return ((*entry)->is(EntryKind::kElf) ? "elf " : "ptx ") + std::to_string((*entry)->sm);
    };
    CHECK(chosen(7, 5) == "elf 75");
    CHECK(chosen(7, 0) == "none");
    CHECK(chosen(8, 0) == "elf 80");
    CHECK(chosen(8, 9) == "elf 80");
    CHECK(chosen(9, 0) == "elf 90");
    CHECK(chosen(9, 1) == "ptx 75");  // 90a is for 9.0 alone
    CHECK(chosen(12, 0) == "ptx 75");
    CHECK(chosen(6, 1) == "none");
}

TEST_CASE("a cubin of nvcc is read") {
    const Buffer fatbin = read("CUBAR_TEST_FATBIN_NONE");
    for (const FatbinEntry& entry : entries(fatbin)) {
        if (!entry.is(EntryKind::kElf)) {
            continue;
        }
        INFO("sm_" << entry.sm);
        const Buffer image = unpacked(entry);
        const auto length = elf_length(image);
        REQUIRE(length);
        CHECK(*length == image.size());
        CHECK(elf_nobits_bytes(image) == 1000 * sizeof(float));  // and not the shared memory
        CHECK(elf_nobits_bytes(Bytes(image).first(100)) == 0);
        const auto elf = ElfReader::open(image);
        REQUIRE(elf);
        CHECK(elf->sm() == entry.sm);
        CHECK(elf->length() == image.size());

        const auto code = elf->find_section(".text.add");
        REQUIRE(code);
        REQUIRE(code->has_value());
        CHECK((*code)->header.sh_type == SHT_PROGBITS);
        CHECK(!(*code)->data.empty());
        const auto absent = elf->find_section(".text.subtract");
        REQUIRE(absent);
        CHECK_FALSE(absent->has_value());
        CHECK_FALSE(elf->section(elf->section_count()));

        std::set<std::string_view> names;
        for (std::size_t index = 0; index < elf->symbol_count(); ++index) {
            const auto symbol = elf->symbol(index);
            REQUIRE(symbol);
            names.insert(symbol->name);
        }
        CHECK(names.contains("add"));
        CHECK(names.contains("table"));
        CHECK_FALSE(elf->symbol(elf->symbol_count()));
    }
}

TEST_CASE("a cubin describes its kernels' parameters") {
    const Buffer fatbin = read("CUBAR_TEST_FATBIN_NONE");
    for (const FatbinEntry& entry : entries(fatbin)) {
        if (!entry.is(EntryKind::kElf)) {
            continue;
        }
        INFO("sm_" << entry.sm);
        const Buffer image = unpacked(entry);
        const auto elf = ElfReader::open(image);
        REQUIRE(elf);
        const auto same = [](const KernelParams& params, std::vector<KernelParam> expected) {
            return std::equal(params.params.begin(), params.params.end(), expected.begin(),
                              expected.end(), [](const KernelParam& a, const KernelParam& b) {
                                  return a.offset == b.offset && a.size == b.size;
                              });
        };
        const auto add = kernel_params(*elf, "add");
        REQUIRE(add);
        CHECK(add->total_size == 20);
        CHECK(same(*add, {{0, 8}, {8, 8}, {16, 4}}));
        const auto large = kernel_params(*elf, "large");
        REQUIRE(large);
        CHECK(large->total_size == 5016);
        CHECK(same(*large, {{0, 5000}, {5000, 1}, {5008, 8}}));
        const auto nothing = kernel_params(*elf, "nothing");
        REQUIRE(nothing);
        CHECK(nothing->total_size == 0);
        CHECK(nothing->params.empty());
        CHECK_FALSE(kernel_params(*elf, "subtract"));
    }
}

TEST_CASE("measure finds the end of every kind of image, and reads no further") {
    const Buffer fatbin = read("CUBAR_TEST_FATBIN_NONE");
    const AtEdge at_edge(fatbin);
    const auto whole = measure(at_edge.begin());
    REQUIRE(whole);
    CHECK(whole->kind == ImageKind::kFatbin);
    CHECK(whole->bytes.size() == fatbin.size());
    CHECK(whole->bytes.data() == at_edge.begin());

    for (const std::uint32_t version : {1U, 2U}) {
        const void* const list[] = {at_edge.begin(), nullptr};
        const FatbinWrapper wrapper{kFatbinWrapperMagic, version, at_edge.begin(), list};
        const AtEdge wrapper_at_edge(std::as_bytes(std::span(&wrapper, 1)));
        const auto measured = measure(wrapper_at_edge.begin());
        REQUIRE(measured);
        CHECK(measured->kind == ImageKind::kFatbinWrapper);
        CHECK(measured->bytes.data() == at_edge.begin());
        CHECK(measured->bytes.size() == fatbin.size());
        CHECK(measured->prelinked == (version == 2 ? list : nullptr));
    }

    for (const FatbinEntry& entry : entries(fatbin)) {
        Buffer image = unpacked(entry);
        const std::size_t size = image.size();
        if (entry.is(EntryKind::kPtx)) {
            image.push_back(std::byte{0});
        }
        const AtEdge image_at_edge(image);
        const auto measured = measure(image_at_edge.begin());
        REQUIRE(measured);
        CHECK(measured->kind == (entry.is(EntryKind::kPtx) ? ImageKind::kPtx : ImageKind::kElf));
        CHECK(measured->bytes.size() == size);
        CHECK(measured->prelinked == nullptr);
    }
}

TEST_CASE("measure refuses what is no image, and reads no further than needed") {
    CHECK_FALSE(measure(nullptr));
    for (const std::string_view text : {"", "x", "hello", "\177EL", "P\xed", "\261Cb",
                                        "// only a comment", "/* open", ".versio", "   \n\t "}) {
        Buffer bytes(text.size() + 1);
        std::memcpy(bytes.data(), text.data(), text.size());
        const AtEdge at_edge(bytes);
        INFO(text);
        CHECK_FALSE(measure(at_edge.begin()));
    }
    FatbinWrapper wrapper{kFatbinWrapperMagic, 1, nullptr, nullptr};
    CHECK_FALSE(measure(&wrapper));
    wrapper.version = 3;
    wrapper.data = &wrapper;
    CHECK_FALSE(measure(&wrapper));
    wrapper.version = 1;  // its data is no fatbin
    CHECK_FALSE(measure(&wrapper));
}

TEST_CASE("PTX is known by its first directive") {
    const auto kind = [](std::string_view text) {
        return image_kind(std::as_bytes(std::span(text)));
    };
    CHECK(kind(".version 8.0") == ImageKind::kPtx);
    CHECK(kind("\n\n// Generated by\n//\n\n.version 9.0\n") == ImageKind::kPtx);
    CHECK(kind("/* a * b */ /**/.version") == ImageKind::kPtx);
    CHECK(kind("// .version") == ImageKind::kUnknown);
    CHECK(kind("/.version") == ImageKind::kUnknown);
    CHECK(kind(".visible .entry") == ImageKind::kUnknown);
    CHECK(kind("") == ImageKind::kUnknown);
    CHECK(image_kind({}) == ImageKind::kUnknown);
    CHECK(kind("\xb1\x43\x62\x46") == ImageKind::kFatbinWrapper);
}

TEST_CASE("an entry that is damaged does not decompress") {
    for (const char* file : {"CUBAR_TEST_FATBIN_LZ4", "CUBAR_TEST_FATBIN_ZSTD"}) {
        INFO(file);
        const Buffer fatbin = read(file);
        FatbinEntry entry = entries(fatbin).front();
        REQUIRE(decompress(entry));
        FatbinEntry larger = entry;
        ++larger.size;
        CHECK_FALSE(decompress(larger));
        FatbinEntry smaller = entry;
        --smaller.size;
        CHECK_FALSE(decompress(smaller));
        FatbinEntry cut = entry;
        cut.stored = cut.stored.first(cut.stored.size() / 2);
        CHECK_FALSE(decompress(cut));
        FatbinEntry empty = entry;
        empty.stored = {};
        CHECK_FALSE(decompress(empty));
        FatbinEntry huge = entry;
        huge.size = kMaxEntrySize + 1;
        CHECK_FALSE(decompress(huge));
    }
}

TEST_CASE("every cut of a fatbin and of a cubin is refused") {
    const Buffer fatbin = read("CUBAR_TEST_FATBIN_ZSTD");
    for (std::size_t size = 0; size < fatbin.size(); ++size) {
        CHECK_FALSE(FatbinReader::open(Bytes(fatbin).first(size)));
    }
    const Buffer plain = read("CUBAR_TEST_FATBIN_NONE");
    const auto entry = choose_entry(plain, 8, 0);
    REQUIRE(entry);
    REQUIRE(entry->has_value());
    const Buffer image = unpacked(**entry);
    for (std::size_t size = 0; size < image.size(); ++size) {
        CHECK_FALSE(ElfReader::open(Bytes(image).first(size)));
    }
}
