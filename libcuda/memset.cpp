// SPDX-License-Identifier: Apache-2.0
#include "libcuda/copy.h"

namespace cubar::guest {
namespace {

/// What CUDA refuses at once: memory that is not the GPU's, a range that is too short, an address
/// or a pitch that the elements do not fit.
CUresult check(const Caller& caller, CUdeviceptr target, std::uint64_t pitch, std::uint64_t width,
               std::uint64_t height, std::uint64_t element_bytes) {
    std::uint64_t row = 0;
    std::uint64_t reach = 0;
    if (__builtin_mul_overflow(width, element_bytes, &row) || target % element_bytes != 0) {
        return CUDA_ERROR_INVALID_VALUE;
    }
    if (height > 1 && (pitch < row || pitch % element_bytes != 0)) return CUDA_ERROR_INVALID_VALUE;
    if (__builtin_mul_overflow(pitch, height - 1, &reach) ||
        __builtin_add_overflow(reach, row, &reach)) {
        return CUDA_ERROR_INVALID_VALUE;
    }
    CopyEnd end;
    return find_end(caller, target, reach, Expected::kDevice, end);
}

template <typename W, typename Fill>
CUresult set(CUstream value, CUdeviceptr target, std::uint64_t pitch, std::uint64_t width,
             std::uint64_t height, std::uint64_t element_bytes, Fill&& fill) {
    Caller caller;
    CUBAR_TRY(enter(caller));
    Stream* stream = nullptr;
    CUBAR_TRY(find_stream(caller, value, stream));
    if (width == 0 || height == 0) return CUDA_SUCCESS;
    CUBAR_TRY(check(caller, target, pitch, width, height, element_bytes));
    typename W::Request request{};
    fill(request);
    return post<W>(caller, *stream, request);
}

template <typename W, typename Element>
CUresult set_row(CUdeviceptr target, Element element, std::size_t count, CUstream stream,
                 auto member) {
    return set<W>(stream, target, 0, count, 1, sizeof(Element), [&](typename W::Request& request) {
        request.dstDevice = target;
        request.*member = element;
        request.N = count;
    });
}

template <typename W, typename Element>
CUresult set_rows(CUdeviceptr target, std::size_t pitch, Element element, std::size_t width,
                  std::size_t height, CUstream stream, auto member) {
    return set<W>(stream, target, pitch, width, height, sizeof(Element),
                  [&](typename W::Request& request) {
                      request.dstDevice = target;
                      request.dstPitch = pitch;
                      request.*member = element;
                      request.Width = width;
                      request.Height = height;
                  });
}

}  // namespace
}  // namespace cubar::guest

using namespace cubar::guest;
namespace wire = cubar::wire;

CUBAR_API cuMemsetD8Async(CUdeviceptr target, unsigned char value, std::size_t count,
                          CUstream stream) {
    return set_row<wire::cuMemsetD8Async>(target, value, count, stream,
                                          &wire::cuMemsetD8Async::Request::uc);
}
CUBAR_API cuMemsetD16Async(CUdeviceptr target, unsigned short value, std::size_t count,
                           CUstream stream) {
    return set_row<wire::cuMemsetD16Async>(target, value, count, stream,
                                           &wire::cuMemsetD16Async::Request::us);
}
CUBAR_API cuMemsetD32Async(CUdeviceptr target, unsigned int value, std::size_t count,
                           CUstream stream) {
    return set_row<wire::cuMemsetD32Async>(target, value, count, stream,
                                           &wire::cuMemsetD32Async::Request::ui);
}
CUBAR_API cuMemsetD2D8Async(CUdeviceptr target, std::size_t pitch, unsigned char value,
                            std::size_t width, std::size_t height, CUstream stream) {
    return set_rows<wire::cuMemsetD2D8Async>(target, pitch, value, width, height, stream,
                                             &wire::cuMemsetD2D8Async::Request::uc);
}
CUBAR_API cuMemsetD2D16Async(CUdeviceptr target, std::size_t pitch, unsigned short value,
                             std::size_t width, std::size_t height, CUstream stream) {
    return set_rows<wire::cuMemsetD2D16Async>(target, pitch, value, width, height, stream,
                                              &wire::cuMemsetD2D16Async::Request::us);
}
CUBAR_API cuMemsetD2D32Async(CUdeviceptr target, std::size_t pitch, unsigned int value,
                             std::size_t width, std::size_t height, CUstream stream) {
    return set_rows<wire::cuMemsetD2D32Async>(target, pitch, value, width, height, stream,
                                              &wire::cuMemsetD2D32Async::Request::ui);
}

// CUDA's memsets without a stream do not wait either, except on page-locked memory.
namespace cubar::guest {
namespace {

CUresult finish(CUdeviceptr target, CUstream value) {
    Caller caller;
    CUBAR_TRY(enter(caller));
    const auto range = caller.session->addresses.find(target);
    if (!range || range->on_device()) return CUDA_SUCCESS;
    Stream* stream = nullptr;
    CUBAR_TRY(find_stream(caller, value, stream));
    return wait_for(caller, *stream, stream->last.load(std::memory_order_relaxed));
}

}  // namespace

CUresult body_cuMemsetD8_v2(CUdeviceptr target, unsigned char value, std::size_t count,
                            CUstream stream) {
    CUBAR_TRY(cuMemsetD8Async(target, value, count, stream));
    return finish(target, stream);
}
CUresult body_cuMemsetD16_v2(CUdeviceptr target, unsigned short value, std::size_t count,
                             CUstream stream) {
    CUBAR_TRY(cuMemsetD16Async(target, value, count, stream));
    return finish(target, stream);
}
CUresult body_cuMemsetD32_v2(CUdeviceptr target, unsigned int value, std::size_t count,
                             CUstream stream) {
    CUBAR_TRY(cuMemsetD32Async(target, value, count, stream));
    return finish(target, stream);
}
CUresult body_cuMemsetD2D8_v2(CUdeviceptr target, std::size_t pitch, unsigned char value,
                              std::size_t width, std::size_t height, CUstream stream) {
    CUBAR_TRY(cuMemsetD2D8Async(target, pitch, value, width, height, stream));
    return finish(target, stream);
}
CUresult body_cuMemsetD2D16_v2(CUdeviceptr target, std::size_t pitch, unsigned short value,
                               std::size_t width, std::size_t height, CUstream stream) {
    CUBAR_TRY(cuMemsetD2D16Async(target, pitch, value, width, height, stream));
    return finish(target, stream);
}
CUresult body_cuMemsetD2D32_v2(CUdeviceptr target, std::size_t pitch, unsigned int value,
                               std::size_t width, std::size_t height, CUstream stream) {
    CUBAR_TRY(cuMemsetD2D32Async(target, pitch, value, width, height, stream));
    return finish(target, stream);
}

}  // namespace cubar::guest
