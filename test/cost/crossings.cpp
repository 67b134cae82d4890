// SPDX-License-Identifier: Apache-2.0
// How often calls cross to the host. Prints TAP; run it under cubar-run. With --without-fences,
// under cubar-run --fences off: what then crosses.
#include <array>
#include <cstdio>
#include <exception>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "bench/gpu.h"
#include "test/cost/own_channel.h"

namespace {

using cubar::bench::Gpu;
using cubar::cost::OwnChannel;
using cubar::cost::Sent;

/// What repeated calls may send at most, in all.
struct Limit {
    unsigned records;
    unsigned round_trips;
};

struct Case {
    std::string title;
    unsigned repeats;
    std::function<void()> call;
    Limit limit;
};

/// Runs the cases and prints how they went.
class Tap {
public:
    void run(OwnChannel& channel, const Case& item) {
        channel.count();
        for (unsigned i = 0; i < item.repeats; ++i) item.call();
        const Sent sent = channel.count();
        report(item.title, sent,
               sent.records <= item.limit.records && sent.round_trips <= item.limit.round_trips);
    }
    void report(const std::string& title, const Sent& sent, bool good) {
        std::printf("%sok %u %s\n# %u records, %u round trips, %llu bytes\n", good ? "" : "not ",
                    ++number_, title.c_str(), sent.records, sent.round_trips,
                    static_cast<unsigned long long>(sent.bytes));
        failed_ |= !good;
    }
    int end() const {
        std::printf("1..%u\n", number_);
        return failed_ ? 1 : 0;
    }

private:
    unsigned number_ = 0;
    bool failed_ = false;
};

constexpr unsigned kRepeats = 100;
constexpr Limit kNothing{0, 0};
constexpr Limit kOnce{1, 1};

/// Every device attribute, since any of them may be asked at any time.
void ask_device_attributes(CUdevice device) {
    for (int attribute = 1; attribute < CU_DEVICE_ATTRIBUTE_MAX; ++attribute) {
        int value = 0;
        cuDeviceGetAttribute(&value, static_cast<CUdevice_attribute>(attribute), device);
    }
}

std::vector<Case> cases(Gpu& gpu, CUdeviceptr memory) {
    const auto occupancy = [&gpu](std::size_t shared) {
        int blocks = 0;
        CUBAR_REQUIRE(
            cuOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, gpu.sixteen(), 128, shared));
    };
    const auto function_attribute = [&gpu](CUfunction_attribute attribute) {
        int value = 0;
        CUBAR_REQUIRE(cuFuncGetAttribute(&value, attribute, gpu.four()));
    };
    return {
        {"a launch with 4 parameters sends one record and waits for nothing",
         kRepeats,
         [&gpu] { CUBAR_REQUIRE(gpu.launch(gpu.four())); },
         {kRepeats, 0}},
        {"a launch with 16 parameters sends one record and waits for nothing",
         kRepeats,
         [&gpu] { CUBAR_REQUIRE(gpu.launch(gpu.sixteen())); },
         {kRepeats, 0}},
        {"a small copy to the device waits for nothing",
         kRepeats,
         [memory] {
             const int value = 1;
             CUBAR_REQUIRE(cuMemcpyHtoDAsync(memory, &value, sizeof value, nullptr));
         },
         {kRepeats, 0}},
        {"a memset waits for nothing",
         kRepeats,
         [&gpu, memory] { CUBAR_REQUIRE(cuMemsetD8Async(memory, 0, 4, gpu.stream())); },
         {kRepeats, 0}},
        {"device attributes cross never", 1, [&gpu] { ask_device_attributes(gpu.device()); },
         kNothing},
        {"a device's name and size cross never", kRepeats,
         [&gpu] {
             std::array<char, 100> name{};
             std::size_t bytes = 0;
             CUBAR_REQUIRE(
                 cuDeviceGetName(name.data(), static_cast<int>(name.size()), gpu.device()));
             CUBAR_REQUIRE(cuDeviceTotalMem(&bytes, gpu.device()));
         },
         kNothing},
        {"the current context and its device cross never", kRepeats,
         [] {
             CUcontext context = nullptr;
             CUdevice device = 0;
             CUBAR_REQUIRE(cuCtxGetCurrent(&context));
             CUBAR_REQUIRE(cuCtxGetDevice(&device));
         },
         kNothing},
        {"a function's attribute crosses at most once", kRepeats,
         [function_attribute] { function_attribute(CU_FUNC_ATTRIBUTE_NUM_REGS); }, kOnce},
        {"another attribute of it crosses at most once", kRepeats,
         [function_attribute] { function_attribute(CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK); },
         kOnce},
        {"occupancy crosses at most once", kRepeats, [occupancy] { occupancy(0); }, kOnce},
        {"occupancy with other arguments crosses at most once", kRepeats,
         [occupancy] { occupancy(1024); }, kOnce},
        {"pointer attributes cross at most once", kRepeats,
         [memory] {
             unsigned type = 0;
             CUBAR_REQUIRE(cuPointerGetAttribute(&type, CU_POINTER_ATTRIBUTE_MEMORY_TYPE, memory));
         },
         kOnce},
        {"control: a call that must ask the host is counted each time",
         kRepeats,
         [] {
             std::size_t value = 0;
             CUBAR_REQUIRE(cuCtxGetLimit(&value, CU_LIMIT_STACK_SIZE));
         },
         {kRepeats, kRepeats}},
    };
}

