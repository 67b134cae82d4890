// SPDX-License-Identifier: Apache-2.0
// The copies with arrays of one dimension: a part of an array's first row.
#define __CUDA_API_VERSION_INTERNAL
#include <cuda.h>

#include "softgpu/api/array_handle.h"
#include "softgpu/api/entry.h"
#include "softgpu/api/stream_handle.h"
#include "softgpu/device/copy.h"

using namespace cubar::softgpu;
using api::entry;
using api::require_value;
using device::Address;
using device::Claim;
using device::Copy;
using device::CopySide;
using device::Driver;

namespace {

enum class Mode { kSync, kAsync };

/// One side as the caller names it.
struct Side {
    Claim claim;
    Address address;  // or the offset in the array
    CUarray array = nullptr;
};

Side in_array(CUarray array, std::size_t offset) {
    return {Claim::kArray, offset, array};
}
Side on_device(CUdeviceptr address) {
    return {Claim::kDevice, address, nullptr};
}
Side on_host(const void* host) {
    return {Claim::kHost, reinterpret_cast<Address>(host), nullptr};
}

CopySide find(Driver& driver, const Side& side) {
    if (side.claim != Claim::kArray) return {side.address, 0, 0, nullptr};
    return CopySide::in(api::array_of(driver, side.array), side.address, 0, 0);
}

CUresult run(const char* function, Mode mode, const Side& to, const Side& from, std::size_t bytes,
             CUstream stream) {
    return entry(function, [&](Driver& driver) {
        const api::StreamPlace place = api::stream_of(driver, stream);
        if (bytes == 0) return;
        const CopySide target = find(driver, to);
        const CopySide source = find(driver, from);
        require_value(target.array == nullptr || source.array == nullptr ||
                          target.array->element() == source.array->element(),
                      "the arrays' elements differ in size");
        const Copy copy(driver.memory(), target, to.claim, source, from.claim, {bytes, 1, 1});
        mode == Mode::kSync ? copy.run(*place.context, place.stream)
                            : copy.run_async(*place.context, place.stream);
    });
}

}  // namespace

namespace cubar::softgpu::api {

CUresult body_cuMemcpyDtoA_v2(CUarray to, size_t offset, CUdeviceptr from, size_t bytes,
                              CUstream stream) {
    return run("cuMemcpyDtoA_v2", Mode::kSync, in_array(to, offset), on_device(from), bytes,
               stream);
}

CUresult body_cuMemcpyAtoD_v2(CUdeviceptr to, CUarray from, size_t offset, size_t bytes,
                              CUstream stream) {
    return run("cuMemcpyAtoD_v2", Mode::kSync, on_device(to), in_array(from, offset), bytes,
               stream);
}

CUresult body_cuMemcpyHtoA_v2(CUarray to, size_t offset, const void* from, size_t bytes,
                              CUstream stream) {
    return run("cuMemcpyHtoA_v2", Mode::kSync, in_array(to, offset), on_host(from), bytes, stream);
}

CUresult body_cuMemcpyAtoH_v2(void* to, CUarray from, size_t offset, size_t bytes,
                              CUstream stream) {
    return run("cuMemcpyAtoH_v2", Mode::kSync, on_host(to), in_array(from, offset), bytes, stream);
}

CUresult body_cuMemcpyAtoA_v2(CUarray to, size_t to_offset, CUarray from, size_t from_offset,
                              size_t bytes, CUstream stream) {
    return run("cuMemcpyAtoA_v2", Mode::kSync, in_array(to, to_offset), in_array(from, from_offset),
               bytes, stream);
}

}  // namespace cubar::softgpu::api

CUBAR_EXPORT CUresult CUDAAPI cuMemcpyHtoAAsync_v2(CUarray to, size_t offset, const void* from,
                                                   size_t bytes, CUstream stream) {
    return run(__func__, Mode::kAsync, in_array(to, offset), on_host(from), bytes, stream);
}

CUBAR_EXPORT CUresult CUDAAPI cuMemcpyAtoHAsync_v2(void* to, CUarray from, size_t offset,
                                                   size_t bytes, CUstream stream) {
    return run(__func__, Mode::kAsync, on_host(to), in_array(from, offset), bytes, stream);
}
