// SPDX-License-Identifier: Apache-2.0
#include "host/worker/arrays.h"

namespace cubar::host {

ArrayHandle Arrays::adopt(CUarray array, ContextHandle context, MipmappedArrayHandle whole) {
    const std::lock_guard lock(mutex_);
    const auto known = handles_.find(array);
    if (known != handles_.end()) return known->second;
    const ArrayHandle handle = arrays_.adopt([&](ArrayObject& object) {
        object = {array, context, whole};
    });
    if (handle) handles_.emplace(array, handle);
    return handle;
}

MipmappedArrayHandle Arrays::adopt(CUmipmappedArray array, ContextHandle context) {
    return mipmapped_.adopt([&](MipmappedArrayObject& object) { object = {array, context}; });
}

CUresult Arrays::resolve(ArrayHandle handle, CUarray& out) const {
    out = nullptr;
    if (!handle) return CUDA_SUCCESS;
    const ArrayObject* object = arrays_.find(handle);
    if (object == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    out = object->array;
    return CUDA_SUCCESS;
}

CUresult Arrays::resolve(MipmappedArrayHandle handle, CUmipmappedArray& out) const {
    out = nullptr;
    if (!handle) return CUDA_SUCCESS;
    const MipmappedArrayObject* object = mipmapped_.find(handle);
    if (object == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    out = object->array;
    return CUDA_SUCCESS;
}

ArrayHandle Arrays::handle_of(CUarray array) const {
    const std::lock_guard lock(mutex_);
    const auto known = handles_.find(array);
    return known != handles_.end() ? known->second : ArrayHandle{};
}

bool Arrays::is_level(ArrayHandle handle) const {
    const ArrayObject* object = arrays_.find(handle);
    return object != nullptr && object->whole;
}

template <typename Ends>
void Arrays::forget_arrays(Ends&& ends) {
    arrays_.forget_if([&](ArrayHandle handle, const ArrayObject& object) {
        if (!ends(handle, object)) return false;
        handles_.erase(object.array);
        return true;
    });
}

void Arrays::forget(ArrayHandle handle) {
    const std::lock_guard lock(mutex_);
    forget_arrays([&](ArrayHandle each, const ArrayObject&) { return each == handle; });
}

void Arrays::forget(MipmappedArrayHandle handle) {
    const std::lock_guard lock(mutex_);
    forget_arrays([&](ArrayHandle, const ArrayObject& object) { return object.whole == handle; });
    mipmapped_.forget(handle);
}

void Arrays::forget_context(ContextHandle context) {
    const std::lock_guard lock(mutex_);
    forget_arrays(
        [&](ArrayHandle, const ArrayObject& object) { return object.context == context; });
    mipmapped_.forget_if([&](MipmappedArrayHandle, const MipmappedArrayObject& object) {
        return object.context == context;
    });
    std::erase_if(images_, [&](const auto& entry) { return entry.second.context == context; });
}

void Arrays::add_image(std::uint64_t number, bool is_surface, ContextHandle context) {
    const std::lock_guard lock(mutex_);
    images_.insert_or_assign(number, Image{is_surface, context});
}

bool Arrays::take_image(std::uint64_t number, bool is_surface) {
    const std::lock_guard lock(mutex_);
    const auto found = images_.find(number);
    if (found == images_.end() || found->second.is_surface != is_surface) return false;
    images_.erase(found);
    return true;
}

}  // namespace cubar::host
