// SPDX-License-Identifier: Apache-2.0
// Limits of a context for which the driver takes device memory: the ledger has to know.
#include <mutex>

#include "cubar/host/dispatch.h"
#include "host/worker/session.h"
#include "host/worker/try.h"
#include "transport/ring_consumer.h"

namespace cubar::host {
namespace {

// Above the kinds of handles and above every device address.
constexpr unsigned kKeyShift = 60;

/// The stack is there for each thread that the device can hold at once.
CUresult threads_of(const Driver& driver, CUdevice device, std::uint64_t& threads) {
    int processors = 0;
    int each = 0;
    CUBAR_TRY(ask(driver.cuDeviceGetAttribute, &processors,
                  CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, device));
    CUBAR_TRY(ask(driver.cuDeviceGetAttribute, &each,
                  CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_MULTIPROCESSOR, device));
    threads = static_cast<std::uint64_t>(processors) * static_cast<std::uint64_t>(each);
    return CUDA_SUCCESS;
}

}  // namespace

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
            CUBAR_TRY(threads_of(driver, device, copies));
            break;
        case CU_LIMIT_PRINTF_FIFO_SIZE:
        case CU_LIMIT_MALLOC_HEAP_SIZE:
            break;
        default:
            return ask(driver.cuCtxSetLimit, limit, request.value);
    }
    const std::uint64_t key = context.bits() | (std::uint64_t{request.limit} + 1) << kKeyShift;
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
