// SPDX-License-Identifier: Apache-2.0
#define __CUDA_API_VERSION_INTERNAL
#include "softgpu/device/copy.h"

#include <cuda.h>

#include "softgpu/api/array_handle.h"
#include "softgpu/api/copy_descriptor.h"
#include "softgpu/api/entry.h"
#include "softgpu/api/stream_handle.h"

using namespace cubar::softgpu;
using api::entry;
using api::require;
using api::require_value;
using device::Address;
using device::Claim;
using device::Copy;
using device::CopyExtent;
using device::CopySide;
using device::Driver;

namespace {

Address address_of(const void* pointer) {
    return reinterpret_cast<Address>(pointer);
}

enum class Mode { kSync, kAsync };

struct Side {
    CopySide where;
    Claim claim;
};

Side host(const void* pointer) {
    return {{address_of(pointer), 0, 0, nullptr}, Claim::kHost};
}
Side on_device(CUdeviceptr pointer) {
    return {{pointer, 0, 0, nullptr}, Claim::kDevice};
}
Side unified(CUdeviceptr pointer) {
    return {{pointer, 0, 0, nullptr}, Claim::kUnified};
}

Copy checked(Driver& driver, const Side& to, const Side& from, const CopyExtent& extent) {
    require_value(to.where.array == nullptr || from.where.array == nullptr ||
                      to.where.array->element() == from.where.array->element(),
                  "the arrays' elements differ in size");
    return {driver.memory(), to.where, to.claim, from.where, from.claim, extent};
}

void enqueue(const api::StreamPlace& place, Mode mode, const Copy& copy) {
    if (mode == Mode::kSync)
        copy.run(*place.context, place.stream);
    else
        copy.run_async(*place.context, place.stream);
}

CUresult run(const char* function, Mode mode, const Side& to, const Side& from, CopyExtent extent,
             CUstream stream) {
    return entry(function, [&](Driver& driver) {
        const api::StreamPlace place = api::stream_of(driver, stream);
        enqueue(place, mode, checked(driver, to, from, extent));
    });
}

CUresult linear(const char* function, const Side& to, const Side& from, std::size_t size,
                CUstream stream) {
    return run(function, Mode::kSync, to, from, {size, 1, 1}, stream);
}

CUresult linear_async(const char* function, const Side& to, const Side& from, std::size_t size,
                      CUstream stream) {
    return run(function, Mode::kAsync, to, from, {size, 1, 1}, stream);
}

/// One side of a 2D or 3D descriptor.
struct Corner {
    CUmemorytype type;
    const void* host;
    CUdeviceptr device;
    CUarray array;
    std::size_t x;
    std::size_t y;
    std::size_t z;
    std::size_t pitch;
    std::size_t rows;  ///< per slice
};

Side side_of(Driver& driver, const Corner& corner, const CopyExtent& extent) {
    require_value(corner.type >= CU_MEMORYTYPE_HOST && corner.type <= CU_MEMORYTYPE_UNIFIED,
                  "no such memory type");
    if (corner.type == CU_MEMORYTYPE_ARRAY)
        return {CopySide::in(api::array_of(driver, corner.array), corner.x, corner.y, corner.z),
                Claim::kArray};
    const bool is_host = corner.type == CU_MEMORYTYPE_HOST;
    const Address base = is_host ? address_of(corner.host) : corner.device;
    require_value(base != 0 || extent.empty(), "a null pointer");
    // A pitch of 0 is as good as any where there is but one row.
    require_value(extent.height <= 1 || corner.pitch >= corner.x + extent.width,
                  "the pitch is too small");
    require_value(extent.depth <= 1 || corner.rows >= corner.y + extent.height,
                  "the slice is too small");
    const std::size_t slice = corner.pitch * corner.rows;
    Side side{{base + corner.x + corner.y * corner.pitch + corner.z * slice, corner.pitch, slice,
               nullptr},
              Claim::kUnified};
    if (is_host) side.claim = Claim::kHost;
    if (corner.type == CU_MEMORYTYPE_DEVICE) side.claim = Claim::kDevice;
    return side;
}

CUresult run_2d(const char* function, Mode mode, const CUDA_MEMCPY2D* copy, CUstream stream) {
    return entry(function, [&](Driver& driver) {
        require_value(copy != nullptr, "a null pointer");
        const CopyExtent extent{copy->WidthInBytes, copy->Height, 1};
        const Side from =
            side_of(driver,
                    {copy->srcMemoryType, copy->srcHost, copy->srcDevice, copy->srcArray,
                     copy->srcXInBytes, copy->srcY, 0, copy->srcPitch, 0},
                    extent);
        const Side to =
            side_of(driver,
                    {copy->dstMemoryType, copy->dstHost, copy->dstDevice, copy->dstArray,
                     copy->dstXInBytes, copy->dstY, 0, copy->dstPitch, 0},
                    extent);
        return run(function, mode, to, from, extent, stream);
    });
}

/// CUDA_MEMCPY3D and CUDA_MEMCPY3D_PEER name the members that matter alike.
template <class Descriptor>
Copy checked_3d(Driver& driver, const Descriptor& copy) {
    require_value(copy.srcLOD == 0 && copy.dstLOD == 0, "a level is an array of its own");
    const CopyExtent extent{copy.WidthInBytes, copy.Height, copy.Depth};
    const Side from =
        side_of(driver,
                {copy.srcMemoryType, copy.srcHost, copy.srcDevice, copy.srcArray, copy.srcXInBytes,
                 copy.srcY, copy.srcZ, copy.srcPitch, copy.srcHeight},
                extent);
    const Side to = side_of(driver,
                            {copy.dstMemoryType, copy.dstHost, copy.dstDevice, copy.dstArray,
                             copy.dstXInBytes, copy.dstY, copy.dstZ, copy.dstPitch, copy.dstHeight},
                            extent);
    return checked(driver, to, from, extent);
}

template <class Descriptor>
CUresult run_3d(const char* function, Mode mode, const Descriptor* copy, CUstream stream) {
    return entry(function, [&](Driver& driver) {
        require_value(copy != nullptr, "a null pointer");
        const api::StreamPlace place = api::stream_of(driver, stream);
        enqueue(place, mode, checked_3d(driver, *copy));
    });
}

void require_contexts(Driver& driver, CUcontext to, CUcontext from) {
    require(driver.find_context(to) != nullptr && driver.find_context(from) != nullptr,
            CUDA_ERROR_INVALID_CONTEXT, "no such context");
}

CUresult run_3d_peer(const char* function, Mode mode, const CUDA_MEMCPY3D_PEER* copy,
                     CUstream stream) {
    return entry(function, [&](Driver& driver) {
        require_value(copy != nullptr, "a null pointer");
        require_contexts(driver, copy->dstContext, copy->srcContext);
        return run_3d(function, mode, copy, stream);
    });
}

CUresult run_peer(const char* function, Mode mode, CUdeviceptr to, CUcontext to_context,
                  CUdeviceptr from, CUcontext from_context, std::size_t size, CUstream stream) {
    return entry(function, [&](Driver& driver) {
        require_contexts(driver, to_context, from_context);
        return run(function, mode, on_device(to), on_device(from), {size, 1, 1}, stream);
    });
}

}  // namespace

