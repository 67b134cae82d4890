// SPDX-License-Identifier: Apache-2.0
// A library that breaks every rule of guest_library.py, so that each can be seen to catch it.
#include <dlfcn.h>
#include <immintrin.h>
#include <link.h>

#include <cmath>
#include <cstdlib>

namespace {

// An initialiser with work to do.
const char* const home = std::getenv("HOME");

}  // namespace

// More thread-local storage than the rule allows.
thread_local char scratch[4096];

extern "C" {

// No driver function; needs libm, and an instruction that the first x86-64 does not have.
double not_a_driver_function(double x) {
    scratch[0] = home != nullptr ? home[0] : '\0';
    return std::lgamma(x) + scratch[0];
}

__attribute__((target("avx"))) void wide_add(float* to, const float* from) {
    _mm256_storeu_ps(to, _mm256_add_ps(_mm256_loadu_ps(to), _mm256_loadu_ps(from)));
}

// GLIBC_2.35.
int too_new(void* address) {
    dl_find_object found;
    return _dl_find_object(address, &found);
}

// A relocation inside the code.
asm(".section .text\n"
    ".globl relocated\n"
    "relocated: .quad scratch_pointer\n"
    ".data\n"
    ".globl scratch_pointer\n"
    "scratch_pointer: .quad 0\n"
    ".text\n");
}