/// The fence of a finished stream says so without a question. It is written when the ring drains,
/// so the first wait may still ask.
void finished_stream(Tap& tap, OwnChannel& channel, Gpu& gpu) {
    CUBAR_REQUIRE(gpu.launch(gpu.four()));
    gpu.finish();
    tap.run(channel, {"synchronising with a finished stream sends nothing", kRepeats,
                      [&gpu] { gpu.finish(); }, kNothing});
    tap.run(channel, {"querying a finished stream sends nothing", kRepeats,
                      [&gpu] { CUBAR_REQUIRE(cuStreamQuery(gpu.stream())); }, kNothing});
}

/// Without fences the host completes every wait for new work, but none for work known as done.
void host_completed_waits(Tap& tap, OwnChannel& channel, Gpu& gpu) {
    channel.count();
    for (unsigned i = 0; i < kRepeats; ++i) {
        CUBAR_REQUIRE(gpu.launch(gpu.four()));
        gpu.finish();
    }
    const Sent sent = channel.count();
    tap.report("without fences each wait for new work asks the host", sent,
               sent.records == 2 * kRepeats && sent.round_trips == kRepeats);
    tap.run(channel, {"synchronising with a finished stream sends nothing", kRepeats,
                      [&gpu] { gpu.finish(); }, kNothing});
}

void finished_event(Tap& tap, OwnChannel& channel, Gpu& gpu) {
    CUevent event = nullptr;
    CUBAR_REQUIRE(cuEventCreate(&event, CU_EVENT_DISABLE_TIMING));
    tap.run(channel, {"recording an event waits for nothing",
                      1,
                      [&gpu, event] { CUBAR_REQUIRE(cuEventRecord(event, gpu.stream())); },
                      {1, 0}});
    gpu.finish();
    tap.run(channel, {"a finished event is known without a question", kRepeats,
                      [event] {
                          CUBAR_REQUIRE(cuEventQuery(event));
                          CUBAR_REQUIRE(cuEventSynchronize(event));
                      },
                      kNothing});
    CUBAR_REQUIRE(cuEventDestroy(event));
}

