// SPDX-License-Identifier: Apache-2.0
// Fences: words that a stream writes into registered memory and the CPU polls.
#include <vector>

#include "test/gpu/probe.h"
#include "test/gpu/support.h"

namespace cubar::probe {
namespace {

std::uint64_t fence_value(const Pinned& fence) {
    // Pairs with the device's write of the fence.
    return std::atomic_ref(*reinterpret_cast<std::uint64_t*>(fence.bytes()))
        .load(std::memory_order_acquire);
}

bool reaches(const Pinned& fence, std::uint64_t value, milliseconds limit = kAtOnce) {
    return comes_true([&] { return fence_value(fence) >= value; }, limit);
}

CUresult write_fence(CUstream stream, const Pinned& fence, std::uint64_t value) {
    return cu().cuStreamWriteValue64(stream, fence.device(), value, CU_STREAM_WRITE_VALUE_DEFAULT);
}

void after_kernel(Report& report) {
    constexpr unsigned kRounds = 200, kWords = 4096;
    const Context context;
    const Kernels kernels;
    const CUstream stream = make_stream(CU_STREAM_NON_BLOCKING);
    const Pinned fence(64), data(kWords * sizeof(std::uint32_t));
    unsigned late = 0, stale = 0;
    for (unsigned round = 1; round <= kRounds; ++round) {
        MUST(launch(kernels.get("fill"), stream, kWords, data.device(), kWords, round));
        MUST(write_fence(stream, fence, round));
        late += reaches(fence, round) ? 0 : 1;
        for (unsigned i = 0; i < kWords; ++i)
            stale += data.word(i).load(std::memory_order_relaxed) != round;
    }
    report.expect(late == 0, number(kRounds - late) + " of " + number(kRounds) +
                                 " fences seen without a call");
    report.expect(stale == 0, number(stale) + " words older than their fence");
}

void after_copy(Report& report) {
    constexpr unsigned kRounds = 50;
    constexpr std::size_t kBytes = std::size_t{1} << 20;
    const Context context;
    const CUstream stream = make_stream(CU_STREAM_NON_BLOCKING);
    const Pinned fence(64), source(kBytes), target(kBytes);
    const CUdeviceptr device = allocate(kBytes);
    unsigned late = 0, stale = 0;
    for (unsigned round = 1; round <= kRounds; ++round) {
        for (std::size_t i = 0; i < kBytes / 4; ++i)
            source.word(i).store(round, std::memory_order_relaxed);
        MUST(cu().cuMemcpyHtoDAsync(device, source.bytes(), kBytes, stream));
        MUST(cu().cuMemcpyDtoHAsync(target.bytes(), device, kBytes, stream));
        MUST(write_fence(stream, fence, round));
        late += reaches(fence, round) ? 0 : 1;
        for (std::size_t i = 0; i < kBytes / 4; ++i)
            stale += target.word(i).load(std::memory_order_relaxed) != round;
    }
    report.expect(late == 0, number(kRounds - late) + " of " + number(kRounds) +
                                 " fences seen without a call");
    report.expect(stale == 0, number(stale) + " words older than their fence");
}

void in_order(Report& report) {
    constexpr std::uint64_t kFences = 2000;
    const Context context;
    const Kernels kernels;
    const CUstream stream = make_stream(CU_STREAM_NON_BLOCKING);
    const Pinned fence(64);
    Held held(kernels, stream);
    // Some at a time: what a queue takes is another probe's subject.
    constexpr std::uint64_t kBefore = 200;
    for (std::uint64_t value = 1; value <= kBefore; ++value)
        MUST(write_fence(stream, fence, value));
    report.expect(!reaches(fence, 1, kWatched), "none while an earlier kernel runs");
    held.release();
    bool fell = false;
    std::uint64_t last = 0;
    for (std::uint64_t value = kBefore + 1; value <= kFences; ++value) {
        MUST(write_fence(stream, fence, value));
        const std::uint64_t seen = fence_value(fence);
        fell = fell || seen < last;
        last = seen;
    }
    report.expect(reaches(fence, kFences) && fence_value(fence) == kFences,
                  "the last one is the last");
    report.expect(!fell, "they never go back");
}

void legacy(Report& report) {
    const Context context;
    const Kernels kernels;
    const Pinned legacy(64), blocking(64), apart(64);
    const CUstream busy = make_stream(CU_STREAM_DEFAULT);
    const CUstream other = make_stream(CU_STREAM_DEFAULT);
    const CUstream independent = make_stream(CU_STREAM_NON_BLOCKING);
    Held held(kernels, busy);
    MUST(write_fence(CU_STREAM_LEGACY, legacy, 1));
    MUST(write_fence(other, blocking, 1));
    MUST(write_fence(independent, apart, 1));
    const bool apart_came = reaches(apart, 1);
    const bool legacy_came = reaches(legacy, 1, kWatched);
    const bool blocking_came = reaches(blocking, 1, kWatched);
    held.release();
    report.expect(!legacy_came, "the legacy stream's waits for a blocking stream");
    report.expect(!blocking_came, "and blocking streams issued later wait for it");
    report.expect(apart_came, "a non-blocking stream's does not");
    report.expect(reaches(legacy, 1) && reaches(blocking, 1), "all come in the end");
}

void after_fault(Report& report) {
    const Context context;
    const Kernels kernels;
    const CUstream stream = make_stream(CU_STREAM_NON_BLOCKING);
    const Pinned before(64), after(64);
    MUST(write_fence(stream, before, 1));
    MUST(launch(kernels.get("store"), stream, 1, std::uint64_t{0x1000}));
    const CUresult queued = write_fence(stream, after, 1);
    const CUresult found = cu().cuStreamSynchronize(stream);
    report.expect(found == CUDA_ERROR_ILLEGAL_ADDRESS, "the stream: " + name_of(found));
    report.observe("the fence's call: " + name_of(queued));
    report.expect(fence_value(before) == 1, "the fence before the fault is written");
    report.expect(!reaches(after, 1, kWatched), "the one after it is not");
}

void refused_when_sticky(Report& report) {
    const Context context;
    const Kernels kernels;
    const Pinned fence(64);
    MUST(launch(kernels.get("store"), nullptr, 1, std::uint64_t{0x1000}));
    (void)cu().cuCtxSynchronize();
    const CUresult refused = write_fence(CU_STREAM_LEGACY, fence, 1);
    report.expect(refused == CUDA_ERROR_ILLEGAL_ADDRESS,
                  "cuStreamWriteValue64: " + name_of(refused));
}

void in_capture(Report& report) {
    const Context context;
    const Pinned fence(64);
    const CUstream stream = make_stream(CU_STREAM_NON_BLOCKING);
    MUST(cu().cuStreamBeginCapture(stream, CU_STREAM_CAPTURE_MODE_RELAXED));
    const CUresult captured = write_fence(stream, fence, 1);
    CUgraph graph = nullptr;
    const CUresult ended = cu().cuStreamEndCapture(stream, &graph);
    report.observe("the call: " + name_of(captured) + ", the capture's end: " + name_of(ended));
    report.expect(!reaches(fence, 1, kWatched), "nothing is written while capturing");
}

constexpr Probe kProbes[] = {
    {"fence_after_kernel", Asked::kHost,
     "cuStreamWriteValue64 into registered memory is seen by the CPU, after all that the kernel "
     "wrote",
     "the stream itself writes a sequence number into the channel's fence words "
     "(cuStreamWriteValue)",
     after_kernel},
    {"fence_after_copy", Asked::kHost, "and after all that copies in both directions wrote",
     "a full barrier ... between seeing a fence and streaming loads", after_copy},
    {"fences_in_order", Asked::kHost, "a stream's fences come in their order, none early",
     "the stream itself writes a sequence number into the channel's fence words", in_order},
    {"fence_in_legacy_stream", Asked::kHost,
     "in the legacy stream a fence waits for, and holds up, blocking streams; others it does not",
     "nor in the legacy stream once its context has another blocking stream: the host completes "
     "those",
     legacy},
    {"fault_writes_no_fence", Asked::kHost, "a faulted context writes no fence",
     "A host thread watches outstanding fences for errors (a faulted context writes none)",
     after_fault},
    {"fence_refused_after_fault", Asked::kHost, "a later fence is refused with the sticky error",
     "Deferred errors: the first one, with its position, goes to the channel's error word",
     refused_when_sticky},
    {"fence_in_capture", Asked::kNvidia, "a fence in a capturing stream is not written",
     "Never in a capturing stream or a graph", in_capture},
};

}  // namespace

std::span<const Probe> fence_probes() {
    return kProbes;
}

}  // namespace cubar::probe
