// SPDX-License-Identifier: Apache-2.0
#include "driver/image/fatbin.h"

namespace cubar::driver::image {
namespace {

// As the bytes lie in the file.
struct FatbinHeader {
    std::uint32_t magic;
    std::uint16_t version;
    std::uint16_t header_size;
    std::uint64_t size;  // of all entries
};
static_assert(sizeof(FatbinHeader) == kFatbinHeaderSize);

struct EntryHeader {
    std::uint16_t kind;
    std::uint16_t version;
    std::uint32_t header_size;
    std::uint64_t padded_size;
    std::uint32_t compressed_size;  // 0 where the payload is stored as it is
    std::uint32_t options_offset;
    std::uint16_t ptx_minor;
    std::uint16_t ptx_major;
    std::uint32_t sm;
    std::uint32_t bit_width;
    std::uint32_t name_size;
    std::uint64_t flags;
    std::uint64_t reserved;
    std::uint64_t uncompressed_size;  // 0 where the payload is stored as it is
};
static_assert(sizeof(EntryHeader) == 64);

constexpr std::uint16_t kFatbinVersion = 1;
constexpr std::uint16_t kEntryVersion = 0x101;
constexpr std::uint64_t kFlagLz4 = 0x2000;
constexpr std::uint64_t kFlagZstd = 0x8000;
constexpr std::uint64_t kFlagSpecific = 0x100000;
constexpr std::uint64_t kFlagFamily = 0x200000;

Result<FatbinHeader> read_header(Bytes bytes) noexcept {
    const auto header = load<FatbinHeader>(bytes, 0);
    if (!header) {
        return Failure{"fatbin: shorter than its header"};
    }
    if (header->magic != kFatbinMagic) {
        return Failure{"fatbin: wrong magic number"};
    }
    if (header->version != kFatbinVersion || header->header_size < sizeof(FatbinHeader)) {
        return Failure{"fatbin: unknown version"};
    }
    return *header;
}

Result<Compression> compression(const EntryHeader& header) noexcept {
    switch (header.flags & (kFlagLz4 | kFlagZstd)) {
        case 0:
            return Compression::kNone;
        case kFlagLz4:
            return Compression::kLz4;
        case kFlagZstd:
            return Compression::kZstd;
        default:
            return Failure{"fatbin: an entry with two compressions"};
    }
}

ArchSuffix suffix(std::uint64_t flags) noexcept {
    if ((flags & kFlagSpecific) != 0) {
        return ArchSuffix::kSpecific;
    }
    return (flags & kFlagFamily) != 0 ? ArchSuffix::kFamily : ArchSuffix::kNone;
}

// PTX is stored with the null character that ends it and with padding.
Bytes without_trailing_nulls(Bytes text) noexcept {
    while (!text.empty() && text.back() == std::byte{0}) {
        text = text.first(text.size() - 1);
    }
    return text;
}

bool runs_natively(const FatbinEntry& entry, unsigned major, unsigned minor) noexcept {
    const unsigned entry_major = entry.sm / 10;
    const unsigned entry_minor = entry.sm % 10;
    if (entry_major != major) {
        return false;
    }
    return entry.suffix == ArchSuffix::kSpecific ? entry_minor == minor : entry_minor <= minor;
}

bool compiles_for(const FatbinEntry& entry, unsigned major, unsigned minor) noexcept {
    return entry.suffix == ArchSuffix::kNone ? entry.sm <= 10 * major + minor
                                             : runs_natively(entry, major, minor);
}

// Closer to the device: newer, and of the same age the one that knows more about it.
bool closer(const FatbinEntry& a, const FatbinEntry& b) noexcept {
    const auto rank = [](ArchSuffix suffix) {
        return suffix == ArchSuffix::kSpecific ? 2 : suffix == ArchSuffix::kFamily ? 1 : 0;
    };
    return a.sm != b.sm ? a.sm > b.sm : rank(a.suffix) > rank(b.suffix);
}

}  // namespace

Result<std::uint64_t> fatbin_length(Bytes header) noexcept {
    const auto read = read_header(header);
    if (!read) {
        return read.failure();
    }
    const auto length = sum(read->header_size, read->size);
    if (!length) {
        return Failure{"fatbin: impossible size"};
    }
    return *length;
}

Result<FatbinReader> FatbinReader::open(Bytes bytes) noexcept {
    const auto header = read_header(bytes);
    if (!header) {
        return header.failure();
    }
    const auto entries = part(bytes, header->header_size, header->size);
    if (!entries) {
        return Failure{"fatbin: shorter than its header says"};
    }
    return FatbinReader(*entries);
}

Result<std::optional<FatbinEntry>> FatbinReader::next() noexcept {
    if (rest_.empty()) {
        return std::optional<FatbinEntry>{};
    }
    const Bytes bytes = rest_;
    rest_ = {};
    const auto header = load<EntryHeader>(bytes, 0);
    if (!header) {
        return Failure{"fatbin: an entry shorter than its header"};
    }
    if (header->version != kEntryVersion) {
        return Failure{"fatbin: an entry of unknown version"};
    }
    if (header->header_size < sizeof(EntryHeader)) {
        return Failure{"fatbin: an entry with a header too small"};
    }
    const auto payload = part(bytes, header->header_size, header->padded_size);
    if (!payload) {
        return Failure{"fatbin: an entry that reaches beyond the end"};
    }
    const auto packing = compression(*header);
    if (!packing) {
        return packing.failure();
    }
    FatbinEntry entry{
        .kind = header->kind,
        .sm = header->sm,
        .suffix = suffix(header->flags),
        .ptx_major = header->ptx_major,
        .ptx_minor = header->ptx_minor,
        .flags = header->flags,
        .compression = *packing,
        .stored = *payload,
        .size = header->uncompressed_size,
    };
    if (entry.compression == Compression::kNone) {
        if (entry.is(EntryKind::kPtx)) {
            entry.stored = without_trailing_nulls(entry.stored);
        }
        entry.size = entry.stored.size();
    } else {
        const auto compressed = part(*payload, 0, header->compressed_size);
        if (!compressed) {
            return Failure{"fatbin: an entry with more compressed bytes than it has"};
        }
        entry.stored = *compressed;
    }
    rest_ = bytes.subspan(static_cast<std::size_t>(header->header_size + header->padded_size));
    return std::optional(entry);
}

Result<std::optional<FatbinEntry>> choose_entry(Bytes fatbin, unsigned major,
                                                unsigned minor) noexcept {
    auto reader = FatbinReader::open(fatbin);
    if (!reader) {
        return reader.failure();
    }
    std::optional<FatbinEntry> native;
    std::optional<FatbinEntry> ptx;
    while (true) {
        const auto entry = reader->next();
        if (!entry) {
            return entry.failure();
        }
        if (!entry->has_value()) {
            return native ? native : ptx;
        }
        const FatbinEntry& candidate = **entry;
        if (candidate.is(EntryKind::kElf) && runs_natively(candidate, major, minor)) {
            if (!native || closer(candidate, *native)) {
                native = candidate;
            }
        } else if (candidate.is(EntryKind::kPtx) && compiles_for(candidate, major, minor)) {
            if (!ptx || closer(candidate, *ptx)) {
                ptx = candidate;
            }
        }
    }
}

}  // namespace cubar::driver::image
