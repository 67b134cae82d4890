// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "cubar/host/dispatch.h"
#include "driver/array_format.h"
#include "host/worker/session.h"
#include "host/worker/try.h"
#include "transport/ring_consumer.h"

namespace cubar::host {
namespace {

template <typename Shape>
CUDA_ARRAY3D_DESCRIPTOR shape_of(const Shape& shape) {
    return {shape.width,    shape.height, shape.depth, static_cast<CUarray_format>(shape.format),
            shape.channels, shape.flags};
}

/// What the elements take, at the least; the driver may pad them. Formats of several planes or of
/// blocks count as their largest kin. False: more than 64 bits count.
template <typename Shape>
bool bytes_of(const Shape& shape, std::uint64_t& bytes) {
    constexpr std::uint64_t kMostChannelBytes = 4;
    const auto at_least_one = [](std::uint64_t size) { return std::max<std::uint64_t>(size, 1); };
    const std::uint32_t known = driver::channel_bytes(shape.format);
    const std::uint64_t channel = known != 0 ? known : kMostChannelBytes;
    return !__builtin_mul_overflow(channel * at_least_one(shape.channels), shape.width, &bytes) &&
           !__builtin_mul_overflow(bytes, at_least_one(shape.height), &bytes) &&
           !__builtin_mul_overflow(bytes, at_least_one(shape.depth), &bytes);
}

/// Charges `bytes` and makes something by `make(AnyHandle&)`, which ends it again where it has no
/// handle for it.
template <typename Make>
CUresult make_charged(Session& session, ContextHandle context, std::uint64_t bytes, Make&& make) {
    CUdevice device = 0;
    CUBAR_TRY(session.device_of(context, device));
    auto charge = session.charge(device, bytes);
    if (!charge) return CUDA_ERROR_OUT_OF_MEMORY;
    AnyHandle handle;
    CUBAR_TRY(make(handle));
    charge.keep(handle.bits(), context);
    return CUDA_SUCCESS;
}

/// Ends what `key` is charged for by `end()`.
template <typename End>
CUresult end_charged(Session& session, AnyHandle key, End&& end) {
    auto charge = session.allocations().take(key.bits());
    const CUresult result = end();
    if (result != CUDA_SUCCESS) charge.put_back();
    return result;
}

}  // namespace

CUresult handle_cuArray3DCreate_v2(Session& session, const transport::Record& record,
                                   const wire::cuArray3DCreate_v2::Request& request,
                                   std::span<const std::byte>,
                                   wire::cuArray3DCreate_v2::Reply& reply) {
    const Driver& driver = session.driver();
    const ContextHandle context(record.header().context);
    const CUDA_ARRAY3D_DESCRIPTOR shape = shape_of(request);
    std::uint64_t bytes = 0;
    if (!bytes_of(request, bytes)) return CUDA_ERROR_INVALID_VALUE;
    return make_charged(session, context, bytes, [&](AnyHandle& handle) {
        CUarray array = nullptr;
        CUBAR_TRY(ask(driver.cuArray3DCreate_v2, &array, &shape));
        reply.array = session.arrays().adopt(array, context, {});
        if (!reply.array) ask(driver.cuArrayDestroy, array);
        handle = reply.array;
        return reply.array ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
    });
}

CUresult handle_cuArrayDestroy(Session& session, const transport::Record&,
                               const wire::cuArrayDestroy::Request& request,
                               std::span<const std::byte>, wire::cuArrayDestroy::Reply&) {
    CUarray array = nullptr;
    CUBAR_TRY(session.arrays().resolve(request.array, array));
    if (array == nullptr || session.arrays().is_level(request.array))
        return CUDA_ERROR_INVALID_HANDLE;
    // Forgotten first: once it is destroyed, another thread may be given the same pointer.
    session.arrays().forget(request.array);
    return end_charged(session, request.array,
                       [&] { return ask(session.driver().cuArrayDestroy, array); });
}

CUresult handle_cuMipmappedArrayCreate(Session& session, const transport::Record& record,
                                       const wire::cuMipmappedArrayCreate::Request& request,
                                       std::span<const std::byte>,
                                       wire::cuMipmappedArrayCreate::Reply& reply) {
    const Driver& driver = session.driver();
    const ContextHandle context(record.header().context);
    const CUDA_ARRAY3D_DESCRIPTOR shape = shape_of(request);
    std::uint64_t bytes = 0;
    // All levels together are less than twice the first.
    if (!bytes_of(request, bytes) || __builtin_mul_overflow(bytes, 2, &bytes))
        return CUDA_ERROR_INVALID_VALUE;
    return make_charged(session, context, bytes, [&](AnyHandle& handle) {
        CUmipmappedArray array = nullptr;
        CUBAR_TRY(ask(driver.cuMipmappedArrayCreate, &array, &shape, request.levels));
        reply.mipmapped_array = session.arrays().adopt(array, context);
        if (!reply.mipmapped_array) ask(driver.cuMipmappedArrayDestroy, array);
        handle = reply.mipmapped_array;
        return reply.mipmapped_array ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
    });
}

CUresult handle_cuMipmappedArrayGetLevel(Session& session, const transport::Record& record,
                                         const wire::cuMipmappedArrayGetLevel::Request& request,
                                         std::span<const std::byte>,
                                         wire::cuMipmappedArrayGetLevel::Reply& reply) {
    const Driver& driver = session.driver();
    CUmipmappedArray whole = nullptr;
    CUBAR_TRY(session.arrays().resolve(request.mipmapped_array, whole));
    if (whole == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    CUarray level = nullptr;
    CUBAR_TRY(ask(driver.cuMipmappedArrayGetLevel, &level, whole, request.level));
    CUDA_ARRAY3D_DESCRIPTOR shape{};
    CUBAR_TRY(ask(driver.cuArray3DGetDescriptor_v2, &shape, level));
    reply.array = session.arrays().adopt(level, ContextHandle(record.header().context),
                                         request.mipmapped_array);
    if (!reply.array) return CUDA_ERROR_OUT_OF_MEMORY;
    reply.width = shape.Width;
    reply.height = shape.Height;
    reply.depth = shape.Depth;
    reply.format = shape.Format;
    reply.channels = shape.NumChannels;
    reply.flags = shape.Flags;
    return CUDA_SUCCESS;
}

CUresult handle_cuMipmappedArrayDestroy(Session& session, const transport::Record&,
                                        const wire::cuMipmappedArrayDestroy::Request& request,
                                        std::span<const std::byte>,
                                        wire::cuMipmappedArrayDestroy::Reply&) {
    CUmipmappedArray array = nullptr;
    CUBAR_TRY(session.arrays().resolve(request.mipmapped_array, array));
    if (array == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    session.arrays().forget(request.mipmapped_array);
    return end_charged(session, request.mipmapped_array,
                       [&] { return ask(session.driver().cuMipmappedArrayDestroy, array); });
}

}  // namespace cubar::host
