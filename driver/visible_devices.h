// SPDX-License-Identifier: Apache-2.0
// CUDA_VISIBLE_DEVICES: which devices a process sees, and in what order.
#pragma once

#include <cuda.h>

#include <cstddef>
#include <span>

namespace cubar::driver {

struct PhysicalDevice {
    CUuuid uuid;
    bool mig;  // a MIG instance: named MIG-… instead of GPU-…
};

// Writes the ordinals (indices into `devices`) that `value` makes visible to `ordinals`, which
// has room for devices.size(), and returns how many. CUDA's rules:
// - null (the variable is not set): all; empty: none;
// - entries are numbers, or GPU-/MIG- and the start of a UUID that fits one device only; the first
//   entry decides which of the kinds the list consists of;
// - the first entry that names no device ends the list; one that names a device again makes
//   it empty.
std::size_t visible_devices(const char* value, std::span<const PhysicalDevice> devices,
                            std::span<unsigned> ordinals) noexcept;

}  // namespace cubar::driver
