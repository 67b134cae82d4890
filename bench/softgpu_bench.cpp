// SPDX-License-Identifier: Apache-2.0
// What the software GPU needs for one warp instruction, and for a launch. Any libcuda.so.1 will do:
//
//     softgpu-bench LIBRARY
//
// Each kernel repeats one instruction 64 times in a loop on full warps; the loop alone, measured in
// the same way, is taken off. The least of several runs, as noise only adds; one warp on one
// thread. Launches: medians.
#include <cuda.h>
#include <dlfcn.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

constexpr int kRuns = 15;
constexpr int kRepeats = 64;  // of the instruction in the loop's body
constexpr int kRounds = 500;  // of the loop
constexpr int kLaunches = 2000;

void require(CUresult result, const char* what) {
    if (result != CUDA_SUCCESS) {
        throw std::runtime_error(std::string(what) + ": error " + std::to_string(result));
    }
}

struct Driver {
    explicit Driver(const char* library) : handle(dlopen(library, RTLD_NOW | RTLD_LOCAL)) {
        if (handle == nullptr) throw std::runtime_error(dlerror());
    }
    template <class Function>
    Function* find(const char* name) const {
        void* const symbol = dlsym(handle, name);
        if (symbol == nullptr) throw std::runtime_error(std::string("no ") + name);
        return reinterpret_cast<Function*>(symbol);
    }
    void* handle;

    decltype(cuInit)* init = find<decltype(cuInit)>("cuInit");
    decltype(cuDevicePrimaryCtxRetain)* retain =
        find<decltype(cuDevicePrimaryCtxRetain)>("cuDevicePrimaryCtxRetain");
    decltype(cuCtxSetCurrent)* set_current = find<decltype(cuCtxSetCurrent)>("cuCtxSetCurrent");
    decltype(cuMemAlloc)* allocate = find<decltype(cuMemAlloc)>("cuMemAlloc_v2");
    decltype(cuMemsetD8)* set = find<decltype(cuMemsetD8)>("cuMemsetD8_v2");
    decltype(cuModuleLoadData)* load = find<decltype(cuModuleLoadData)>("cuModuleLoadData");
    decltype(cuModuleUnload)* unload = find<decltype(cuModuleUnload)>("cuModuleUnload");
    decltype(cuModuleGetFunction)* function =
        find<decltype(cuModuleGetFunction)>("cuModuleGetFunction");
    decltype(cuLaunchKernel)* launch = find<decltype(cuLaunchKernel)>("cuLaunchKernel");
    decltype(cuStreamCreate)* create = find<decltype(cuStreamCreate)>("cuStreamCreate");
    decltype(cuStreamSynchronize)* synchronize =
        find<decltype(cuStreamSynchronize)>("cuStreamSynchronize");
};

double median(std::vector<double> values) {
    std::nth_element(values.begin(), values.begin() + std::ptrdiff_t(values.size() / 2),
                     values.end());
    return values[values.size() / 2];
}

double nanoseconds_since(Clock::time_point start) {
    return double(
        std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now() - start).count());
}

/// A kernel that repeats `instruction`; %at is its lane's place in a buffer.
std::string kernel(const std::string& instruction, unsigned lane_bytes) {
    std::string text = R"(.version 8.0
.target sm_75
.address_size 64
.visible .entry k(.param .u64 at, .param .u32 rounds) {
    .reg .pred %p<4>;
    .reg .b16 %h<8>;
    .reg .b32 %r<16>;
    .reg .f32 %f<16>;
    .reg .b64 %d<8>;
    .reg .b64 %at;
    .reg .b32 %i, %rounds, %lane;
    .shared .align 16 .b8 tile[2048];
    ld.param.u64 %at, [at];
    ld.param.u32 %rounds, [rounds];
    mov.u32 %lane, %tid.x;
    mul.wide.u32 %d0, %lane, )" +
                       std::to_string(lane_bytes) + R"(;
    add.u64 %at, %at, %d0;
    mul.lo.u32 %r8, %lane, 4;
    mul.lo.u32 %r9, %lane, 0x01020304;
    mov.u32 %r1, %r9; mov.u32 %r2, 0x5140; mov.u32 %r3, %lane; mov.u32 %r4, %r9;
    mov.b32 %f1, 0f3F800001; mov.b32 %f2, 0f3F7FFFFF; mov.b32 %f3, 0f00000000;
    mov.u32 %i, 0;
    setp.eq.u32 %p1, %lane, 77;
LOOP:
)";
    for (int repeat = 0; repeat < kRepeats; ++repeat) text += "    " + instruction + "\n";
    text += R"(
    add.u32 %i, %i, 1;
    setp.lt.u32 %p0, %i, %rounds;
    @%p0 bra LOOP;
    @%p1 st.global.u32 [%at], %r3;
    ret;
})";
    return text;
}