// The synchronous ones in their two spellings, with the legacy and with the thread's own default
// stream, are generated; these are what both call.
namespace cubar::softgpu::api {

Copy copy_of(Driver& driver, const CUDA_MEMCPY3D& descriptor) {
    return checked_3d(driver, descriptor);
}

CUresult body_cuMemcpy(CUdeviceptr to, CUdeviceptr from, size_t size, CUstream stream) {
    return linear("cuMemcpy", unified(to), unified(from), size, stream);
}

CUresult body_cuMemcpyHtoD_v2(CUdeviceptr to, const void* from, size_t size, CUstream stream) {
    return linear("cuMemcpyHtoD_v2", on_device(to), host(from), size, stream);
}

CUresult body_cuMemcpyDtoH_v2(void* to, CUdeviceptr from, size_t size, CUstream stream) {
    return linear("cuMemcpyDtoH_v2", host(to), on_device(from), size, stream);
}

CUresult body_cuMemcpyDtoD_v2(CUdeviceptr to, CUdeviceptr from, size_t size, CUstream stream) {
    return linear("cuMemcpyDtoD_v2", on_device(to), on_device(from), size, stream);
}

CUresult body_cuMemcpyPeer(CUdeviceptr to, CUcontext to_context, CUdeviceptr from,
                           CUcontext from_context, size_t size, CUstream stream) {
    return run_peer("cuMemcpyPeer", Mode::kSync, to, to_context, from, from_context, size, stream);
}

CUresult body_cuMemcpy2D_v2(const CUDA_MEMCPY2D* copy, CUstream stream) {
    return run_2d("cuMemcpy2D_v2", Mode::kSync, copy, stream);
}

CUresult body_cuMemcpy2DUnaligned_v2(const CUDA_MEMCPY2D* copy, CUstream stream) {
    return run_2d("cuMemcpy2DUnaligned_v2", Mode::kSync, copy, stream);
}

CUresult body_cuMemcpy3D_v2(const CUDA_MEMCPY3D* copy, CUstream stream) {
    return run_3d("cuMemcpy3D_v2", Mode::kSync, copy, stream);
}

CUresult body_cuMemcpy3DPeer(const CUDA_MEMCPY3D_PEER* copy, CUstream stream) {
    return run_3d_peer("cuMemcpy3DPeer", Mode::kSync, copy, stream);
}

}  // namespace cubar::softgpu::api

