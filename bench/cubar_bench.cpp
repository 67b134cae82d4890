// SPDX-License-Identifier: Apache-2.0
// Measures the command path from a program of the driver API and prints JSON:
//   cubar-bench rounds N    N rounds of every figure, each between two probes of the cores'
//   distance cubar-bench startup     from cuInit to the end of the first launch; once for each
//   process
// bench/run.py runs it under cubar-run and on the software GPU alone, and makes tables.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "bench/clock.h"
#include "bench/gpu.h"

namespace {

using cubar::bench::Clock;
using cubar::bench::Gpu;
using cubar::bench::Samples;

constexpr std::size_t kBulkBytes = std::size_t{64} << 20;
// Fewer than the guest's cap on unfinished operations, so that no launch waits for others.
constexpr int kLaunchesPerBatch = 100;

/// Writes one flat JSON object.
class Object {
public:
    void add(const char* name, double value) {
        std::printf("%s\"%s\": %.3f", first_ ? "{" : ", ", name, value);
        first_ = false;
    }
    void end(const char* after) { std::printf("}%s\n", after); }

private:
    bool first_ = true;
};

/// Host and device memory for the copies.
class Buffers {
public:
    Buffers() : pageable_(kBulkBytes, 1), other_(kBulkBytes, 2) {
        CUBAR_REQUIRE(cuMemAlloc(&device_, kBulkBytes));
        CUBAR_REQUIRE(cuMemAllocHost(&pinned_, kBulkBytes));
        std::memset(pinned_, 3, kBulkBytes);
    }
    Buffers(const Buffers&) = delete;
    Buffers& operator=(const Buffers&) = delete;
    ~Buffers() {
        cuMemFreeHost(pinned_);
        cuMemFree(device_);
    }
    CUdeviceptr device() const { return device_; }
    char* pageable() { return pageable_.data(); }
    char* other() { return other_.data(); }
    void* pinned() const { return pinned_; }

private:
    std::vector<char> pageable_;
    std::vector<char> other_;
    CUdeviceptr device_ = 0;
    void* pinned_ = nullptr;
};

class Bench {
public:
    void round(Object& out) {
        out.add("line_before_ns", line_transfer(clock_));
        launches(out, gpu_.four(), "launch_4");
        launches(out, gpu_.sixteen(), "launch_16");
        rate(out);
        repeated(out, "round_trip", 2000, [] {
            std::size_t value = 0;
            CUBAR_REQUIRE(cuCtxGetLimit(&value, CU_LIMIT_STACK_SIZE));
        });
        int word = 1;
        repeated(out, "d2h_4", 2000,
                 [&] { CUBAR_REQUIRE(cuMemcpyDtoH(&word, buffers_.device(), sizeof word)); });
        repeated(out, "h2d_4", 200,
                 [&] { CUBAR_REQUIRE(cuMemcpyHtoD(buffers_.device(), &word, sizeof word)); });
        gpu_.finish();
        repeated(out, "sync_finished", 2000, [&] { gpu_.finish(); });
        bulk(out);
        out.add("line_after_ns", line_transfer(clock_));
    }

private:
    void distribution(Object& out, const std::string& name, Samples& samples) {
        out.add((name + "_p50_ns").c_str(), samples.quantile(0.5));
        out.add((name + "_p99_ns").c_str(), samples.quantile(0.99));
    }

    template <typename Call>
    void repeated(Object& out, const std::string& name, int count, Call&& call) {
        Samples samples;
        for (int i = 0; i < count; ++i) samples.add(clock_.time(call));
        distribution(out, name, samples);
    }

    void launches(Object& out, CUfunction function, const std::string& name) {
        Samples each;
        Samples batches;
        for (int batch = 0; batch < 40; ++batch) {
            const bool apart = batch % 2 == 0;
            const double all = clock_.time([&] {
                for (int i = 0; i < kLaunchesPerBatch; ++i) {
                    if (apart) {
                        each.add(clock_.time([&] { CUBAR_REQUIRE(gpu_.launch(function)); }));
                    } else {
                        CUBAR_REQUIRE(gpu_.launch(function));
                    }
                }
            });
            if (!apart) batches.add(all / kLaunchesPerBatch);
            gpu_.finish();
        }
        distribution(out, name, each);
        out.add((name + "_in_a_row_ns").c_str(), batches.quantile(0.5));
    }

    void rate(Object& out) {
        constexpr int kLaunches = 50'000;
        const double taken = clock_.time([&] {
            for (int i = 0; i < kLaunches; ++i) CUBAR_REQUIRE(gpu_.launch(gpu_.four()));
            gpu_.finish();
        });
        out.add("launches_per_s", kLaunches / taken * 1e9);
    }

    void bulk(Object& out) {
        const double reference =
            clock_.time([&] { std::memcpy(buffers_.other(), buffers_.pageable(), kBulkBytes); });
        const auto copy = [&](const char* name, auto&& call) {
            out.add(name, clock_.time(call) / reference);
        };
        out.add("memcpy_64m_ms", reference / 1e6);
        copy("h2d_64m_pageable_x", [&] {
            CUBAR_REQUIRE(cuMemcpyHtoD(buffers_.device(), buffers_.pageable(), kBulkBytes));
            CUBAR_REQUIRE(cuCtxSynchronize());
        });
        copy("d2h_64m_pageable_x",
             [&] { CUBAR_REQUIRE(cuMemcpyDtoH(buffers_.other(), buffers_.device(), kBulkBytes)); });
        copy("h2d_64m_pinned_x", [&] {
            CUBAR_REQUIRE(cuMemcpyHtoD(buffers_.device(), buffers_.pinned(), kBulkBytes));
            CUBAR_REQUIRE(cuCtxSynchronize());
        });
        copy("d2h_64m_pinned_x", [&] {
            CUBAR_REQUIRE(cuMemcpyDtoH(buffers_.pinned(), buffers_.device(), kBulkBytes));
        });
    }

    Clock clock_;
    Gpu gpu_;
    Buffers buffers_;
};

int rounds(int count) {
    Bench bench;
    // The first one warms caches, page tables and staging memory, and counts for nothing.
    std::printf("[\n");
    for (int i = 0; i <= count; ++i) {
        Object object;
        bench.round(object);
        object.end(i == count ? "\n]" : ",");
    }
    return 0;
}

int startup() {
    const Clock clock;
    Object object;
    object.add("cuinit_ms", clock.time([] { CUBAR_REQUIRE(cuInit(0)); }) / 1e6);
    object.add("first_launch_ms", clock.time([] {
        Gpu gpu;
        CUBAR_REQUIRE(gpu.launch(gpu.four()));
        gpu.finish();
    }) / 1e6);
    object.end("");
    return 0;
}

}  // namespace

int main(int count, char** arguments) {
    if (count == 3 && std::strcmp(arguments[1], "rounds") == 0)
        return rounds(std::atoi(arguments[2]));
    if (count == 2 && std::strcmp(arguments[1], "startup") == 0) return startup();
    std::fprintf(stderr, "usage: cubar-bench rounds N | startup\n");
    return 2;
}