struct Case {
    const char* name;
    const char* instruction;
    unsigned lane_bytes = 4;
};

constexpr Case kCases[] = {
    {"add.s32", "add.s32 %r3, %r3, %r1;"},
    {"mad.lo.s32", "mad.lo.s32 %r3, %r3, %r1, %r2;"},
    {"fma.rn.f32", "fma.rn.f32 %f3, %f1, %f2, %f3;"},
    {"fma.rn.f32, divided", "@%p1 fma.rn.f32 %f3, %f1, %f2, %f3;"},
    {"lop3.b32", "lop3.b32 %r3, %r3, %r1, %r2, 0x96;"},
    {"setp.lt.s32", "setp.lt.s32 %p2, %r1, %r2;"},
    {"selp.b32", "selp.b32 %r3, %r1, %r3, %p1;"},
    {"prmt.b32", "prmt.b32 %r3, %r3, %r1, %r2;"},
    {"dp4a.s32.s32", "dp4a.s32.s32 %r3, %r1, %r4, %r3;"},
    {"dp4a.u32.s32", "dp4a.u32.s32 %r3, %r1, %r4, %r3;"},
    {"shfl.sync.bfly", "shfl.sync.bfly.b32 %r3, %r3, 4, 31, -1;"},
    {"shfl.sync.idx", "shfl.sync.idx.b32 %r3, %r1, %r3, 31, -1;"},
    {"vote.sync.ballot", "vote.sync.ballot.b32 %r3, %p1, -1;"},
    {"ex2.approx.ftz.f32", "ex2.approx.ftz.f32 %f3, %f3;"},
    {"rcp.approx.ftz.f32", "rcp.approx.ftz.f32 %f3, %f1;"},
    {"rsqrt.approx.f32", "rsqrt.approx.f32 %f3, %f1;"},
    {"lg2.approx.f32", "lg2.approx.f32 %f3, %f1;"},
    {"sin.approx.f32", "sin.approx.f32 %f3, %f1;"},
    {"cvt.rn.f32.s32", "cvt.rn.f32.s32 %f3, %r1;"},
    {"cvt.rn.f16.f32", "cvt.rn.f16.f32 %h1, %f1;"},
    {"mul.wide.s32", "mul.wide.s32 %d1, %r1, %r2;"},
    {"add.s64", "add.s64 %d1, %d1, %d0;"},
    {"ld.global.b32, coalesced", "ld.global.b32 %r3, [%at];"},
    {"ld.b32, coalesced", "ld.b32 %r3, [%at];"},
    {"ld.global.b32, strided", "ld.global.b32 %r3, [%at];", 68},
    {"ld.global.v4.b32, coalesced", "ld.global.v4.b32 {%r3, %r5, %r6, %r7}, [%at];", 16},
    {"ld.relaxed.gpu.v2.b32", "ld.relaxed.gpu.global.v2.b32 {%r3, %r5}, [%at];", 8},
    {"ld.global.u8, coalesced", "ld.global.u8 %r3, [%at];", 1},
    {"st.global.b32, coalesced", "st.global.b32 [%at], %r3;"},
    {"st.global.v4.b32, coalesced", "st.global.v4.b32 [%at], {%r3, %r5, %r6, %r7};", 16},
    {"ld.shared.b32", "ld.shared.b32 %r3, [tile];"},
    {"st.shared.b32", "st.shared.b32 [%r8], %r3;"},
    {"atom.shared.add.u32", "atom.shared.add.u32 %r3, [%r8], 1;"},
};

