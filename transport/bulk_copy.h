// SPDX-License-Identifier: Apache-2.0
// Moving bytes into and out of bulk memory, whatever its memory type.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

#include "transport/device.h"
#include "transport/ring_producer.h"

namespace cubar::transport {

/// Copies ordinary memory into bulk memory and orders it before records published later. Large
/// copies, and all copies into write-combined memory, bypass the cache.
void bulk_write(std::byte* bulk, const std::byte* source, std::size_t bytes, MemoryType memory);

/// Copies bulk memory to ordinary memory after everything this thread has seen so far (a fence, an
/// answer). Streaming loads where the memory is write-combined and the CPU has them.
void bulk_read(std::byte* target, const std::byte* bulk, std::size_t bytes, MemoryType memory);

/// A few chunks of bulk memory through which a larger copy is passed.
struct Staging {
    static constexpr std::size_t kMaxChunks = 8;
    std::byte* memory = nullptr;  ///< where this process sees it
    std::uint64_t offset = 0;     ///< in the arena
    std::size_t chunk_bytes = 0;
    std::size_t chunks = 0;  ///< at most kMaxChunks
    MemoryType type = MemoryType::kWriteBack;
};

/// Guest to host: fills chunk after chunk while the host consumes the earlier ones.
///   Posted send(done, arena_offset, bytes)   posts the record that consumes one chunk
///   Error wait(position)                     until the record that ends there is consumed
/// Returns when the source has been read; the last chunks may still be on their way. The caller
/// waits for `last` before it lends the staging memory to somebody else.
template <typename Send, typename Wait>
Posted pass_to_host(const Staging& staging, const std::byte* source, std::size_t bytes, Send&& send,
                    Wait&& wait) {
    std::array<Position, Staging::kMaxChunks> busy_until{};
    Posted last{Error::kNone, 0};
    std::size_t chunk = 0;
    for (std::size_t done = 0; done < bytes;) {
        if (busy_until[chunk] != 0) {
            if (const Error error = wait(busy_until[chunk]); error != Error::kNone) {
                return {error, last.position};
            }
        }
        const std::size_t part = std::min(staging.chunk_bytes, bytes - done);
        const std::size_t at = chunk * staging.chunk_bytes;
        bulk_write(staging.memory + at, source + done, part, staging.type);
        last = send(done, staging.offset + at, part);
        if (last.error != Error::kNone) {
            return last;
        }
        busy_until[chunk] = last.position;
        done += part;
        chunk = (chunk + 1) % staging.chunks;
    }
    return last;
}

/// Host to guest: has the host fill chunks ahead while the filled ones are copied out.
///   Posted request(done, arena_offset, bytes)  posts the record that fills one chunk
///   Error wait(position)                       until the record that ends there is complete
/// Complete when it returns kNone. After an error the host may still write to the staging memory.
template <typename Request, typename Wait>
Error pass_from_host(const Staging& staging, std::byte* target, std::size_t bytes,
                     Request&& request, Wait&& wait) {
    std::array<Position, Staging::kMaxChunks> filled_at{};
    const std::size_t parts = (bytes + staging.chunk_bytes - 1) / staging.chunk_bytes;
    std::size_t requested = 0;
    for (std::size_t read = 0; read < parts; ++read) {
        for (; requested < parts && requested < read + staging.chunks; ++requested) {
            const std::size_t done = requested * staging.chunk_bytes;
            const std::size_t chunk = requested % staging.chunks;
            const Posted posted = request(done, staging.offset + chunk * staging.chunk_bytes,
                                          std::min(staging.chunk_bytes, bytes - done));
            if (posted.error != Error::kNone) {
                return posted.error;
            }
            filled_at[chunk] = posted.position;
        }
        const std::size_t chunk = read % staging.chunks;
        if (const Error error = wait(filled_at[chunk]); error != Error::kNone) {
            return error;
        }
        const std::size_t done = read * staging.chunk_bytes;
        bulk_read(target + done, staging.memory + chunk * staging.chunk_bytes,
                  std::min(staging.chunk_bytes, bytes - done), staging.type);
    }
    return Error::kNone;
}

}  // namespace cubar::transport
