// SPDX-License-Identifier: Apache-2.0
// Fatbins: what nvcc puts into a program, PTX and ELF images for several architectures.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "driver/image/bytes.h"
#include "driver/image/result.h"

namespace cubar::driver::image {

inline constexpr std::uint32_t kFatbinWrapperMagic = 0x466243b1;
inline constexpr std::uint32_t kFatbinMagic = 0xba55ed50;

// What __cudaRegisterFatBinary and cuLibraryLoadData get: a structure in the program's data that
// points to a fatbin. It holds pointers and thus means something in its own process only.
struct FatbinWrapper {
    std::uint32_t magic;
    std::uint32_t version;   // 1 or 2
    const void* data;        // the fatbin
    const void* const* aux;  // version 2: the fatbins that it was linked of, ended by null
};
static_assert(sizeof(FatbinWrapper) == 24);

enum class EntryKind : std::uint16_t { kPtx = 1, kElf = 2 };
enum class Compression : std::uint8_t { kNone, kLz4, kZstd };

// Which architectures code may run on besides its own.
enum class ArchSuffix : std::uint8_t {
    kNone,      // sm_90: the same major, a minor not less; PTX: anything not older
    kSpecific,  // sm_90a: this one only
    kFamily,    // sm_100f: the same major, a minor not less, PTX as well
};

struct FatbinEntry {
    // Others (relocatable PTX, NVVM IR, …) are passed over by the reader but kept by the format.
    std::uint16_t kind = 0;  // an EntryKind, or something else
    std::uint32_t sm = 0;    // 10 * major + minor
    ArchSuffix suffix = ArchSuffix::kNone;
    std::uint16_t ptx_major = 0;  // PTX ISA version; of a PTX entry
    std::uint16_t ptx_minor = 0;
    std::uint64_t flags = 0;
    Compression compression = Compression::kNone;
    Bytes stored;            // as stored, without the padding; inside the fatbin
    std::uint64_t size = 0;  // after decompression

    bool is(EntryKind wanted) const noexcept { return kind == static_cast<std::uint16_t>(wanted); }
};

// Length in bytes of the fatbin that begins at the start of `bytes`, its header included. Looks
// at the header only.
Result<std::uint64_t> fatbin_length(Bytes header) noexcept;
inline constexpr std::size_t kFatbinHeaderSize = 16;

// Walks over the entries of a fatbin. Total: every call consumes bytes or ends the walk.
class FatbinReader {
public:
    // `bytes` begins with a fatbin and holds all of it; more may follow and is not looked at.
    static Result<FatbinReader> open(Bytes bytes) noexcept;

    FatbinReader() = default;

    // The next entry, or nothing at the end. After a failure there are no more entries.
    Result<std::optional<FatbinEntry>> next() noexcept;

private:
    explicit FatbinReader(Bytes entries) : rest_(entries) {}

    Bytes rest_;
};

// The entry that a device of compute capability `major`.`minor` runs best: native code made for the
// same major version and the newest minor one not above its own, an architecture-specific one
// first; else the newest PTX that it can run. Nothing if it can run none of them.
Result<std::optional<FatbinEntry>> choose_entry(Bytes fatbin, unsigned major,
                                                unsigned minor) noexcept;

}  // namespace cubar::driver::image
