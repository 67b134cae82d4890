// SPDX-License-Identifier: Apache-2.0
// CUDA arrays and mipmapped arrays. They are the host's driver's; what they are like is mirrored.
#include "libcuda/array.h"

#include "driver/array_format.h"
#include "libcuda/capture_rules.h"

namespace wire = cubar::wire;

namespace cubar::guest {

CUresult find_array(const Caller& caller, CUarray value, Array*& out) {
    out = caller.session->arrays.find(ArrayHandle(bits_of(value)));
    return out != nullptr ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}

CUresult find_mipmapped_array(const Caller& caller, CUmipmappedArray value, MipmappedArray*& out) {
    out = caller.session->mipmapped_arrays.find(MipmappedArrayHandle(bits_of(value)));
    return out != nullptr ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}

std::uint32_t element_bytes(const CUDA_ARRAY3D_DESCRIPTOR& shape) {
    return driver::channel_bytes(shape.Format) * shape.NumChannels;
}

}  // namespace cubar::guest

using namespace cubar::guest;

namespace {

template <typename Request>
void put_shape(const CUDA_ARRAY3D_DESCRIPTOR& shape, Request& request) {
    request.width = shape.Width;
    request.height = shape.Height;
    request.depth = shape.Depth;
    request.format = shape.Format;
    request.channels = shape.NumChannels;
    request.flags = shape.Flags;
}

CUresult mirror(const Caller& caller, cubar::ArrayHandle handle,
                const CUDA_ARRAY3D_DESCRIPTOR& shape, cubar::MipmappedArrayHandle whole,
                CUarray* out) {
    const bool mirrored = caller.session->arrays.mirror(handle, [&](Array& object) {
        object.context = caller.context->handle;
        object.whole = whole;
        object.shape = shape;
    });
    if (!mirrored) return CUDA_ERROR_OUT_OF_MEMORY;
    *out = pointer_to<CUarray>(handle);
    return CUDA_SUCCESS;
}

CUresult create(CUarray* out, const CUDA_ARRAY3D_DESCRIPTOR* shape) {
    Caller caller;
    CUBAR_TRY(enter(caller));
    CUBAR_TRY(forbid_unsafe(caller));
    if (out == nullptr || shape == nullptr) return CUDA_ERROR_INVALID_VALUE;
    wire::cuArray3DCreate_v2::Request request{};
    put_shape(*shape, request);
    wire::cuArray3DCreate_v2::Reply reply{};
    CUBAR_TRY(
        call_in<wire::cuArray3DCreate_v2>(caller, caller.context->handle, {}, request, reply));
    return mirror(caller, reply.array, *shape, {}, out);
}

}  // namespace

CUBAR_API cuArrayCreate_v2(CUarray* out, const CUDA_ARRAY_DESCRIPTOR* shape) {
    if (shape == nullptr) return create(out, nullptr);
    const CUDA_ARRAY3D_DESCRIPTOR whole{shape->Width,  shape->Height,      0,
                                        shape->Format, shape->NumChannels, 0};
    return create(out, &whole);
}

CUBAR_API cuArray3DCreate_v2(CUarray* out, const CUDA_ARRAY3D_DESCRIPTOR* shape) {
    return create(out, shape);
}

CUBAR_API cuArray3DGetDescriptor_v2(CUDA_ARRAY3D_DESCRIPTOR* out, CUarray value) {
    Caller caller;
    CUBAR_TRY(enter(caller));
    if (out == nullptr) return CUDA_ERROR_INVALID_VALUE;
    Array* array = nullptr;
    CUBAR_TRY(find_array(caller, value, array));
    *out = array->shape;
    return CUDA_SUCCESS;
}

CUBAR_API cuArrayGetDescriptor_v2(CUDA_ARRAY_DESCRIPTOR* out, CUarray value) {
    if (out == nullptr) return cuArray3DGetDescriptor_v2(nullptr, value);
    CUDA_ARRAY3D_DESCRIPTOR whole{};
    CUBAR_TRY(cuArray3DGetDescriptor_v2(&whole, value));
    *out = {whole.Width, whole.Height, whole.Format, whole.NumChannels};
    return CUDA_SUCCESS;
}

