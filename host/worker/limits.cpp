// SPDX-License-Identifier: Apache-2.0
// Limits of a context for which the driver takes device memory: the ledger has to know.
#include <mutex>

#include "cubar/host/dispatch.h"
#include "host/worker/charge_keys.h"
#include "host/worker/local_memory.h"
#include "host/worker/session.h"
#include "host/worker/try.h"
#include "transport/ring_consumer.h"

namespace cubar::host {

CUresult handle_cuCtxSetLimit(Session& session, const transport::Record& record,
                              const wire::cuCtxSetLimit::Request& request,
                              std::span<const std::byte>, wire::cuCtxSetLimit::Reply&) {
    const Driver& driver = session.driver();
    const ContextHandle context(record.header().context);
    const auto limit = static_cast<CUlimit>(request.limit);
    std::uint64_t copies = 1;
    CUdevice device = 0;
    CUBAR_TRY(session.device_of(context, device));
    switch (request.limit) {
        case CU_LIMIT_STACK_SIZE:
            // For each thread that the device can hold at once.
            CUBAR_TRY(resident_threads(driver, device, copies));
            break;
        case CU_LIMIT_PRINTF_FIFO_SIZE:
        case CU_LIMIT_MALLOC_HEAP_SIZE:
            break;
        default:
            return ask(driver.cuCtxSetLimit, limit, request.value);
    }
    const std::uint64_t key = limit_key(context, request.limit);
    const auto charge = [&](std::uint64_t value) {
        std::uint64_t bytes = 0;
        return !__builtin_mul_overflow(value, copies, &bytes) &&
               session.allocations().resize(key, static_cast<std::uint32_t>(device), bytes,
                                            context);
    };
    // One thread at a time, so that what is charged in the end is what holds in the end.
    static std::mutex mutex;
    const std::lock_guard lock(mutex);
    if (!charge(request.value)) return CUDA_ERROR_OUT_OF_MEMORY;
    const CUresult result = ask(driver.cuCtxSetLimit, limit, request.value);
    // The driver may have rounded it, or kept what it was.
    std::size_t holds = 0;
    if (ask(driver.cuCtxGetLimit, &holds, limit) == CUDA_SUCCESS) charge(holds);
    return result;
}

}  // namespace cubar::host
