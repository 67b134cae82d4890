// SPDX-License-Identifier: Apache-2.0
// The session that the toy's dispatcher sees: a driver of function pointers, and handles that are
// known by their index.
#pragma once

#include <cuda.h>

#include <cstdint>

#include "cubar/handle.h"
#include "cubar/host/driver_functions.h"

namespace cubar::host {

struct Driver {
#define CUBAR_DRIVER_FUNCTION(name) decltype(&::name) name = nullptr;
    CUBAR_DRIVER_FUNCTIONS(CUBAR_DRIVER_FUNCTION)
#undef CUBAR_DRIVER_FUNCTION
};

class Session {
public:
    Driver own_driver;
    const Driver& driver() const { return own_driver; }

    /// The toy driver's objects have the handle's index as their address; index 99 is dead.
    template <Kind K, typename T>
    CUresult resolve(Handle<K> handle, T*& out) const {
        if (handle && (handle.kind() != K || handle.index() == 99))
            return CUDA_ERROR_INVALID_HANDLE;
        out = reinterpret_cast<T*>(static_cast<std::uintptr_t>(handle.index()));
        return CUDA_SUCCESS;
    }
};

}  // namespace cubar::host
