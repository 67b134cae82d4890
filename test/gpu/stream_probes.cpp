// SPDX-License-Identifier: Apache-2.0
// Streams and events: the legacy and the per-thread default stream, queries, timing, capture.
#include <vector>

#include "test/gpu/probe.h"
#include "test/gpu/support.h"

namespace cubar::probe {
namespace {

void legacy_waits(Report& report) {
    const Context context;
    const Kernels kernels;
    const CUstream blocking = make_stream(CU_STREAM_DEFAULT);
    const CUstream independent = make_stream(CU_STREAM_NON_BLOCKING);
    bool returned = false;
    {
        Held held(kernels, independent);
        Attempt attempt([] { return cu().cuStreamSynchronize(CU_STREAM_LEGACY); });
        returned = attempt.returned(kAtOnce);
        held.release();
    }
    report.expect(returned, "cuStreamSynchronize(legacy) does not wait for a non-blocking stream");
    MUST(cu().cuCtxSynchronize());
    Held held(kernels, blocking);
    Attempt attempt([] { return cu().cuStreamSynchronize(CU_STREAM_LEGACY); });
    const bool early = attempt.returned(kWatched);
    held.release();
    report.expect(!early, "it waits for a blocking one");
    report.expect(attempt.result() == CUDA_SUCCESS, "and succeeds");
}

void per_thread(Report& report) {
    const Context context;
    const Kernels kernels;
    const CUfunction fill = kernels.get("fill");
    const CUstream blocking = make_stream(CU_STREAM_DEFAULT);
    const Pinned own(4), legacy(4), elsewhere(4);
    Held held(kernels, blocking);
    MUST(launch(fill, CU_STREAM_PER_THREAD, 1, own.device(), 1u, 1u));
    const bool own_ran = comes_true([&] { return own.word().load() == 1; });
    MUST(launch(fill, CU_STREAM_LEGACY, 1, legacy.device(), 1u, 1u));
    // Issued after the legacy launch: a blocking stream, as per-thread streams are, waits for it.
    MUST(launch(fill, CU_STREAM_PER_THREAD, 1, own.device(), 1u, 2u));
    Attempt thread(
        [&] { return launch(fill, CU_STREAM_PER_THREAD, 1, elsewhere.device(), 1u, 1u); });
    const bool launched = thread.returned(kAtOnce);
    const bool legacy_early = comes_true([&] { return legacy.word().load() == 1; }, kWatched);
    const bool own_early = own.word().load() == 2;
    const bool elsewhere_early = elsewhere.word().load() == 1;
    held.release();
    report.expect(own_ran, "a per-thread stream runs beside a blocking stream");
    report.expect(!legacy_early, "the legacy stream waits for the blocking stream");
    report.expect(!own_early && !elsewhere_early && launched,
                  "per-thread streams wait for the legacy stream");
    MUST(cu().cuCtxSynchronize());
    report.expect(own.word().load() == 2 && legacy.word().load() == 1, "all end");
}

void event_never_recorded(Report& report) {
    const Context context;
    const CUevent event = make_event(), other = make_event();
    const CUresult query = cu().cuEventQuery(event);
    report.expect(query == CUDA_SUCCESS, "cuEventQuery: " + name_of(query));
    const CUresult wait = cu().cuEventSynchronize(event);
    report.expect(wait == CUDA_SUCCESS, "cuEventSynchronize: " + name_of(wait));
    const CUresult stream = cu().cuStreamWaitEvent(CU_STREAM_LEGACY, event, 0);
    report.expect(stream == CUDA_SUCCESS, "cuStreamWaitEvent: " + name_of(stream));
    float ms = 0;
    const CUresult elapsed = cu().cuEventElapsedTime(&ms, event, other);
    report.expect(elapsed == CUDA_ERROR_INVALID_HANDLE, "cuEventElapsedTime: " + name_of(elapsed));
}

void event_timing(Report& report) {
    constexpr std::uint64_t kNanoseconds = 20'000'000;
    const Context context;
    const Kernels kernels;
    const CUstream stream = make_stream(CU_STREAM_NON_BLOCKING);
    const CUevent begin = make_event(), end = make_event(),
                  untimed = make_event(CU_EVENT_DISABLE_TIMING);
    const Pinned word(4);
    MUST(cu().cuEventRecord(begin, stream));
    MUST(launch(kernels.get("delay"), stream, 1, kNanoseconds, word.device(), 1u));
    MUST(cu().cuEventRecord(end, stream));
    MUST(cu().cuEventSynchronize(end));
    float ms = 0;
    MUST(cu().cuEventElapsedTime(&ms, begin, end));
    report.expect(ms >= 19.5f && ms < 2000.0f,
                  "a kernel of 20 ms takes " + std::to_string(ms) + " ms");
    MUST(cu().cuEventRecord(untimed, stream));
    const CUresult no_time = cu().cuEventElapsedTime(&ms, begin, untimed);
    report.expect(no_time == CUDA_ERROR_INVALID_HANDLE,
                  "with an event that takes no time: " + name_of(no_time));
    Held held(kernels, stream);
    MUST(cu().cuEventRecord(end, stream));
    const CUresult early = cu().cuEventElapsedTime(&ms, begin, end);
    const CUresult query = cu().cuEventQuery(end);
    const CUresult busy = cu().cuStreamQuery(stream);
    held.release();
    report.expect(early == CUDA_ERROR_NOT_READY, "before its end: " + name_of(early));
    report.expect(query == CUDA_ERROR_NOT_READY && busy == CUDA_ERROR_NOT_READY,
                  "queries: " + name_of(query));
}

void not_capturing(Report& report) {
    const Context context;
    const CUstream stream = make_stream(CU_STREAM_NON_BLOCKING);
    CUstreamCaptureStatus status = CU_STREAM_CAPTURE_STATUS_INVALIDATED;
    for (const CUstream each : {stream, CU_STREAM_LEGACY, CU_STREAM_PER_THREAD}) {
        MUST(cu().cuStreamIsCapturing(each, &status));
        report.expect(status == CU_STREAM_CAPTURE_STATUS_NONE, "status " + number(status));
    }
    CUstreamCaptureMode mode = CU_STREAM_CAPTURE_MODE_RELAXED;
    MUST(cu().cuThreadExchangeStreamCaptureMode(&mode));
    report.expect(mode == CU_STREAM_CAPTURE_MODE_GLOBAL, "a thread's mode is global at first");
    MUST(cu().cuThreadExchangeStreamCaptureMode(&mode));
    report.expect(mode == CU_STREAM_CAPTURE_MODE_RELAXED, "and then what it was told");
}

void capture_relaxed(Report& report) {
    const Context context;
    const CUstream stream = make_stream(CU_STREAM_NON_BLOCKING);
    MUST(cu().cuStreamBeginCapture(stream, CU_STREAM_CAPTURE_MODE_GLOBAL));
    CUdeviceptr memory = 0;
    Attempt relaxed([&] {
        CUstreamCaptureMode mode = CU_STREAM_CAPTURE_MODE_RELAXED;
        const CUresult told = cu().cuThreadExchangeStreamCaptureMode(&mode);
        return told == CUDA_SUCCESS ? cu().cuMemAlloc(&memory, 4096) : told;
    });
    const CUresult alloc = relaxed.result();
    report.expect(alloc == CUDA_SUCCESS, "cuMemAlloc of a relaxed thread: " + name_of(alloc));
    const CUresult strict = cu().cuMemAlloc(&memory, 4096);
    report.expect(strict == CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED,
                  "of the capturing thread: " + name_of(strict));
    CUgraph graph = nullptr;
    const CUresult ended = cu().cuStreamEndCapture(stream, &graph);
    report.expect(ended == CUDA_ERROR_STREAM_CAPTURE_INVALIDATED,
                  "the capture's end: " + name_of(ended));
}

constexpr Probe kProbes[] = {
    {"legacy_stream_synchronise", Asked::kEverywhere,
     "cuStreamSynchronize(legacy) waits for blocking streams and for no others",
     "nor in the legacy stream once its context has another blocking stream: the host completes "
     "those",
     legacy_waits},
    {"per_thread_streams", Asked::kEverywhere,
     "a per-thread stream is a blocking stream: it waits for the legacy stream alone",
     "per-thread default streams (one blocking host stream per guest thread and context)",
     per_thread},
    {"event_never_recorded", Asked::kEverywhere, "an event that was never recorded is complete",
     "async ... Only where the guest can itself check every argument that CUDA would refuse at "
     "once",
     event_never_recorded},
    {"event_timing", Asked::kEverywhere,
     "events time what lies between them, and say what is not ready",
     "async: one record, no answer (..., event record, stream wait, ...)", event_timing},
    {"capture_status", Asked::kEverywhere,
     "no stream captures; a thread's capture mode is global at first", "capture mode and its rules",
     not_capturing},
    {"capture_relaxed", Asked::kNvidia,
     "during a global capture a relaxed thread may allocate, and a strict one spoils the capture",
     "capture mode and its rules (host threads run RELAXED)", capture_relaxed},
};

}  // namespace

std::span<const Probe> stream_probes() {
    return kProbes;
}

}  // namespace cubar::probe
