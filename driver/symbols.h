// SPDX-License-Identifier: Apache-2.0
// Which function answers to a name at a CUDA version: the rules behind cuGetProcAddress.
#pragma once

#include <cuda.h>

#include <span>
#include <string_view>

// Stands in the table for a function that a library does not have. Returns
// CUDA_ERROR_NOT_SUPPORTED and is never handed out.
extern "C" CUresult cubar_driver_gap();

namespace cubar::driver {

// One ABI of one driver function, as cudaTypedefs.h counts them.
struct Symbol {
    const char* name;  // base name, without _v2, _ptsz, _ptds
    int version;       // CUDA version that introduced this ABI, 1000 * major + 10 * minor
    bool per_thread;   // the _ptsz or _ptds variant
    void* function;    // null or cubar_driver_gap: not there
};

// All symbols of the library that this is linked into, sorted by name, then version, then
// per_thread. Defined by the source that generate/ writes for each library.
std::span<const Symbol> symbol_table() noexcept;

struct Lookup {
    void* function;  // null unless status says success
    CUdriverProcAddressQueryResult status;
};

// The newest ABI of `name` that is not newer than `cuda_version`; its per-thread variant where
// `per_thread` asks for it and there is one. If that very ABI is a gap, nothing is found: an
// older one would be called with the wrong arguments.
Lookup find(std::span<const Symbol> table, std::string_view name, int cuda_version,
            bool per_thread) noexcept;

// The bodies of a library's cuGetProcAddress (the ABI before CUDA 12) and cuGetProcAddress_v2, over
// symbol_table(). What is not found gives null and CUDA_ERROR_NOT_FOUND; null arguments and
// unknown or contradicting flags give CUDA_ERROR_INVALID_VALUE; `status` may be null.
// A version newer than the driver's is taken as the driver's. Thread-safe, needs no cuInit.
CUresult get_proc_address(const char* name, void** function, int cuda_version,
                          cuuint64_t flags) noexcept;
CUresult get_proc_address_v2(const char* name, void** function, int cuda_version, cuuint64_t flags,
                             CUdriverProcAddressQueryResult* status) noexcept;

}  // namespace cubar::driver
