// SPDX-License-Identifier: Apache-2.0
// Queues: which calls wait in the caller, and whether one that waits holds up the other streams.
#include <stdexcept>
#include <vector>

#include "test/gpu/probe.h"
#include "test/gpu/support.h"

namespace cubar::probe {
namespace {

constexpr unsigned kGuestCap = 512;  // the guest's unfinished operations per stream
constexpr unsigned kMostLaunches = 16384;

/// Launches into a stream from a thread of its own until that many are queued or stop().
class Flood {
public:
    Flood(CUfunction kernel, CUstream stream, CUdeviceptr word, unsigned most)
        : attempt_([this, kernel, stream, word, most] {
              for (; count_.load() < most && !stop_.load(); count_.fetch_add(1)) {
                  const CUresult result = launch(kernel, stream, 1, word, 1u, 1u);
                  if (result != CUDA_SUCCESS) return result;
              }
              return CUDA_SUCCESS;
          }) {}

    /// How many were queued before a launch waited, or all.
    unsigned until_it_waits() {
        for (unsigned before = count_.load();; before = count_.load())
            if (attempt_.returned(kWatched) || count_.load() == before) return count_.load();
    }
    void stop() { stop_.store(true); }
    CUresult result() { return attempt_.result(); }

private:
    std::atomic<unsigned> count_{0};
    std::atomic<bool> stop_{false};
    Attempt attempt_;
};

void depth(Report& report) {
    const Context context;
    const Kernels kernels;
    const CUfunction fill = kernels.get("fill");
    const CUdeviceptr word = allocate(4);
    const CUstream stream = make_stream(CU_STREAM_NON_BLOCKING);
    const CUstream other = make_stream(CU_STREAM_NON_BLOCKING);
    Held held(kernels, stream);
    Flood flood(fill, stream, word, kMostLaunches);
    const unsigned queued = flood.until_it_waits();
    Attempt beside([&] { return launch(fill, other, 1, word, 1u, 2u); });
    const bool beside_returned = beside.returned(kWatched);
    flood.stop();
    held.release();
    report.expect(flood.result() == CUDA_SUCCESS && queued >= kGuestCap,
                  (queued == kMostLaunches ? "no launch waited in " : "a launch waited after ") +
                      number(queued));
    report.observe(queued == kMostLaunches ? "another stream was not tried behind a full one"
                   : beside_returned       ? "another stream's launch did not wait with it"
                                           : "another stream's launch waited too");
    report.expect(beside.result() == CUDA_SUCCESS && cu().cuCtxSynchronize() == CUDA_SUCCESS,
                  "all end");
}

void within_cap(Report& report) {
    constexpr unsigned kStreams = 16;
    const Context context;
    const Kernels kernels;
    const CUfunction fill = kernels.get("fill");
    const CUdeviceptr word = allocate(4);
    const CUstream first = make_stream(CU_STREAM_NON_BLOCKING);
    const CUevent released = make_event(CU_EVENT_DISABLE_TIMING);
    Held held(kernels, first);
    MUST(cu().cuEventRecord(released, first));
    std::vector<CUstream> streams;
    for (unsigned i = 0; i < kStreams; ++i) {
        streams.push_back(make_stream(CU_STREAM_NON_BLOCKING));
        MUST(cu().cuStreamWaitEvent(streams.back(), released, 0));
    }
    const CUstream other = make_stream(CU_STREAM_NON_BLOCKING);
    unsigned full = 0;
    bool one_waits = false;
    {
        std::vector<std::unique_ptr<Flood>> floods;
        for (const CUstream stream : streams) {
            floods.push_back(std::make_unique<Flood>(fill, stream, word, kGuestCap));
            const unsigned queued = floods.back()->until_it_waits();
            full += queued == kGuestCap ? 1 : 0;
            if (queued != kGuestCap) break;
        }
        Attempt beside([&] { return launch(fill, other, 1, word, 1u, 2u); });
        one_waits = !beside.returned(kAtOnce);
        for (const auto& flood : floods) flood->stop();
        held.release();
    }
    report.expect(full == kStreams, number(full) + " of " + number(kStreams) +
                                        " streams took 512 launches each behind one kernel");
    report.expect(!one_waits, "another stream's launch did not wait");
    MUST(cu().cuCtxSynchronize());
}

void inline_calls(Report& report) {
    constexpr std::size_t kBytes = std::size_t{1} << 20;
    const Context context;
    const Kernels kernels;
    const CUstream stream = make_stream(CU_STREAM_NON_BLOCKING);
    const CUstream other = make_stream(CU_STREAM_NON_BLOCKING);
    const CUevent event = make_event();
    const Pinned pinned(kBytes);
    const CUdeviceptr device = allocate(kBytes);
    Held held(kernels, stream);
    const auto try_one = [&](const char* name, std::function<CUresult()> call) {
        bool returned = false;
        CUresult result = CUDA_SUCCESS;
        {
            Attempt attempt(std::move(call));
            returned = attempt.returned(kAtOnce);
            if (!returned) held.release();
            result = attempt.result();
        }
        report.expect(returned && (result == CUDA_SUCCESS || result == CUDA_ERROR_NOT_READY),
                      std::string(name) + (returned ? " returns: " + name_of(result) : " waits"));
    };
    try_one("a copy from page-locked memory",
            [&] { return cu().cuMemcpyHtoDAsync(device, pinned.bytes(), kBytes, stream); });
    try_one("a copy to it",
            [&] { return cu().cuMemcpyDtoHAsync(pinned.bytes(), device, kBytes, stream); });
    try_one("a memset", [&] { return cu().cuMemsetD8Async(device, 1, kBytes, stream); });
    try_one("an event's record", [&] { return cu().cuEventRecord(event, stream); });
    try_one("a wait for it", [&] { return cu().cuStreamWaitEvent(other, event, 0); });
    try_one("an event's query", [&] { return cu().cuEventQuery(event); });
    try_one("a stream's query", [&] { return cu().cuStreamQuery(stream); });
    held.release();
    MUST(cu().cuCtxSynchronize());
}

/// Whether `waiting` waits while a kernel runs, and whether a launch in another stream is free.
void beside(Report& report, const char* name, const std::function<CUresult(CUstream)>& waiting) {
    const Context context;
    const Kernels kernels;
    const CUfunction fill = kernels.get("fill");
    const CUstream busy = make_stream(CU_STREAM_NON_BLOCKING);
    const CUstream other = make_stream(CU_STREAM_NON_BLOCKING);
    const Pinned word(4);
    Held held(kernels, busy);
    Attempt waiter([&] { return waiting(busy); });
    const bool waited = !waiter.returned(kWatched);
    Attempt launcher([&] { return launch(fill, other, 1, word.device(), 1u, 8u); });
    const bool launched = launcher.returned(kAtOnce);
    const bool executed = comes_true([&] { return word.word().load() == 8; });
    held.release();
    report.expect(waited, std::string(name) + (waited ? " waits" : " does not wait"));
    report.expect(launched, launched ? "another stream's launch returns"
                                     : "another stream's launch waits too");
    report.expect(executed, executed ? "and its kernel runs" : "and its kernel does not run");
    const CUresult result = waiter.result();
    report.expect(result == CUDA_SUCCESS && launcher.result() == CUDA_SUCCESS,
                  name_of(result) + " in the end");
}

void beside_synchronise(Report& report) {
    beside(report, "cuStreamSynchronize",
           [](CUstream stream) { return cu().cuStreamSynchronize(stream); });
}

void beside_context(Report& report) {
    beside(report, "cuCtxSynchronize", [](CUstream) { return cu().cuCtxSynchronize(); });
}

void free_waits(Report& report) {
    const Context context;
    const Kernels kernels;
    const CUdeviceptr memory = allocate(4096);
    Held held(kernels, make_stream(CU_STREAM_NON_BLOCKING));
    Attempt attempt([&] { return cu().cuMemFree(memory); });
    const bool returned = attempt.returned(kWatched);
    held.release();
    report.expect(!returned,
                  returned ? "cuMemFree does not wait" : "cuMemFree waits for a running kernel");
    report.expect(attempt.result() == CUDA_SUCCESS, "and succeeds");
}

void beside_free(Report& report) {
    beside(report, "cuMemFree", [](CUstream) {
        CUdeviceptr memory = 0;
        const CUresult result = cu().cuMemAlloc(&memory, 4096);
        return result == CUDA_SUCCESS ? cu().cuMemFree(memory) : result;
    });
}

void beside_load(Report& report) {
    const Context context;
    const Kernels kernels;
    const CUstream busy = make_stream(CU_STREAM_NON_BLOCKING);
    Held held(kernels, busy);
    CUlibrary library = nullptr;
    Attempt load([&] {
        return cu().cuLibraryLoadData(&library, kernels_ptx(), nullptr, nullptr, 0, nullptr,
                                      nullptr, 0);
    });
    const bool loaded = load.returned(kAtOnce);
    held.release();
    report.observe(loaded ? "cuLibraryLoadData does not wait for a kernel"
                          : "cuLibraryLoadData waits");
    report.expect(load.result() == CUDA_SUCCESS, "and succeeds");
}

void first_launch(Report& report) {
    const Context context;
    const Kernels kernels;
    CUlibrary library = nullptr;
    MUST(cu().cuLibraryLoadData(&library, kernels_ptx(), nullptr, nullptr, 0, nullptr, nullptr, 0));
    CUkernel kernel = nullptr;
    CUfunction function = nullptr;
    MUST(cu().cuLibraryGetKernel(&kernel, library, "fill"));
    MUST(cu().cuKernelGetFunction(&function, kernel));
    MUST(cu().cuFuncLoad(function));
    const Pinned word(4);
    const CUstream busy = make_stream(CU_STREAM_NON_BLOCKING);
    const CUstream other = make_stream(CU_STREAM_NON_BLOCKING);
    Held held(kernels, busy);
    // By the kernel itself, as cudart launches it, not by the function that was loaded.
    Attempt first([&] {
        return launch(reinterpret_cast<CUfunction>(kernel), other, 1, word.device(), 1u, 6u);
    });
    const bool returned = first.returned(kAtOnce);
    const bool executed = comes_true([&] { return word.word().load() == 6; });
    held.release();
    report.expect(returned, returned ? "the first launch returns while a kernel runs"
                                     : "the first launch waits");
    report.expect(executed, "and its kernel runs beside it");
    report.expect(first.result() == CUDA_SUCCESS, name_of(first.result()));
    MUST(cu().cuCtxSynchronize());
}

void host_function(Report& report) {
    const Context context;
    const Kernels kernels;
    const CUstream stream = make_stream(CU_STREAM_NON_BLOCKING);
    const CUstream other = make_stream(CU_STREAM_NON_BLOCKING);
    const Pinned before(4), after(4), beside(4);
    struct Callback {
        std::atomic<bool> entered{false};
        std::atomic<bool> go{false};
    } callback;
    const CUfunction fill = kernels.get("fill");
    MUST(launch(fill, stream, 1, before.device(), 1u, 1u));
    MUST(cu().cuLaunchHostFunc(
        stream,
        [](void* data) {
            auto& own = *static_cast<Callback*>(data);
            own.entered.store(true);
            own.entered.notify_all();
            own.go.wait(false);
        },
        &callback));
    MUST(launch(fill, stream, 1, after.device(), 1u, 1u));
    callback.entered.wait(false);
    const bool first_done = before.word().load() == 1;
    const CUresult launched = launch(fill, other, 1, beside.device(), 1u, 1u);
    const bool other_done = comes_true([&] { return beside.word().load() == 1; });
    const bool early = after.word().load() == 1;
    callback.go.store(true);
    callback.go.notify_all();
    report.expect(first_done, "the work before it is done when a host function runs");
    report.expect(!early, "the work after it waits for its return");
    report.expect(launched == CUDA_SUCCESS && other_done, "other streams go on meanwhile");
    MUST(cu().cuCtxSynchronize());
    report.expect(after.word().load() == 1, "all ends");
}

constexpr Probe kProbes[] = {
    {"queue_depth", Asked::kHost, "a stream takes at least 512 unfinished launches (about 1024)",
     "The guest caps unfinished operations per stream (about 512) and waits in the caller, ... as "
     "the driver's own queues do.",
     depth},
    {"queues_within_cap", Asked::kHost, "16 streams take 512 launches each, and no launch waits",
     "while it blocks it delays no other thread's record or offload; so launches themselves stay "
     "inline",
     within_cap},
    {"inline_calls_return", Asked::kEverywhere,
     "copies of page-locked memory, memsets, records, waits and queries return while a kernel runs",
     "inline (bounded time)", inline_calls},
    {"launch_beside_stream_synchronise", Asked::kEverywhere,
     "while a thread waits in cuStreamSynchronize, another's launch returns and runs",
     "while it blocks it delays no other thread's record or offload", beside_synchronise},
    {"launch_beside_context_synchronise", Asked::kEverywhere,
     "while a thread waits in cuCtxSynchronize, another's launch returns and runs",
     "while it blocks it delays no other thread's record or offload", beside_context},
    {"free_synchronises", Asked::kEverywhere, "cuMemFree waits for the kernels that run",
     "offload (may block in the driver: every synchronise, blocking copy, alloc, free, ...)",
     free_waits},
    {"launch_beside_free", Asked::kHost,
     "while a thread waits in cuMemFree, another's launch returns and runs",
     "while it blocks it delays no other thread's record or offload", beside_free},
    {"load_beside_kernel", Asked::kHost, "code can be loaded while a kernel runs",
     "A kernel's code is loaded by such a call that the guest makes before that kernel's first "
     "launch",
     beside_load},
    {"first_launch_is_free", Asked::kEverywhere,
     "after cuKernelGetFunction and cuFuncLoad the first launch of a CUkernel waits for nothing",
     "so launches themselves stay inline", first_launch},
    {"host_function", Asked::kHost,
     "a host function that waits holds up its own stream and no other",
     "Host functions and callbacks are the driver's own ... with a trampoline that asks the "
     "guest's service thread to run the callback and waits",
     host_function},
};

}  // namespace

std::span<const Probe> queue_probes() {
    return kProbes;
}

}  // namespace cubar::probe
