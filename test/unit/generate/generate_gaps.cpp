// SPDX-License-Identifier: Apache-2.0
// A libcuda that has two functions: all others are gaps, which link, and are never handed out.
#ifndef __CUDA_API_VERSION_INTERNAL
#define __CUDA_API_VERSION_INTERNAL
#endif
#include <cuda.h>

#include <catch2/catch.hpp>
#include <string>

#include "driver/symbols.h"

namespace driver = cubar::driver;

extern "C" CUresult cuInit(unsigned int flags) {
    return flags == 0 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}
extern "C" CUresult cuMemFree_v2(CUdeviceptr) {
    return CUDA_SUCCESS;
}

// As generated for softgpu.
extern "C" CUresult cuStreamGetFlags_ptsz(CUstream stream, unsigned int* flags) {
    return cuStreamGetFlags(stream, flags);
}

TEST_CASE("a definition takes the place of its gap") {
    void* found = nullptr;
    CHECK(driver::get_proc_address("cuInit", &found, 13000, 0) == CUDA_SUCCESS);
    CHECK(found == reinterpret_cast<void*>(&cuInit));
    CHECK(driver::get_proc_address("cuMemFree", &found, 13000, 0) == CUDA_SUCCESS);
    CHECK(found == reinterpret_cast<void*>(&cuMemFree_v2));
}

TEST_CASE("a gap links, says so, and is not handed out") {
    CHECK(cuMemFree(0) == CUDA_ERROR_NOT_SUPPORTED);
    CHECK(cuGraphLaunch_ptsz(nullptr, nullptr) == CUDA_ERROR_NOT_SUPPORTED);
    void* found = &found;
    CHECK(driver::get_proc_address("cuGraphLaunch", &found, 13000, 0) == CUDA_ERROR_NOT_FOUND);
    CHECK(found == nullptr);
    // The ABI of CUDA 2.0 is a gap, though that of 3.2 is there.
    CHECK(driver::get_proc_address("cuMemFree", &found, 2000, 0) == CUDA_ERROR_NOT_FOUND);
}

TEST_CASE("a per-thread variant whose base is a gap is one too") {
    CHECK(cuStreamGetFlags_ptsz(nullptr, nullptr) == CUDA_ERROR_NOT_SUPPORTED);
    void* found = &found;
    CHECK(driver::get_proc_address("cuStreamGetFlags", &found, 13000, 2) == CUDA_ERROR_NOT_FOUND);
}

TEST_CASE("all but the two are gaps") {
    unsigned there = 0;
    const auto gap = reinterpret_cast<void*>(&cubar_driver_gap);
    const auto table = driver::symbol_table();
    for (const auto& symbol : table) {
        if (symbol.function != gap) {
            ++there;
            CHECK(
                (symbol.name == std::string("cuInit") || symbol.name == std::string("cuMemFree")));
        }
    }
    CHECK(table.size() == 637);
    CHECK(there == 2);
}
