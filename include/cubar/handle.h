// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace cubar {

/// What a handle names. Part of the protocol: numbers are never reused.
enum class Kind : std::uint8_t {
    kNone = 0,
    kContext = 1,
    kStream = 2,
    kEvent = 3,
    kModule = 4,
    kLibrary = 5,
    kKernel = 6,
    kFunction = 7,
    kGraph = 8,
    kGraphNode = 9,
    kGraphExec = 10,
    kUserObject = 11,
    kMemory = 12,
    kMemoryPool = 13,
    kArray = 14,
    kMipmappedArray = 15,
    kLast = kMipmappedArray,
};

/// A typed name for an object of one session: it crosses the channel where a pointer must not.
///
/// The host makes it (the index of a slot in its table of that kind, and the slot's generation, so
/// that a handle which outlived its object is told from the slot's next tenant). The guest hands
/// the same 64 bits to the application as CUstream, CUevent and so on, and indexes its own mirror
/// with them; nobody ever dereferences one. A kind is never 0, so a handle is never null, nor one
/// of CUDA's small special values (CU_STREAM_LEGACY and its like).
class AnyHandle {
public:
    static constexpr unsigned kKindShift = 56;
    static constexpr unsigned kGenerationShift = 32;
    static constexpr std::uint32_t kGenerationMask = 0xff'ffff;

    constexpr AnyHandle() = default;
    constexpr explicit AnyHandle(std::uint64_t bits) : bits_(bits) {}
    constexpr AnyHandle(Kind kind, std::uint32_t generation, std::uint32_t index)
        : bits_(std::uint64_t{static_cast<std::uint8_t>(kind)} << kKindShift |
                std::uint64_t{generation & kGenerationMask} << kGenerationShift | index) {}

    constexpr std::uint64_t bits() const { return bits_; }
    constexpr Kind kind() const { return static_cast<Kind>(bits_ >> kKindShift); }
    constexpr std::uint32_t generation() const {
        return static_cast<std::uint32_t>(bits_ >> kGenerationShift) & kGenerationMask;
    }
    constexpr std::uint32_t index() const { return static_cast<std::uint32_t>(bits_); }
    constexpr explicit operator bool() const { return bits_ != 0; }
    friend constexpr bool operator==(AnyHandle, AnyHandle) = default;

private:
    std::uint64_t bits_ = 0;
};

/// A handle whose kind the compiler checks. Same bits as AnyHandle.
template <Kind K>
class Handle : public AnyHandle {
public:
    static constexpr Kind kKind = K;
    constexpr Handle() = default;
    constexpr explicit Handle(std::uint64_t bits) : AnyHandle(bits) {}
    constexpr Handle(std::uint32_t generation, std::uint32_t index)
        : AnyHandle(K, generation, index) {}
};

using ContextHandle = Handle<Kind::kContext>;
using StreamHandle = Handle<Kind::kStream>;
using EventHandle = Handle<Kind::kEvent>;
using ModuleHandle = Handle<Kind::kModule>;
using LibraryHandle = Handle<Kind::kLibrary>;
using KernelHandle = Handle<Kind::kKernel>;
using FunctionHandle = Handle<Kind::kFunction>;
using GraphHandle = Handle<Kind::kGraph>;
using GraphNodeHandle = Handle<Kind::kGraphNode>;
using GraphExecHandle = Handle<Kind::kGraphExec>;
using UserObjectHandle = Handle<Kind::kUserObject>;
using MemoryHandle = Handle<Kind::kMemory>;
using MemoryPoolHandle = Handle<Kind::kMemoryPool>;
using ArrayHandle = Handle<Kind::kArray>;
using MipmappedArrayHandle = Handle<Kind::kMipmappedArray>;

static_assert(sizeof(StreamHandle) == 8);

}  // namespace cubar