CUBAR_API cuArrayDestroy(CUarray value) {
    Caller caller;
    CUBAR_TRY(enter(caller));
    CUBAR_TRY(forbid_unsafe(caller));
    Array* array = nullptr;
    CUBAR_TRY(find_array(caller, value, array));
    // A level ends with its mipmapped array.
    if (array->whole) return CUDA_ERROR_INVALID_HANDLE;
    wire::cuArrayDestroy::Request request{};
    request.array = cubar::ArrayHandle(bits_of(value));
    wire::cuArrayDestroy::Reply reply{};
    CUBAR_TRY(call_in<wire::cuArrayDestroy>(caller, array->context, {}, request, reply));
    caller.session->arrays.forget(request.array);
    return CUDA_SUCCESS;
}

CUBAR_API cuMipmappedArrayCreate(CUmipmappedArray* out, const CUDA_ARRAY3D_DESCRIPTOR* shape,
                                 unsigned int levels) {
    Caller caller;
    CUBAR_TRY(enter(caller));
    CUBAR_TRY(forbid_unsafe(caller));
    if (out == nullptr || shape == nullptr) return CUDA_ERROR_INVALID_VALUE;
    wire::cuMipmappedArrayCreate::Request request{};
    put_shape(*shape, request);
    request.levels = levels;
    wire::cuMipmappedArrayCreate::Reply reply{};
    CUBAR_TRY(
        call_in<wire::cuMipmappedArrayCreate>(caller, caller.context->handle, {}, request, reply));
    const bool mirrored = caller.session->mipmapped_arrays.mirror(
        reply.mipmapped_array,
        [&](MipmappedArray& object) { object.context = caller.context->handle; });
    if (!mirrored) return CUDA_ERROR_OUT_OF_MEMORY;
    *out = pointer_to<CUmipmappedArray>(reply.mipmapped_array);
    return CUDA_SUCCESS;
}

CUBAR_API cuMipmappedArrayGetLevel(CUarray* out, CUmipmappedArray value, unsigned int level) {
    Caller caller;
    CUBAR_TRY(enter(caller));
    if (out == nullptr) return CUDA_ERROR_INVALID_VALUE;
    MipmappedArray* whole = nullptr;
    CUBAR_TRY(find_mipmapped_array(caller, value, whole));
    wire::cuMipmappedArrayGetLevel::Request request{};
    request.mipmapped_array = cubar::MipmappedArrayHandle(bits_of(value));
    request.level = level;
    wire::cuMipmappedArrayGetLevel::Reply reply{};
    CUBAR_TRY(call_in<wire::cuMipmappedArrayGetLevel>(caller, whole->context, {}, request, reply));
    const CUDA_ARRAY3D_DESCRIPTOR shape{reply.width,    reply.height,
                                        reply.depth,    static_cast<CUarray_format>(reply.format),
                                        reply.channels, reply.flags};
    return mirror(caller, reply.array, shape, request.mipmapped_array, out);
}

CUBAR_API cuMipmappedArrayDestroy(CUmipmappedArray value) {
    Caller caller;
    CUBAR_TRY(enter(caller));
    CUBAR_TRY(forbid_unsafe(caller));
    MipmappedArray* whole = nullptr;
    CUBAR_TRY(find_mipmapped_array(caller, value, whole));
    wire::cuMipmappedArrayDestroy::Request request{};
    request.mipmapped_array = cubar::MipmappedArrayHandle(bits_of(value));
    wire::cuMipmappedArrayDestroy::Reply reply{};
    CUBAR_TRY(call_in<wire::cuMipmappedArrayDestroy>(caller, whole->context, {}, request, reply));
    caller.session->arrays.forget_if([&](cubar::ArrayHandle, const Array& array) {
        return array.whole == request.mipmapped_array;
    });
    caller.session->mipmapped_arrays.forget(request.mipmapped_array);
    return CUDA_SUCCESS;
}
