// SPDX-License-Identifier: Apache-2.0
#include "softgpu/device/work.h"

#include <cinttypes>

#include "driver/log.h"
#include "softgpu/device/driver.h"

namespace cubar::softgpu::device {

bool may_touch(Stream& stream, Address address, std::size_t bytes) {
    const exec::MemoryMap::Snapshot ranges = Driver::get().memory().map().snapshot();
    for (;;) {
        const auto range = exec::find_range(*ranges, address, 1);
        if (range.end <= address) break;
        if (range.end - address >= bytes) return true;
        // What is mapped by hand lies in several ranges.
        bytes -= range.end - address;
        address = range.end;
    }
    CUBAR_LOG(kError,
              "softgpu: a copy, a memset or a memory operation at %#" PRIx64
              ", where nobody may touch memory now",
              address);
    stream.fault().set(CUDA_ERROR_ILLEGAL_ADDRESS);
    return false;
}

}  // namespace cubar::softgpu::device
