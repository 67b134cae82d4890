// SPDX-License-Identifier: Apache-2.0
// After a fault: the same error from every call that needs the context, and from no other.
#include <unistd.h>

#include <functional>

#include "test/gpu/probe.h"
#include "test/gpu/support.h"

namespace cubar::probe {
namespace {

void sticky(Report& report) {
    const Context context;
    const Kernels kernels;
    const CUfunction fill = kernels.get("fill");
    const CUdeviceptr memory = allocate(4096);
    const Pinned pinned(4096);
    const CUstream stream = make_stream(CU_STREAM_NON_BLOCKING);
    const CUevent event = make_event();
    MUST(launch(kernels.get("store"), stream, 1, std::uint64_t{0x1000}));
    const CUresult first = cu().cuStreamSynchronize(stream);
    report.expect(first == CUDA_ERROR_ILLEGAL_ADDRESS, "cuStreamSynchronize: " + name_of(first));

    std::uint32_t word = 0;
    CUdeviceptr more = 0;
    CUstream another = nullptr;
    std::size_t free = 0, total = 0;
    void* host = nullptr;
    struct Call {
        const char* name;
        std::function<CUresult()> make;
    };
    for (const Call& call : {
             Call{"cuCtxSynchronize", [] { return cu().cuCtxSynchronize(); }},
             Call{"cuLaunchKernel", [&] { return launch(fill, stream, 1, memory, 1u, 1u); }},
             Call{"cuMemAlloc", [&] { return cu().cuMemAlloc(&more, 16); }},
             Call{"cuMemFree", [&] { return cu().cuMemFree(memory); }},
             Call{"cuMemHostAlloc", [&] { return cu().cuMemHostAlloc(&host, 16, 0); }},
             Call{"cuMemcpyHtoD", [&] { return cu().cuMemcpyHtoD(memory, &word, 4); }},
             Call{"cuMemcpyDtoH", [&] { return cu().cuMemcpyDtoH(&word, memory, 4); }},
             Call{"cuMemcpyHtoDAsync",
                  [&] { return cu().cuMemcpyHtoDAsync(memory, pinned.bytes(), 4, stream); }},
             Call{"cuMemsetD8Async", [&] { return cu().cuMemsetD8Async(memory, 0, 4, stream); }},
             Call{"cuEventRecord", [&] { return cu().cuEventRecord(event, stream); }},
             Call{"cuEventSynchronize", [&] { return cu().cuEventSynchronize(event); }},
             Call{"cuStreamQuery", [&] { return cu().cuStreamQuery(stream); }},
             Call{"cuStreamWaitEvent", [&] { return cu().cuStreamWaitEvent(stream, event, 0); }},
             Call{"cuStreamCreate", [&] { return cu().cuStreamCreate(&another, 0); }},
             Call{"cuMemGetInfo", [&] { return cu().cuMemGetInfo(&free, &total); }},
         }) {
        const CUresult result = call.make();
        report.expect(result == CUDA_ERROR_ILLEGAL_ADDRESS,
                      std::string(call.name) + ": " + name_of(result));
    }
    CUcontext current = nullptr;
    CUdevice device = -1;
    int value = 0;
    report.expect(cu().cuCtxGetCurrent(&current) == CUDA_SUCCESS && current == context.handle(),
                  "cuCtxGetCurrent answers");
    report.expect(cu().cuCtxGetDevice(&device) == CUDA_SUCCESS && device == context.device(),
                  "cuCtxGetDevice answers");
    report.expect(
        cu().cuDeviceGetAttribute(&value, CU_DEVICE_ATTRIBUTE_WARP_SIZE, device) == CUDA_SUCCESS &&
            value == 32,
        "cuDeviceGetAttribute answers");
}

void launch_succeeds(Report& report) {
    const Context context;
    const Kernels kernels;
    const CUresult launched = launch(kernels.get("store"), nullptr, 1, std::uint64_t{0x1000});
    report.expect(launched == CUDA_SUCCESS, "the launch that will fault: " + name_of(launched));
    const bool told = comes_true(
        [] { return cu().cuStreamQuery(CU_STREAM_LEGACY) == CUDA_ERROR_ILLEGAL_ADDRESS; });
    report.expect(told, "cuStreamQuery tells of it without a synchronisation");
}

void reset_heals(Report& report) {
    const Context context;
    {
        const Kernels kernels;
        MUST(launch(kernels.get("store"), nullptr, 1, std::uint64_t{0x1000}));
        const CUresult faulted = cu().cuCtxSynchronize();
        report.expect(faulted == CUDA_ERROR_ILLEGAL_ADDRESS, "the fault: " + name_of(faulted));
    }
    const CUresult reset = cu().cuDevicePrimaryCtxReset(context.device());
    report.observe("cuDevicePrimaryCtxReset: " + name_of(reset));
    CUcontext again = nullptr;
    const CUresult retained = cu().cuDevicePrimaryCtxRetain(&again, context.device());
    CUresult works = retained;
    if (retained == CUDA_SUCCESS) {
        CUdeviceptr memory = 0;
        works = cu().cuCtxSetCurrent(again);
        if (works == CUDA_SUCCESS) works = cu().cuMemAlloc(&memory, 4096);
    }
    report.observe("a new primary context in the same process: " + name_of(works));
}

constexpr Probe kProbes[] = {
    {"sticky_errors", Asked::kEverywhere,
     "after a fault every call of the context gives the same error",
     "the guest sees it with one load and reports it as CUDA does", sticky},
    {"deferred_errors", Asked::kEverywhere,
     "a launch that will fault succeeds; a query tells of it later",
     "Deferred errors: the first one, with its position, goes to the channel's error word",
     launch_succeeds},
    {"reset_after_fault", Asked::kHost,
     "what a reset does to a faulted context is told here; a new process always helps",
     "Faults that the driver cannot contain end all sessions on that GPU with a named error.",
     reset_heals},
};

}  // namespace

std::span<const Probe> fault_probes() {
    return kProbes;
}

}  // namespace cubar::probe
