// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda.h>

#include <cstdint>
#include <map>
#include <mutex>

#include "cubar/handle.h"
#include "cubar/handle_table.h"

namespace cubar::host {

struct ArrayObject {
    CUarray array = nullptr;
    ContextHandle context;
    MipmappedArrayHandle whole;  ///< that it is a level of; else null
};

struct MipmappedArrayObject {
    CUmipmappedArray array = nullptr;
    ContextHandle context;
};

/// The driver's arrays, textures and surfaces that the guest knows. Thread-safe.
class Arrays {
public:
    /// The handle of an array, made when it is met for the first time. A null handle: table full.
    ArrayHandle adopt(CUarray array, ContextHandle context, MipmappedArrayHandle whole);
    MipmappedArrayHandle adopt(CUmipmappedArray array, ContextHandle context);

    // What a handle from the guest stands for; INVALID_HANDLE for one that is not live. A null
    // handle is none.
    CUresult resolve(ArrayHandle handle, CUarray& out) const;
    CUresult resolve(MipmappedArrayHandle handle, CUmipmappedArray& out) const;
    /// The handle of what the driver names; null where the guest does not know it.
    ArrayHandle handle_of(CUarray array) const;
    /// True for an array that ends with its mipmapped one.
    bool is_level(ArrayHandle handle) const;

    void forget(ArrayHandle handle);
    void forget(MipmappedArrayHandle handle);  ///< with its levels
    /// All that lived in the context has ended with it.
    void forget_context(ContextHandle context);

    /// A texture or surface, by the driver's number.
    void add_image(std::uint64_t number, bool is_surface, ContextHandle context);
    /// False: there is none that the guest could end.
    bool take_image(std::uint64_t number, bool is_surface);

private:
    struct Image {
        bool is_surface;
        ContextHandle context;
    };

    template <typename Ends>
    void forget_arrays(Ends&& ends);

    mutable std::mutex mutex_;
    HandleTable<Kind::kArray, ArrayObject> arrays_;
    HandleTable<Kind::kMipmappedArray, MipmappedArrayObject> mipmapped_;
    std::map<CUarray, ArrayHandle> handles_;
    std::map<std::uint64_t, Image> images_;
};

}  // namespace cubar::host
