// SPDX-License-Identifier: Apache-2.0
// The copies with arrays of one dimension: one row of a box.
#include "libcuda/array.h"
#include "libcuda/copy.h"

namespace cubar::guest {
namespace {

std::uint64_t address_of(const void* host) {
    return reinterpret_cast<std::uint64_t>(host);
}

/// One end as an application names it: an array and an offset, or memory.
struct Named {
    CUarray array = nullptr;
    std::uint64_t place = 0;
    Expected expected = Expected::kEither;
    bool is_array = false;
};

Named in_array(CUarray array, std::size_t offset) {
    return {array, offset, Expected::kDevice, true};
}
Named on_device(CUdeviceptr address) {
    return {nullptr, address, Expected::kDevice, false};
}
Named on_host(const void* host) {
    return {nullptr, address_of(host), Expected::kHost, false};
}

CUresult find(const Caller& caller, const Named& named, std::size_t bytes, CopyEnd& end) {
    if (named.is_array)
        return find_end(caller, named.array, {named.place, 0, 0}, {bytes, 1, 1}, end);
    if (named.place == 0) return CUDA_ERROR_INVALID_VALUE;
    return find_end(caller, named.place, bytes, named.expected, end);
}

CUresult copy_row(const Named& target, const Named& source, std::size_t bytes, CUstream value,
                  Promise promise) {
    Caller caller;
    CUBAR_TRY(enter(caller));
    Stream* stream = nullptr;
    CUBAR_TRY(find_stream(caller, value, stream));
    if (bytes == 0) return CUDA_SUCCESS;
    CopyBox box;
    CUBAR_TRY(find(caller, target, bytes, box.target));
    CUBAR_TRY(find(caller, source, bytes, box.source));
    CUBAR_TRY(check_elements(box));
    box.target_pitch = box.source_pitch = box.target_slice = box.source_slice = bytes;
    box.width = bytes;
    box.height = box.depth = 1;
    return copy_box(caller, *stream, box, promise);
}

}  // namespace

CUresult body_cuMemcpyDtoA_v2(CUarray target, std::size_t offset, CUdeviceptr source,
                              std::size_t bytes, CUstream stream) {
    return copy_row(in_array(target, offset), on_device(source), bytes, stream, Promise::kDone);
}
CUresult body_cuMemcpyAtoD_v2(CUdeviceptr target, CUarray source, std::size_t offset,
                              std::size_t bytes, CUstream stream) {
    return copy_row(on_device(target), in_array(source, offset), bytes, stream, Promise::kDone);
}
CUresult body_cuMemcpyHtoA_v2(CUarray target, std::size_t offset, const void* source,
                              std::size_t bytes, CUstream stream) {
    return copy_row(in_array(target, offset), on_host(source), bytes, stream, Promise::kDone);
}
CUresult body_cuMemcpyAtoH_v2(void* target, CUarray source, std::size_t offset, std::size_t bytes,
                              CUstream stream) {
    return copy_row(on_host(target), in_array(source, offset), bytes, stream, Promise::kDone);
}
CUresult body_cuMemcpyAtoA_v2(CUarray target, std::size_t target_offset, CUarray source,
                              std::size_t source_offset, std::size_t bytes, CUstream stream) {
    return copy_row(in_array(target, target_offset), in_array(source, source_offset), bytes, stream,
                    Promise::kDone);
}

}  // namespace cubar::guest

using namespace cubar::guest;

CUBAR_API cuMemcpyHtoAAsync_v2(CUarray target, std::size_t offset, const void* source,
                               std::size_t bytes, CUstream stream) {
    return copy_row(in_array(target, offset), on_host(source), bytes, stream, Promise::kAsync);
}
CUBAR_API cuMemcpyAtoHAsync_v2(void* target, CUarray source, std::size_t offset, std::size_t bytes,
                               CUstream stream) {
    return copy_row(on_host(target), in_array(source, offset), bytes, stream, Promise::kAsync);
}
