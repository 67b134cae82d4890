// SPDX-License-Identifier: Apache-2.0
#include "host/worker/page_lock.h"

#include "host/worker/try.h"

namespace cubar::host {

bool lock_at_own_address(const Driver& driver, void* memory, std::size_t bytes) {
    const CUresult locked =
        ask(driver.cuMemHostRegister_v2, memory, bytes,
            static_cast<unsigned>(CU_MEMHOSTREGISTER_PORTABLE | CU_MEMHOSTREGISTER_DEVICEMAP));
    if (locked != CUDA_SUCCESS && locked != CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED) return false;
    CUdeviceptr address = 0;
    const CUresult found = ask(driver.cuMemHostGetDevicePointer_v2, &address, memory, 0u);
    return found == CUDA_SUCCESS && address == reinterpret_cast<CUdeviceptr>(memory);
}

}  // namespace cubar::host
