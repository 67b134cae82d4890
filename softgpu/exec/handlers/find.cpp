// SPDX-License-Identifier: Apache-2.0
// All handlers of one instruction set.
#include "softgpu/exec/handlers/find.h"

#include "softgpu/exec/handlers/lanes.h"

namespace cubar::softgpu::exec::CUBAR_VARIANT {

Handler find_handler(const Key& key) {
    constexpr FindHandler kSubjects[] = {
        find_move,      find_memory, find_integer,  find_float,    find_bits,        find_compare,
        find_convert,   find_warp,   find_half,     find_atomic,   find_approximate, find_mma,
        find_mma_quads, find_wmma,   find_ldmatrix, find_mbarrier, find_async_copy,
    };
    for (const FindHandler find : kSubjects) {
        const Handler handler = find(key);
        if (handler != nullptr) return handler;
    }
    return nullptr;
}

}  // namespace cubar::softgpu::exec::CUBAR_VARIANT
