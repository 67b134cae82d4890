// SPDX-License-Identifier: Apache-2.0
// Copies of pageable memory: when the source is read and when the destination is filled.
#include <cstring>
#include <vector>

#include "test/gpu/probe.h"
#include "test/gpu/support.h"

namespace cubar::probe {
namespace {

constexpr std::size_t kSizes[] = {4, 65536, 65540, std::size_t{16} << 20};
constexpr std::uint64_t kDelay = 20'000'000;  // nanoseconds

void source(Report& report) {
    const Context context;
    const CUstream stream = make_stream(CU_STREAM_NON_BLOCKING);
    const CUdeviceptr device = allocate(kSizes[3]);
    const Kernels kernels;
    const CUdeviceptr word = allocate(4);
    for (const std::size_t bytes : kSizes) {
        std::vector<unsigned char> data(bytes, 0x5a), got(bytes);
        // Behind a kernel, so that the device cannot have read it already.
        MUST(launch(kernels.get("delay"), stream, 1, kDelay, word, 1u));
        MUST(cu().cuMemcpyHtoDAsync(device, data.data(), bytes, stream));
        std::memset(data.data(), 0xff, bytes);
        MUST(cu().cuStreamSynchronize(stream));
        MUST(cu().cuMemcpyDtoH(got.data(), device, bytes));
        report.expect(got == std::vector<unsigned char>(bytes, 0x5a),
                      number(bytes) + " B: the source as it was at the call");
    }
}

void destination(Report& report) {
    const Context context;
    const Kernels kernels;
    const CUstream stream = make_stream(CU_STREAM_NON_BLOCKING);
    const CUdeviceptr device = allocate(kSizes[3]);
    for (const std::size_t bytes : kSizes) {
        std::vector<std::uint32_t> got(bytes / 4, 0);
        MUST(cu().cuMemsetD8Async(device, 0, bytes, stream));
        MUST(cu().cuStreamSynchronize(stream));
        MUST(launch(kernels.get("delay"), stream, 1, kDelay, device + bytes - 4, 7u));
        MUST(cu().cuMemcpyDtoHAsync(got.data(), device, bytes, stream));
        // Nothing here synchronises.
        report.expect(got.back() == 7, number(bytes) + " B: complete at return");
    }
}

void blocking(Report& report) {
    const Context context;
    const Kernels kernels;
    const CUdeviceptr device = allocate(4);
    const CUstream busy = make_stream(CU_STREAM_DEFAULT);
    Held held(kernels, busy);
    std::uint32_t word = 0;
    Attempt attempt([&] { return cu().cuMemcpyDtoH(&word, device, sizeof word); });
    const bool returned = attempt.returned(kWatched);
    held.release();
    report.expect(!returned, returned ? "cuMemcpyDtoH does not wait"
                                      : "cuMemcpyDtoH waits for a blocking stream");
    report.expect(attempt.result() == CUDA_SUCCESS, "and succeeds");
}

constexpr Probe kProbes[] = {
    {"pageable_source", Asked::kEverywhere,
     "cuMemcpyHtoDAsync of pageable memory has read it when it returns",
     "Pageable copies: the source is consumed before an H2D call returns", source},
    {"pageable_destination", Asked::kEverywhere,
     "cuMemcpyDtoHAsync to pageable memory has filled it when it returns",
     "D2H async completes before it returns, as CUDA permits", destination},
    {"blocking_copy", Asked::kEverywhere, "a blocking copy is in the legacy stream's order",
     "offload (may block in the driver: every synchronise, blocking copy, ...)", blocking},
};

}  // namespace

std::span<const Probe> copy_probes() {
    return kProbes;
}

}  // namespace cubar::probe
