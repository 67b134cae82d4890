// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda.h>

#include <atomic>
#include <cstdint>

#include "cubar/handle.h"
#include "cubar/layout.h"
#include "cubar/record.h"

namespace cubar::host {

/// The parameter block of a kernel whose parameters nobody has asked for yet.
inline constexpr std::uint32_t kUnknownBytes = 0xffff'ffff;

/// Where a stream stands with its fence. Touched by the executor thread alone.
struct FenceState {
    Position issued = 0;  ///< end of the last record issued to the stream
    bool dirty = false;   ///< `issued` is not yet covered by a fence
};

/// What the session keeps for each handle that it gave out: the driver's object, and what a later
/// record needs to know of it.
struct ContextObject {
    CUcontext context = nullptr;
    CUdevice device = 0;
    bool primary = false;
    std::uint32_t fence = kNoFence;                  ///< of the context's legacy stream
    std::atomic<std::uint32_t> blocking_streams{0};  ///< others that the legacy stream waits for
    FenceState legacy;
    std::atomic<std::uint64_t> local_bytes{0};  ///< of each thread, charged (local_memory.h)
};

struct StreamObject {
    CUstream stream = nullptr;
    ContextHandle context;
    bool blocking = false;
    std::uint32_t fence = kNoFence;
    std::uint32_t thread = 0;  ///< whose CU_STREAM_PER_THREAD it is; 0: nobody's
    FenceState state;
};

struct EventObject {
    CUevent event = nullptr;
    ContextHandle context;
};

struct ModuleObject {
    CUmodule module = nullptr;
    ContextHandle context;
    LibraryHandle library;  ///< whose module it is, if it was not loaded by itself
    bool prints = false;    ///< its code calls vprintf: synchronising with it may yield output
};

struct LibraryObject {
    CUlibrary library = nullptr;
    bool prints = false;
};

struct KernelObject {
    CUkernel kernel = nullptr;
    LibraryHandle library;
    bool prints = false;
    std::uint32_t parameter_bytes = kUnknownBytes;  ///< by std::atomic_ref once shared
    /// By std::atomic_ref: what local_memory.cpp remembers; 0: nothing yet.
    std::uint64_t local_memory = 0;
};

struct FunctionObject {
    CUfunction function = nullptr;
    ModuleHandle module;    ///< null for the function of a kernel
    LibraryHandle library;  ///< of the kernel whose function it is, else null
    ContextHandle context;
    bool prints = false;
    std::uint32_t parameter_bytes = kUnknownBytes;  ///< as in KernelObject
    std::uint64_t local_memory = 0;                 ///< as in KernelObject
};

}  // namespace cubar::host