class Bench {
public:
    explicit Bench(const char* library) : cuda_(library) {
        CUcontext context = nullptr;
        require(cuda_.init(0), "cuInit");
        require(cuda_.retain(&context, 0), "cuDevicePrimaryCtxRetain");
        require(cuda_.set_current(context), "cuCtxSetCurrent");
        require(cuda_.create(&stream_, CU_STREAM_NON_BLOCKING), "cuStreamCreate");
        require(cuda_.allocate(&memory_, 1 << 16), "cuMemAlloc");
        require(cuda_.set(memory_, 0, 1 << 16), "cuMemsetD8");
    }

    void instructions() const {
        const double empty = time("", 4);
        for (const Case& each : kCases) {
            const double full = time(each.instruction, each.lane_bytes);
            std::printf("%-32s %7.1f ns per warp\n", each.name,
                        (full - empty) / (double(kRepeats) * kRounds));
        }
    }

    void launches() const {
        for (const unsigned blocks : {1u, 2u, 16u}) {
            for (const unsigned threads : {32u, 256u}) report_launches(blocks, threads);
        }
    }

private:
    /// Nanoseconds of one warp that goes through all rounds.
    double time(const std::string& instruction, unsigned lane_bytes) const {
        const Loaded loaded(cuda_, kernel(instruction, lane_bytes));
        run(loaded.function, 1, 32, 1);
        std::vector<double> times;
        for (int run_index = 0; run_index < kRuns; ++run_index) {
            const auto start = Clock::now();
            run(loaded.function, 1, 32, kRounds);
            times.push_back(nanoseconds_since(start));
        }
        return *std::min_element(times.begin(), times.end());
    }

    void report_launches(unsigned blocks, unsigned threads) const {
        const Loaded loaded(cuda_, kernel("", 4));
        run(loaded.function, blocks, threads, 1);
        std::vector<double> times;
        for (int launch = 0; launch < kLaunches; ++launch) {
            const auto start = Clock::now();
            run(loaded.function, blocks, threads, 1);
            times.push_back(nanoseconds_since(start));
        }
        const auto start = Clock::now();
        for (int launch = 0; launch < kLaunches; ++launch) {
            enqueue(loaded.function, blocks, threads, 1);
        }
        const double enqueued = nanoseconds_since(start);
        require(cuda_.synchronize(stream_), "cuStreamSynchronize");
        const double drained = nanoseconds_since(start);
        std::printf(
            "launch %2u x %3u: %7.2f us with its wait, %6.2f us to enqueue, %7.2f us each "
            "in a row\n",
            blocks, threads, median(times) / 1e3, enqueued / kLaunches / 1e3,
            drained / kLaunches / 1e3);
    }

    struct Loaded {
        Loaded(const Driver& driver, const std::string& text) : cuda(driver) {
            require(cuda.load(&module, text.c_str()), "cuModuleLoadData");
            require(cuda.function(&function, module, "k"), "cuModuleGetFunction");
        }
        ~Loaded() { cuda.unload(module); }
        Loaded(const Loaded&) = delete;
        Loaded& operator=(const Loaded&) = delete;

        const Driver& cuda;
        CUmodule module = nullptr;
        CUfunction function = nullptr;
    };

    void enqueue(CUfunction function, unsigned blocks, unsigned threads, unsigned rounds) const {
        CUdeviceptr memory = memory_;
        void* parameters[] = {&memory, &rounds};
        require(
            cuda_.launch(function, blocks, 1, 1, threads, 1, 1, 0, stream_, parameters, nullptr),
            "cuLaunchKernel");
    }

    void run(CUfunction function, unsigned blocks, unsigned threads, unsigned rounds) const {
        enqueue(function, blocks, threads, rounds);
        require(cuda_.synchronize(stream_), "cuStreamSynchronize");
    }

    Driver cuda_;
    CUstream stream_ = nullptr;
    CUdeviceptr memory_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
    if (argc != 2 && argc != 3) {
        std::fprintf(stderr, "usage: %s LIBCUDA [instructions|launches]\n", argv[0]);
        return 2;
    }
    const std::string what = argc == 3 ? argv[2] : "";
    try {
        const Bench bench(argv[1]);
        if (what != "launches") bench.instructions();
        if (what != "instructions") bench.launches();
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
    return 0;
}
