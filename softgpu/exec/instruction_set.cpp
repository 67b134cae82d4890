// SPDX-License-Identifier: Apache-2.0
#include <cpuid.h>

#include <cstdlib>
#include <cstring>

#include "softgpu/exec/handlers/find.h"
#include "softgpu/exec/key.h"
#include "softgpu/exec/launch.h"

namespace cubar::softgpu::exec {
namespace {

struct InstructionSet {
    const char* name;
    FindHandler find;
};

constexpr InstructionSet kBaseline{"baseline", baseline::find_handler};
constexpr InstructionSet kAvx2{"avx2", avx2::find_handler};
constexpr InstructionSet kAvx512{"avx512", avx512::find_handler};

// Not every compiler's __builtin_cpu_supports knows f16c by name.
bool has_f16c() {
    unsigned a = 0;
    unsigned b = 0;
    unsigned c = 0;
    unsigned d = 0;
    return __get_cpuid(1, &a, &b, &c, &d) != 0 && (c & bit_F16C) != 0;
}

bool has_avx2() {
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c() &&
           __builtin_cpu_supports("bmi2");
}

bool has_avx512() {
    return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}

const InstructionSet& choose() {
    __builtin_cpu_init();
    const char* const wish = std::getenv("CUBAR_SOFTGPU_ISA");
    const bool want_baseline = wish != nullptr && std::strcmp(wish, "baseline") == 0;
    const bool want_avx2 = wish != nullptr && std::strcmp(wish, "avx2") == 0;
    if (want_baseline || !has_avx2()) return kBaseline;
    if (want_avx2 || !has_avx512()) return kAvx2;
    return kAvx512;
}

const InstructionSet& chosen() {
    static const InstructionSet& set = choose();
    return set;
}

}  // namespace

FindHandler handlers() {
    return chosen().find;
}

const char* instruction_set() {
    return chosen().name;
}

}  // namespace cubar::softgpu::exec
