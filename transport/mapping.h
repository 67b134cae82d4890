// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include "transport/fork_mark.h"
#include "transport/result.h"

namespace cubar::transport {

/// Owns a range of this process's addresses: reserved (PROT_NONE), and whatever is mapped into it.
/// A forked child does not inherit any of it (MADV_DONTFORK), so it cannot disturb its parent;
/// there the object owns nothing.
class Mapping {
public:
    Mapping() = default;
    Mapping(Mapping&& other) noexcept
        : bytes_(std::exchange(other.bytes_, {})), owner_(other.owner_) {}
    Mapping& operator=(Mapping&& other) noexcept {
        if (this != &other) {
            reset();
            bytes_ = std::exchange(other.bytes_, {});
            owner_ = other.owner_;
        }
        return *this;
    }
    ~Mapping() { reset(); }

    /// Reserves `bytes` where the kernel likes, or exactly at `address` (not 0) if nothing of this
    /// process is there. Takes address space, no memory.
    static Result<Mapping> reserve(std::size_t bytes, std::uintptr_t address = 0);

    /// Maps [offset, offset + part.size()) of a file over `part`, which lies in this reservation.
    Failure map(int descriptor, std::uint64_t offset, std::span<std::byte> part, bool writable);
    /// Turns `part` back into reserved addresses.
    void unmap(std::span<std::byte> part);

    std::span<std::byte> bytes() const { return bytes_; }
    std::byte* data() const { return bytes_.data(); }
    explicit operator bool() const { return !bytes_.empty(); }
    void reset();

private:
    Mapping(std::span<std::byte> bytes, const ForkMark& owner) : bytes_(bytes), owner_(owner) {}

    std::span<std::byte> bytes_;
    ForkMark owner_;
};

}  // namespace cubar::transport