/// A captured graph, with a fork and a join, launches as one record.
void graphs(Tap& tap, OwnChannel& channel, CUdeviceptr memory) {
    CUstream stream = nullptr;
    CUstream branch = nullptr;
    CUevent event = nullptr;
    CUBAR_REQUIRE(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
    CUBAR_REQUIRE(cuStreamCreate(&branch, CU_STREAM_NON_BLOCKING));
    CUBAR_REQUIRE(cuEventCreate(&event, CU_EVENT_DISABLE_TIMING));
    const auto memset = [memory](CUstream in) { CUBAR_REQUIRE(cuMemsetD8Async(memory, 0, 4, in)); };
    CUBAR_REQUIRE(cuStreamBeginCapture(stream, CU_STREAM_CAPTURE_MODE_RELAXED));
    CUBAR_REQUIRE(cuEventRecord(event, stream));
    CUBAR_REQUIRE(cuStreamWaitEvent(branch, event, 0));
    // More than a stream may hold unfinished: what is captured does not run.
    tap.run(channel, {"captured operations send one record each and wait for nothing",
                      1000,
                      [&] { memset(branch); },
                      {1000, 0}});
    tap.run(channel, {"whether a stream is capturing crosses never", kRepeats,
                      [&] {
                          CUstreamCaptureStatus status = CU_STREAM_CAPTURE_STATUS_NONE;
                          CUBAR_REQUIRE(cuStreamIsCapturing(branch, &status));
                          CUBAR_REQUIRE(status == CU_STREAM_CAPTURE_STATUS_ACTIVE
                                            ? CUDA_SUCCESS
                                            : CUDA_ERROR_UNKNOWN);
                      },
                      kNothing});
    memset(stream);
    CUBAR_REQUIRE(cuEventRecord(event, branch));
    CUBAR_REQUIRE(cuStreamWaitEvent(stream, event, 0));
    CUgraph graph = nullptr;
    CUgraphExec exec = nullptr;
    CUBAR_REQUIRE(cuStreamEndCapture(stream, &graph));
    CUBAR_REQUIRE(cuGraphInstantiate(&exec, graph, 0));
    CUBAR_REQUIRE(cuGraphLaunch(exec, stream));
    CUBAR_REQUIRE(cuStreamSynchronize(stream));
    tap.run(channel, {"a graph launch sends one record and waits for nothing",
                      10,
                      [&] { CUBAR_REQUIRE(cuGraphLaunch(exec, stream)); },
                      {10, 0}});
    CUBAR_REQUIRE(cuStreamSynchronize(stream));
    CUBAR_REQUIRE(cuGraphExecDestroy(exec));
    CUBAR_REQUIRE(cuGraphDestroy(graph));
    CUBAR_REQUIRE(cuEventDestroy(event));
    CUBAR_REQUIRE(cuStreamDestroy(branch));
    CUBAR_REQUIRE(cuStreamDestroy(stream));
}

/// The control must find exactly what it sent: a counter that sees nothing proves nothing.
void counting_works(Tap& tap, OwnChannel& channel) {
    channel.count();
    std::size_t value = 0;
    CUBAR_REQUIRE(cuCtxGetLimit(&value, CU_LIMIT_STACK_SIZE));
    const Sent sent = channel.count();
    tap.report("control: one round trip is counted as one", sent,
               sent.records == 1 && sent.round_trips == 1);
}

}  // namespace

int main(int count, char** arguments) {
    try {
        Gpu gpu;
        CUdeviceptr memory = 0;
        CUBAR_REQUIRE(cuMemAlloc(&memory, 4096));
        // Code is loaded, fences and per-thread state are made, at the first of each kind.
        CUBAR_REQUIRE(gpu.launch(gpu.four()));
        CUBAR_REQUIRE(gpu.launch(gpu.sixteen()));
        gpu.finish();
        OwnChannel channel;
        Tap tap;
        counting_works(tap, channel);
        if (count == 2 && std::string_view(arguments[1]) == "--without-fences") {
            host_completed_waits(tap, channel, gpu);
            return tap.end();
        }
        for (const Case& item : cases(gpu, memory)) {
            tap.run(channel, item);
            // Otherwise the cap on unfinished operations would wait within a later case.
            gpu.finish();
        }
        finished_stream(tap, channel, gpu);
        finished_event(tap, channel, gpu);
        graphs(tap, channel, memory);
        CUBAR_REQUIRE(cuMemFree(memory));
        return tap.end();
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
}
