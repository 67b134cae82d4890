// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <catch2/catch.hpp>
#include <vector>

#include "driver/symbols.h"

using namespace cubar::driver;

namespace {

template <int kNumber>
CUresult function() {
    return static_cast<CUresult>(kNumber);
}

template <int kNumber>
void* at() {
    return reinterpret_cast<void*>(&function<kNumber>);
}

void* gap() {
    return reinterpret_cast<void*>(&cubar_driver_gap);
}

const std::vector<Symbol>& table() {
    static const std::vector<Symbol> symbols{
        {"cuAbsent", 2000, false, nullptr},   {"cuCopy", 2000, false, at<1>()},
        {"cuCopy", 3020, false, at<2>()},     {"cuCopy", 7000, true, at<3>()},
        {"cuCopyAll", 12080, false, at<4>()}, {"cuGap", 4000, false, gap()},
        {"cuGrown", 5000, false, at<5>()},    {"cuGrown", 11000, false, gap()},
        {"cuGrown", 12000, false, at<6>()},   {"cuStream", 10000, false, at<7>()},
        {"cuStream", 10000, true, gap()},     {"cuStream", 11000, false, at<8>()},
        {"cuStream", 11000, true, at<9>()},
    };
    return symbols;
}

constexpr auto kFound = CU_GET_PROC_ADDRESS_SUCCESS;
constexpr auto kNotFound = CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND;
constexpr auto kTooNew = CU_GET_PROC_ADDRESS_VERSION_NOT_SUFFICIENT;

struct Case {
    const char* name;
    int version;
    bool per_thread;
    void* function;
    CUdriverProcAddressQueryResult status;
};

}  // namespace

namespace cubar::driver {
std::span<const Symbol> symbol_table() noexcept {
    return table();
}
}  // namespace cubar::driver

TEST_CASE("find follows the rules of cuGetProcAddress") {
    const std::vector<Case> cases{
        // The newest ABI that the requested version knows.
        {"cuCopy", 1999, false, nullptr, kTooNew},
        {"cuCopy", 2000, false, at<1>(), kFound},
        {"cuCopy", 3019, false, at<1>(), kFound},
        {"cuCopy", 3020, false, at<2>(), kFound},
        {"cuCopy", 99000, false, at<2>(), kFound},
        // Per-thread variants only where asked for; else the plain one.
        {"cuCopy", 6999, true, at<2>(), kFound},
        {"cuCopy", 7000, true, at<3>(), kFound},
        {"cuCopyAll", 12080, true, at<4>(), kFound},
        {"cuStream", 11000, true, at<9>(), kFound},
        {"cuStream", 11000, false, at<8>(), kFound},
        // A gap is never filled by another ABI.
        {"cuStream", 10000, true, nullptr, kNotFound},
        {"cuStream", 10000, false, at<7>(), kFound},
        {"cuGrown", 10999, false, at<5>(), kFound},
        {"cuGrown", 11000, false, nullptr, kNotFound},
        {"cuGrown", 12000, false, at<6>(), kFound},
        {"cuGap", 13000, false, nullptr, kNotFound},
        {"cuGap", 1000, false, nullptr, kNotFound},
        {"cuAbsent", 13000, false, nullptr, kNotFound},
        // Names are exact, and base names.
        {"cuCop", 13000, false, nullptr, kNotFound},
        {"cuCopyA", 13000, false, nullptr, kNotFound},
        {"cuCopy_v2", 13000, false, nullptr, kNotFound},
        {"cuCopy_ptds", 13000, true, nullptr, kNotFound},
        {"CUCOPY", 13000, false, nullptr, kNotFound},
        {"", 0, false, nullptr, kNotFound},
        {"zz", 13000, false, nullptr, kNotFound},
        {"cuCopyAll", 0, false, nullptr, kTooNew},
        {"cuCopyAll", -1, false, nullptr, kTooNew},
    };
    for (const Case& c : cases) {
        INFO(c.name << " " << c.version << (c.per_thread ? " per thread" : ""));
        const Lookup lookup = find(table(), c.name, c.version, c.per_thread);
        CHECK(lookup.function == c.function);
        CHECK(lookup.status == c.status);
    }
    CHECK(find({}, "cuCopy", 13000, false).status == kNotFound);
}

TEST_CASE("cuGetProcAddress_v2 answers with a status") {
    void* found = gap();
    auto status = kNotFound;
    CHECK(get_proc_address_v2("cuCopy", &found, 13000, CU_GET_PROC_ADDRESS_DEFAULT, &status) ==
          CUDA_SUCCESS);
    CHECK(found == at<2>());
    CHECK(status == kFound);
    CHECK(get_proc_address_v2("cuCopy", &found, 13000, CU_GET_PROC_ADDRESS_LEGACY_STREAM,
                              &status) == CUDA_SUCCESS);
    CHECK(found == at<2>());
    CHECK(get_proc_address_v2("cuCopy", &found, 13000,
                              CU_GET_PROC_ADDRESS_PER_THREAD_DEFAULT_STREAM,
                              &status) == CUDA_SUCCESS);
    CHECK(found == at<3>());
    CHECK(get_proc_address_v2("cuCopy", &found, 1000, 0, &status) == CUDA_ERROR_NOT_FOUND);
    CHECK(found == nullptr);
    CHECK(status == kTooNew);
    found = gap();
    CHECK(get_proc_address_v2("", &found, 0, 0, &status) == CUDA_ERROR_NOT_FOUND);
    CHECK(found == nullptr);
    CHECK(status == kNotFound);
    CHECK(get_proc_address_v2("cuCopy", &found, 13000, 0, nullptr) == CUDA_SUCCESS);
}

TEST_CASE("cuGetProcAddress refuses what makes no sense") {
    void* found = gap();
    auto status = kFound;
    CHECK(get_proc_address_v2(nullptr, &found, 13000, 0, &status) == CUDA_ERROR_INVALID_VALUE);
    CHECK(get_proc_address_v2("cuCopy", nullptr, 13000, 0, &status) == CUDA_ERROR_INVALID_VALUE);
    CHECK(get_proc_address_v2("cuCopy", &found, 13000, 3, &status) == CUDA_ERROR_INVALID_VALUE);
    CHECK(get_proc_address_v2("cuCopy", &found, 13000, 4, &status) == CUDA_ERROR_INVALID_VALUE);
    CHECK(found == gap());
}

TEST_CASE("the old cuGetProcAddress differs by its missing status only") {
    void* found = nullptr;
    CHECK(get_proc_address("cuCopy", &found, 13000, 2) == CUDA_SUCCESS);
    CHECK(found == at<3>());
    CHECK(get_proc_address("cuNowhere", &found, 13000, 0) == CUDA_ERROR_NOT_FOUND);
    CHECK(found == nullptr);
    CHECK(get_proc_address(nullptr, &found, 13000, 0) == CUDA_ERROR_INVALID_VALUE);
}

TEST_CASE("a gap says that it is none of ours") {
    CHECK(cubar_driver_gap() == CUDA_ERROR_NOT_SUPPORTED);
}
