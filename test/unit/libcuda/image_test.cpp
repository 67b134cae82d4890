// SPDX-License-Identifier: Apache-2.0
// Images as programs hand them over: at an address, or in a file.
#include "libcuda/image.h"

#include <elf.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdio>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "cubar/layout.h"
#include "driver/image/fatbin.h"

namespace cubar::guest::test {
namespace {

using Bytes = std::vector<std::byte>;

template <typename T>
void append(Bytes& bytes, const T& value) {
    bytes.resize(bytes.size() + sizeof value);
    std::memcpy(bytes.data() + bytes.size() - sizeof value, &value, sizeof value);
}

/// A fatbin with `content` bytes behind its header, as the header says or says otherwise.
Bytes fatbin(std::uint64_t content, std::uint64_t said) {
    Bytes bytes;
    append(bytes, driver::image::kFatbinMagic);
    append(bytes, std::uint16_t{1});
    append(bytes, std::uint16_t{driver::image::kFatbinHeaderSize});
    append(bytes, said);
    bytes.resize(bytes.size() + content);
    return bytes;
}

/// An ELF file of CUDA's machine: header, `content` bytes, one section header.
Bytes elf(std::size_t content) {
    Elf64_Ehdr header{};
    std::memcpy(header.e_ident, ELFMAG, SELFMAG);
    header.e_ident[EI_CLASS] = ELFCLASS64;
    header.e_ident[EI_DATA] = ELFDATA2LSB;
    header.e_ident[EI_VERSION] = EV_CURRENT;
    header.e_machine = EM_CUDA;
    header.e_version = EV_CURRENT;
    header.e_ehsize = sizeof header;
    header.e_shentsize = sizeof(Elf64_Shdr);
    header.e_shnum = 1;
    header.e_shoff = sizeof header + content;
    Bytes bytes;
    append(bytes, header);
    bytes.resize(bytes.size() + content);
    append(bytes, Elf64_Shdr{});
    return bytes;
}

Bytes text(std::string_view characters) {
    Bytes bytes(characters.size());
    std::memcpy(bytes.data(), characters.data(), characters.size());
    return bytes;
}

/// Bytes that end where nothing is mapped: who reads on, dies.
class AtEnd {
public:
    explicit AtEnd(const Bytes& bytes) {
        pages_ = (bytes.size() + kPageBytes - 1) / kPageBytes * kPageBytes;
        memory_ = static_cast<std::byte*>(mmap(nullptr, pages_ + kPageBytes, PROT_READ | PROT_WRITE,
                                               MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
        REQUIRE(memory_ != MAP_FAILED);
        REQUIRE(munmap(memory_ + pages_, kPageBytes) == 0);
        begin_ = memory_ + pages_ - bytes.size();
        std::memcpy(begin_, bytes.data(), bytes.size());
    }
    ~AtEnd() { munmap(memory_, pages_); }
    AtEnd(const AtEnd&) = delete;
    AtEnd& operator=(const AtEnd&) = delete;
    const std::byte* address() const { return begin_; }

private:
    std::size_t pages_ = 0;
    std::byte* memory_ = nullptr;
    std::byte* begin_ = nullptr;
};

class TemporaryFile {
public:
    explicit TemporaryFile(const Bytes& bytes) {
        const int file = mkstemp(path_);
        REQUIRE(file >= 0);
        REQUIRE(write(file, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()));
        close(file);
    }
    ~TemporaryFile() { unlink(path_); }
    TemporaryFile(const TemporaryFile&) = delete;
    TemporaryFile& operator=(const TemporaryFile&) = delete;
    const char* path() const { return path_; }

private:
    char path_[32] = "/tmp/cubar-image-XXXXXX";
};

/// What a file of these bytes is: its image's length, or what is wrong.
struct Read {
    std::size_t bytes = 0;
    std::string fault;
};
Read read_file(const Bytes& bytes) {
    const TemporaryFile file(bytes);
    ImageFile image;
    REQUIRE(image.read(file.path()) == CUDA_SUCCESS);
    const Image found = image.image();
    return {found.bytes.size(), found.fault != nullptr ? found.fault : ""};
}

constexpr const char* kEndsBefore = "image: ends before the end that it names";

}  // namespace

TEST_CASE("An image at an address reaches as far as its header says, and no further is read",
          "[image]") {
    for (const Bytes& bytes : {fatbin(1000, 1000), elf(5000)}) {
        const AtEnd image(bytes);
        const Image found = image_at(image.address());
        REQUIRE(found.fault == nullptr);
        CHECK(found.bytes.data() == image.address());
        CHECK(found.bytes.size() == bytes.size());
    }
    // PTX comes without its null character.
    const std::string ptx = "// by hand\n.version 8.0\n.target sm_75\n";
    const AtEnd image(text(std::string_view(ptx.c_str(), ptx.size() + 1)));
    const Image found = image_at(image.address());
    REQUIRE(found.fault == nullptr);
    CHECK(found.bytes.size() == ptx.size());
}

TEST_CASE("A wrapper gives the fatbin that it points to", "[image]") {
    const Bytes bytes = fatbin(64, 64);
    driver::image::FatbinWrapper wrapper{driver::image::kFatbinWrapperMagic, 1, bytes.data(),
                                         nullptr};
    const Image found = image_at(&wrapper);
    REQUIRE(found.fault == nullptr);
    CHECK(found.bytes.data() == bytes.data());
    CHECK(found.bytes.size() == bytes.size());
    wrapper.data = nullptr;
    CHECK(std::string(image_at(&wrapper).fault) == "fatbin wrapper: points to nothing");
    wrapper.version = 3;
    CHECK(std::string(image_at(&wrapper).fault) == "fatbin wrapper: unknown version");
}

TEST_CASE("An image that names an end beyond its memory is at fault, and is not read", "[image]") {
    // Up to the end of its page there may be anything; beyond it there is nothing.
    const AtEnd short_fatbin(fatbin(1000, 1001));
    CHECK(std::string(image_at(short_fatbin.address()).fault) == kEndsBefore);
    const AtEnd huge_fatbin(fatbin(1000, std::uint64_t{1} << 30));
    CHECK(std::string(image_at(huge_fatbin.address()).fault) == kEndsBefore);
    const AtEnd endless_fatbin(fatbin(1000, ~std::uint64_t{0}));
    CHECK(image_at(endless_fatbin.address()).fault != nullptr);
}

TEST_CASE("What is no image is at fault", "[image]") {
    for (const char* const nonsense : {"", "hello", ".versio",
                                       "\x7f"
                                       "EL"}) {
        const AtEnd image(text(std::string_view(nonsense, std::strlen(nonsense) + 1)));
        CHECK(std::string(image_at(image.address()).fault) ==
              "image: neither fatbin nor ELF nor PTX");
    }
    CHECK(image_at(nullptr).fault != nullptr);
}

TEST_CASE("A file holds a fatbin, an ELF file or PTX, perhaps with more behind it", "[image]") {
    CHECK(read_file(fatbin(1000, 1000)).bytes == 1016);
    CHECK(read_file(fatbin(1000, 900)).bytes == 916);
    CHECK(read_file(elf(500)).bytes == elf(500).size());
    // The text of a file needs no null character.
    CHECK(read_file(text(".version 8.0\n")).bytes == 13);
}

TEST_CASE("A file that is cut is at fault, wherever it was cut", "[image]") {
    for (const Bytes& whole : {fatbin(100, 100), elf(100)}) {
        for (std::size_t length = 1; length < whole.size(); ++length) {
            const Bytes cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length));
            const Read read = read_file(cut);
            INFO("cut to " << length);
            REQUIRE_FALSE(read.fault.empty());
        }
    }
    CHECK_FALSE(read_file({}).fault.empty());
}

TEST_CASE("A wrapper means nothing in a file", "[image]") {
    Bytes bytes;
    append(bytes, driver::image::FatbinWrapper{driver::image::kFatbinWrapperMagic, 1, bytes.data(),
                                               nullptr});
    CHECK(read_file(bytes).fault == "fatbin wrapper: means nothing in a file");
}

TEST_CASE("What is no plain file is not found, and nobody waits for it", "[image]") {
    ImageFile image;
    CHECK(image.read("/nonexistent/image.cubin") == CUDA_ERROR_FILE_NOT_FOUND);
    CHECK(image.read("/tmp") == CUDA_ERROR_FILE_NOT_FOUND);
    CHECK(image.read("/dev/zero") == CUDA_ERROR_FILE_NOT_FOUND);
    const std::string pipe = "/tmp/cubar-image-pipe-" + std::to_string(getpid());
    REQUIRE(mkfifo(pipe.c_str(), 0600) == 0);
    CHECK(image.read(pipe.c_str()) == CUDA_ERROR_FILE_NOT_FOUND);
    unlink(pipe.c_str());
}

}  // namespace cubar::guest::test
