// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>
#include <set>
#include <string>
#include <vector>

#include "driver/error_names.h"

using namespace cubar::driver;

namespace {

struct Enumerator {
    CUresult value;
    const char* name;
};

// What the installed cuda.h says; written by list_errors.py.
const std::vector<Enumerator> kEnumerators{
#define CUBAR_ERROR(name) {name, #name},
#include "cuda_errors.inc"
#undef CUBAR_ERROR
};

}  // namespace

TEST_CASE("every CUresult of cuda.h has its name and a text") {
    REQUIRE(kEnumerators.size() >= 101);  // of cuda.h 13.0
    for (const Enumerator& enumerator : kEnumerators) {
        INFO(enumerator.name);
        REQUIRE(error_name(enumerator.value) != nullptr);
        CHECK(std::string(error_name(enumerator.value)) == enumerator.name);
        REQUIRE(error_text(enumerator.value) != nullptr);
        CHECK(std::string(error_text(enumerator.value)).size() > 5);
    }
}

TEST_CASE("nothing else has a name") {
    std::set<int> known;
    for (const Enumerator& enumerator : kEnumerators) {
        known.insert(enumerator.value);
    }
    for (int value = 0; value < 1024; ++value) {
        INFO(value);
        CHECK((error_name(static_cast<CUresult>(value)) != nullptr) == known.contains(value));
        CHECK((error_text(static_cast<CUresult>(value)) != nullptr) == known.contains(value));
    }
}

TEST_CASE("cuGetErrorName and cuGetErrorString answer as CUDA does") {
    const char* text = "";
    CHECK(get_error_name(CUDA_ERROR_OUT_OF_MEMORY, &text) == CUDA_SUCCESS);
    CHECK(std::string(text) == "CUDA_ERROR_OUT_OF_MEMORY");
    CHECK(get_error_string(CUDA_ERROR_OUT_OF_MEMORY, &text) == CUDA_SUCCESS);
    CHECK(std::string(text) == "out of memory");
    CHECK(get_error_string(CUDA_SUCCESS, &text) == CUDA_SUCCESS);
    CHECK(std::string(text) == "no error");
    CHECK(get_error_name(static_cast<CUresult>(1023), &text) == CUDA_ERROR_INVALID_VALUE);
    CHECK(text == nullptr);
    CHECK(get_error_string(static_cast<CUresult>(1023), &text) == CUDA_ERROR_INVALID_VALUE);
    CHECK(text == nullptr);
    CHECK(get_error_name(CUDA_SUCCESS, nullptr) == CUDA_ERROR_INVALID_VALUE);
    CHECK(get_error_string(CUDA_SUCCESS, nullptr) == CUDA_ERROR_INVALID_VALUE);
}
