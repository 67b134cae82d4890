// SPDX-License-Identifier: Apache-2.0
// What an instruction handler sees. Handlers are compiled once for each instruction set, so this
// header must not bring in inline functions of the standard library.
#pragma once

#include <cstdint>

#include "softgpu/exec/dim3.h"

namespace cubar::softgpu::exec {

inline constexpr unsigned kLanes = 32;
inline constexpr uint32_t kAllLanes = 0xffffffff;

// Generic addresses: global ones are addresses of this process (below 2^47); shared and local
// memory have windows above, of kWindowBytes each.
inline constexpr uint64_t kSharedWindow = uint64_t{1} << 48;
inline constexpr uint64_t kLocalWindow = uint64_t{1} << 49;
inline constexpr uint64_t kWindowBytes = uint64_t{1} << 32;
// "Addresses" of functions: kFunctionWindow + 16 * (index in the module + 1).
inline constexpr uint64_t kFunctionWindow = uint64_t{1} << 50;
inline constexpr unsigned kFunctionStride = 16;

struct Insn;
struct Warp;
struct Frame;
class Block;

/// Executes one instruction for the lanes in `mask` (a subset of warp.active) and returns what
/// comes next; null when the warp stops for now (Warp::pause says why).
using Handler = const Insn* (*)(Warp& warp, const Insn* insn, uint32_t mask);

/// Where an operand's 32 lanes lie: the byte offset in the frame's registers, or, with the low bit
/// set, 1 + the offset in the function's pool of constants.
using Slot = uint32_t;
/// The pool begins with 64 bytes of ones: the guard of an instruction without a predicate.
inline constexpr Slot kAlways = 1;

enum InsnFlags : uint8_t {
    kAddress32 = 1,      // the address register has 32 bits
    kFrameRelative = 2,  // the address is an offset in the frame's part of local memory
};

/// A decoded instruction. What the fields mean is between decode and the handler, except handler,
/// guard, guard_invert and line.
struct alignas(64) Insn {
    Handler handler = nullptr;
    uint64_t imm = 0;           // address offset, branch target (a pointer once decoded), …
    Slot op[6] = {};            // destination first
    Slot guard = kAlways;       // 32-bit lane mask
    uint32_t guard_invert = 0;  // 0, or all ones for @!p
    uint16_t aux = 0;
    uint8_t count = 0;  // elements of a vector access; size of a list
    uint8_t flags = 0;
    uint32_t line = 0;
};

/// The last range of global memory that an instruction hit; see Block::caches.
struct RangeCache {
    uint64_t begin = 0;
    uint64_t length = 0;
};
inline constexpr unsigned kRangeCaches = 32;

/// Shared memory of the blocks of a cluster: a block's own is at the begin of the window, and that
/// of the one with rank r, its own too, at (r + 1) * kClusterStride.
inline constexpr uint64_t kClusterStride = uint64_t{1} << 24;

/// Of shared memory, for the system's own libraries (cooperative groups), from sm_80 on. It comes
/// behind the program's, and only in kernels that ask where it is.
inline constexpr uint32_t kReservedShared = 1024;

/// What all threads of a block share and read.
struct BlockFacts {
    Dim3 grid;
    Dim3 block;
    Dim3 index;
    uint64_t grid_id = 0;
    uint64_t grid_workspace = 0;  // %envreg1 (low half) and %envreg2
    uint32_t threads = 0;
    uint32_t warps = 0;
    uint32_t multiprocessor = 0;
    uint32_t multiprocessors = 0;
    uint32_t dynamic_shared = 0;
    uint32_t total_shared = 0;
    uint32_t reserved_shared = 0;  // where the part begins that kReservedShared bytes are long
    uint32_t parameter_bytes = 0;
    Dim3 cluster{1, 1, 1};  // blocks
    uint32_t cluster_rank = 0;
    bool explicit_cluster = false;
};

/// What a poll of memory or time takes from Warp::budget: a warp that only waits soon gives way.
inline constexpr int32_t kPollCost = 64;

enum class Pause : uint8_t {
    kNone,
    kYield,    // has run long enough
    kBlocked,  // every lane waits
    kDone,     // every lane has exited
    kFault,
};

/// The state of 32 lanes that the handlers touch.
struct Warp {
    // [0]: the registers of the current frame; [1]: the function's constants, minus 1.
    char* base[2] = {nullptr, nullptr};
    uint32_t active = 0;          // the lanes that execute now
    int32_t budget = 0;           // joins until the warp yields
    const Insn* limit = nullptr;  // another part of the warp waits there, in the same frame
    Frame* frame = nullptr;
    Block* block = nullptr;
    const BlockFacts* facts = nullptr;
    const char* parameters = nullptr;  // of the kernel
    char* shared = nullptr;
    char* local = nullptr;  // lane 0's
    uint64_t shared_bytes = 0;
    uint64_t local_bytes = 0;      // per lane; also the stride between lanes
    uint64_t local_base = 0;       // the current frame's part of it
    RangeCache* caches = nullptr;  // kRangeCaches of them
    uint32_t index = 0;            // in the block
    uint32_t exited = 0;           // lanes that are not there or no longer
    Pause pause = Pause::kNone;
    bool force_sync = false;  // the next warp-wide instruction goes on with whoever is there
    bool spun = false;        // has waited for memory since the last yield
};

template <class T>
[[gnu::always_inline]] inline T* lanes(const Warp& warp, Slot slot) {
    return reinterpret_cast<T*>(warp.base[slot & 1] + slot);
}

// The slow ways out of a handler, compiled once (block_memory.cpp, reconverge.cpp).

/// Ends the grid with an illegal address. Returns null, for the handler to return.
const Insn* fault_illegal_address(Warp& warp, const Insn* insn, uint64_t address);
const Insn* fault_misaligned(Warp& warp, const Insn* insn, uint64_t address);

/// Enters into `cache` the range that holds all of [address, address + size); false if none does.
bool refill_cache(Warp& warp, RangeCache& cache, uint64_t address, uint64_t size);

/// Shared memory of a block of the cluster, at an offset in the window; null if it is nobody's.
char* cluster_shared(Warp& warp, uint64_t offset, uint64_t size);

/// %globaltimer: nanoseconds since the epoch.
uint64_t global_timer();

/// For instructions that the lanes of `member` execute together; `mask` gains the lanes that waited
/// here. True: all of them that live are in `mask`. False: the lanes of `mask` now wait at `insn`,
/// and the handler returns `next`.
bool gather(Warp& warp, const Insn* insn, uint32_t& mask, uint32_t member, const Insn*& next);
/// The lanes of `mask` wait at `insn` for others; returns what the handler returns.
const Insn* wait_here(Warp& warp, const Insn* insn, uint32_t mask);

}  // namespace cubar::softgpu::exec
