// SPDX-License-Identifier: Apache-2.0
// The guest's way out, cut short: a record goes straight to the toy's dispatcher.
#pragma once

#include <cuda.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

#include "cubar/handle.h"
#include "cubar/opcode.h"

namespace cubar::guest {

/// Runs a record as the worker would; `reply` is empty for one without answer.
CUresult carry(Opcode opcode, StreamHandle stream, std::span<const std::byte> request,
               std::span<const std::byte> payload, std::span<std::byte> reply);

template <class W>
CUresult call(const typename W::Request& request, typename W::Reply& reply,
              std::span<const std::byte> payload = {}) {
    static_assert(W::kAnswers);
    return carry(W::kOpcode, {}, std::as_bytes(std::span(&request, 1)), payload,
                 std::as_writable_bytes(std::span(&reply, 1)));
}

template <class W>
CUresult post(StreamHandle stream, const typename W::Request& request,
              std::span<const std::byte> payload = {}) {
    static_assert(!W::kAnswers);
    return carry(W::kOpcode, stream, std::as_bytes(std::span(&request, 1)), payload, {});
}

/// The toy's handles are the bits that the application holds. 98 is known to be dead in the guest.
template <Kind K, typename T>
CUresult handle_of(T* object, Handle<K>& out) {
    const Handle<K> handle(reinterpret_cast<std::uintptr_t>(object));
    if (handle && (handle.kind() != K || handle.index() == 98)) return CUDA_ERROR_INVALID_HANDLE;
    out = handle;
    return CUDA_SUCCESS;
}

/// The toy's devices count backwards from 7 on the host; there are two.
inline CUresult device_of(CUdevice device, std::int32_t& out) {
    if (device < 0 || device > 1) return CUDA_ERROR_INVALID_DEVICE;
    out = 7 - device;
    return CUDA_SUCCESS;
}

}  // namespace cubar::guest
