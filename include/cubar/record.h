// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

namespace cubar {

/// A place in a channel's command stream: bytes since the channel was claimed, free-running. The
/// offset in the ring is the position modulo the ring's size. "The work up to position P" is every
/// record that ends at or before P; fences, deferred errors and staging all count in positions.
using Position = std::uint64_t;

inline constexpr std::uint32_t kNoReply = 0xffff'ffff;
inline constexpr std::size_t kRecordAlign = 16;

/// The head of every record in the ring. Little-endian; followed by the call's request structure
/// (include/cubar/api, generated into wire.h) and by its trailing payload, if it has one.
struct RecordHeader {
    std::uint32_t bytes;       ///< whole record with this header, a multiple of kRecordAlign
    std::uint32_t opcode;      ///< cubar::Opcode
    std::uint32_t reply_slot;  ///< index of the reply slot, or kNoReply
    std::uint32_t thread;      ///< number of the calling guest thread in its process, from 1
    std::uint64_t context;     ///< ContextHandle current in the calling thread, or 0
    std::uint64_t stream;      ///< StreamHandle the work goes to; 0: none, or the legacy stream
};
static_assert(sizeof(RecordHeader) == 32 && alignof(RecordHeader) == 8);

/// The largest record. Both sides copy a record whole, so it bounds that buffer; it holds a launch
/// with the largest parameter block that CUDA allows (32,764 bytes) and small copies.
inline constexpr std::uint32_t kMaxRecordBytes = 64 * 1024;

/// Copies up to this size carry their data inside the record.
inline constexpr std::uint32_t kMaxInlineCopyBytes = 32 * 1024;

/// Rounds a record's length up to the alignment of records.
constexpr std::uint32_t record_bytes(std::size_t unaligned) {
    return static_cast<std::uint32_t>((unaligned + kRecordAlign - 1) & ~(kRecordAlign - 1));
}

}  // namespace cubar
