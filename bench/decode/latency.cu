// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <chrono>
#include <cstring>
#include <string>
#include <vector>

#include "decoder.h"
#include "latency.h"

namespace cubar::decode {
namespace {

using Clock = std::chrono::steady_clock;

template <typename Call>
double seconds(const Call& call) {
    const auto begin = Clock::now();
    call();
    return std::chrono::duration<double>(Clock::now() - begin).count();
}

double quantile(std::vector<double> values, double part) {
    std::sort(values.begin(), values.end());
    return values[std::size_t(double(values.size() - 1) * part)];
}

/// Seconds that a call takes, repeated after one time that does not count.
template <typename Call>
std::vector<double> repeated(int times, const Call& call) {
    call();
    std::vector<double> result;
    for (int i = 0; i < times; ++i) result.push_back(seconds(call));
    return result;
}

template <typename Call>
double rate_gb_s(std::size_t bytes, const Call& call) {
    return double(bytes) / quantile(repeated(5, call), 0.5) / 1e9;
}

void copies(std::size_t bytes, Latencies& out) {
    const DeviceArray<char> device(bytes);
    std::vector<char> pageable(bytes, 1);
    const PinnedArray<char> pinned(bytes);
    std::memset(pinned.get(), 2, bytes);
    const auto to_device = [&](const char* from) {
        return rate_gb_s(bytes, [&] {
            CUBAR_CHECK(cudaMemcpy(device.get(), from, bytes, cudaMemcpyHostToDevice));
            // A pageable copy returns once its source is read.
            CUBAR_CHECK(cudaDeviceSynchronize());
        });
    };
    const auto to_host = [&](char* to) {
        return rate_gb_s(bytes, [&] {
            CUBAR_CHECK(cudaMemcpy(to, device.get(), bytes, cudaMemcpyDeviceToHost));
        });
    };
    out.to_device_pageable_gb_s = to_device(pageable.data());
    out.to_device_pinned_gb_s = to_device(pinned.get());
    out.to_host_pageable_gb_s = to_host(pageable.data());
    out.to_host_pinned_gb_s = to_host(pinned.get());
    int word = 0;
    out.read_4_bytes_p50_us =
        1e6 * quantile(repeated(1000,
                                [&] {
                                    CUBAR_CHECK(cudaMemcpy(&word, device.get(), sizeof word,
                                                           cudaMemcpyDeviceToHost));
                                }),
                       0.5);
}

double upload(std::size_t tensor_bytes, cudaStream_t stream) {
    constexpr std::size_t kTensors = 8;
    const DeviceArray<char> device(kTensors * tensor_bytes);
    const std::vector<char> file(kTensors * tensor_bytes, 3);
    return rate_gb_s(file.size(), [&] {
        for (std::size_t at = 0; at < file.size(); at += tensor_bytes) {
            CUBAR_CHECK(cudaMemcpyAsync(device.get() + at, &file[at], tensor_bytes,
                                        cudaMemcpyHostToDevice, stream));
            CUBAR_CHECK(cudaStreamSynchronize(stream));
        }
    });
}

/// Kernels enough that their translation takes a while.
std::string module_text() {
    constexpr int kKernels = 32;
    constexpr int kSums = 64;
    std::string text = ".version 7.0\n.target sm_75\n.address_size 64\n";
    for (int kernel = 0; kernel < kKernels; ++kernel) {
        text += ".visible .entry kernel_" + std::to_string(kernel) +
                "(.param .u64 out)\n{\n.reg .u32 %r<3>;\n.reg .u64 %d<3>;\n"
                "ld.param.u64 %d1, [out];\ncvta.to.global.u64 %d2, %d1;\nmov.u32 %r1, %tid.x;\n";
        for (int sum = 0; sum < kSums; ++sum) {
            text += "mad.lo.u32 %r1, %r1, " + std::to_string(2 * sum + 3) + ", " +
                    std::to_string(kernel) + ";\nxor.b32 %r1, %r1, " + std::to_string(sum + 1) +
                    ";\n";
        }
        text += "st.global.u32 [%d2], %r1;\nret;\n}\n";
    }
    return text;
}

double module_seconds(cudaStream_t stream) {
    const std::string text = module_text();
    DeviceArray<unsigned> out(1);
    return quantile(
        repeated(3,
                 [&] {
                     cudaLibrary_t library = nullptr;
                     cudaKernel_t kernel = nullptr;
                     CUBAR_CHECK(cudaLibraryLoadData(&library, text.c_str(), nullptr, nullptr, 0,
                                                     nullptr, nullptr, 0));
                     CUBAR_CHECK(cudaLibraryGetKernel(&kernel, library, "kernel_7"));
                     unsigned* to = out.get();
                     void* arguments[] = {&to};
                     CUBAR_CHECK(cudaLaunchKernel(reinterpret_cast<const void*>(kernel), dim3(1),
                                                  dim3(1), arguments, 0, stream));
                     CUBAR_CHECK(cudaStreamSynchronize(stream));
                     CUBAR_CHECK(cudaLibraryUnload(library));
                 }),
        0.5);
}

}  // namespace

Latencies measure_latencies(std::size_t bytes, cudaStream_t stream) {
    Latencies out{};
    const auto waits_us = [stream](int times, unsigned kernel_us) {
        std::vector<double> taken = repeated(times, [&] {
            hold(kernel_us * 1000ULL, stream);
            CUBAR_CHECK(cudaStreamSynchronize(stream));
        });
        for (double& each : taken) each = 1e6 * each - kernel_us;
        return taken;
    };
    const std::vector<double> shortest = waits_us(2000, 0);
    out.launch_sync_p50_us = quantile(shortest, 0.5);
    out.launch_sync_p99_us = quantile(shortest, 0.99);
    out.beyond_300_p50_us = quantile(waits_us(100, 300), 0.5);
    out.beyond_1000_p50_us = quantile(waits_us(100, 1000), 0.5);
    out.beyond_4000_p50_us = quantile(waits_us(50, 4000), 0.5);
    copies(bytes, out);
    out.upload_gb_s = upload(bytes, stream);
    out.module_ms = 1e3 * module_seconds(stream);
    return out;
}

}  // namespace cubar::decode