CUBAR_EXPORT CUresult CUDAAPI cuMemcpyAsync(CUdeviceptr to, CUdeviceptr from, size_t size,
                                            CUstream stream) {
    return linear_async(__func__, unified(to), unified(from), size, stream);
}

CUBAR_EXPORT CUresult CUDAAPI cuMemcpyHtoDAsync_v2(CUdeviceptr to, const void* from, size_t size,
                                                   CUstream stream) {
    return linear_async(__func__, on_device(to), host(from), size, stream);
}

CUBAR_EXPORT CUresult CUDAAPI cuMemcpyDtoHAsync_v2(void* to, CUdeviceptr from, size_t size,
                                                   CUstream stream) {
    return linear_async(__func__, host(to), on_device(from), size, stream);
}

CUBAR_EXPORT CUresult CUDAAPI cuMemcpyDtoDAsync_v2(CUdeviceptr to, CUdeviceptr from, size_t size,
                                                   CUstream stream) {
    return linear_async(__func__, on_device(to), on_device(from), size, stream);
}

CUBAR_EXPORT CUresult CUDAAPI cuMemcpyPeerAsync(CUdeviceptr to, CUcontext to_context,
                                                CUdeviceptr from, CUcontext from_context,
                                                size_t size, CUstream stream) {
    return run_peer(__func__, Mode::kAsync, to, to_context, from, from_context, size, stream);
}

CUBAR_EXPORT CUresult CUDAAPI cuMemcpy2DAsync_v2(const CUDA_MEMCPY2D* copy, CUstream stream) {
    return run_2d(__func__, Mode::kAsync, copy, stream);
}

CUBAR_EXPORT CUresult CUDAAPI cuMemcpy3DAsync_v2(const CUDA_MEMCPY3D* copy, CUstream stream) {
    return run_3d(__func__, Mode::kAsync, copy, stream);
}

CUBAR_EXPORT CUresult CUDAAPI cuMemcpy3DPeerAsync(const CUDA_MEMCPY3D_PEER* copy, CUstream stream) {
    return run_3d_peer(__func__, Mode::kAsync, copy, stream);
}
