// SPDX-License-Identifier: Apache-2.0
// Runs every case on the libcuda.so.1 named and compares with the host's arithmetic:
//     instruction-test LIBRARY [--only TEXT] [--seed NUMBER] [--list]
#include <bit>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <memory>
#include <string>

#include "test/instruction/case.h"
#include "test/instruction/driver.h"
#include "test/instruction/soft_float.h"
#include "test/instruction/values.h"

namespace cubar::instruction {
namespace {

constexpr unsigned kShownMismatches = 3;

const char* register_type(Kind kind) {
    switch (kind) {
        case Kind::kF32:
        case Kind::kUnit:
            return "f32";
        case Kind::kF64:
            return "f64";
        case Kind::kPredicate:
            return "pred";
        default:
            break;
    }
    return bits_of(kind) == 16 ? "b16" : bits_of(kind) == 64 ? "b64" : "b32";
}

const char* memory_type(Kind kind) {
    return kind == Kind::kPredicate ? "b32" : register_type(kind);
}

std::string kernel(const Case& one) {
    // The newest instructions need a newer ISA; the target is the oldest that has them.
    std::string text = ".version 8.6\n.target sm_" + std::to_string(one.needs) +
                       "\n.address_size 64\n" + one.prelude +
                       "\n.visible .entry t(.param .u64 in, .param .u64 out) {\n"
                       ".reg .b64 %in, %out;\n.reg .b32 %index, %scratch;\n"
                       "ld.param.u64 %in, [in];\nld.param.u64 %out, [out];\n"
                       "cvta.to.global.u64 %in, %in;\ncvta.to.global.u64 %out, %out;\n"
                       "{ .reg .b32 %block, %size, %thread; .reg .b64 %offset;\n"
                       "mov.u32 %block, %ctaid.x;\nmov.u32 %size, %ntid.x;\n"
                       "mov.u32 %thread, %tid.x;\n"
                       "mad.lo.u32 %index, %block, %size, %thread;\n"
                       "mul.wide.u32 %offset, %index, " +
                       std::to_string(sizeof(Row)) +
                       ";\n"
                       "add.u64 %in, %in, %offset;\nadd.u64 %out, %out, %offset; }\n";
    for (std::size_t i = 0; i < one.inputs.size(); ++i) {
        const std::string name = "%a" + std::to_string(i);
        const std::string place = "[%in+" + std::to_string(8 * i) + "];\n";
        text += std::string(".reg .") + register_type(one.inputs[i]) + " " + name + ";\n";
        if (one.inputs[i] == Kind::kPredicate) {
            text += "ld.global.b32 %scratch, " + place + "setp.ne.u32 " + name + ", %scratch, 0;\n";
        } else {
            text +=
                std::string("ld.global.") + memory_type(one.inputs[i]) + " " + name + ", " + place;
        }
    }
    for (std::size_t i = 0; i < one.outputs.size(); ++i) {
        const std::string name = "%d" + std::to_string(i);
        text += std::string(".reg .") + register_type(one.outputs[i]) + " " + name + ";\n";
        const Kind kind = one.outputs[i];
        if (kind == Kind::kPredicate) {
            text += "setp.ne.u32 " + name + ", 0, 0;\n";
        } else {
            const bool is_float = kind == Kind::kF32 || kind == Kind::kUnit || kind == Kind::kF64;
            text += std::string("mov.") + register_type(kind) + " " + name + ", " +
                    (is_float ? "0d0000000000000000" : "0") + ";\n";
        }
    }
    text += one.code + "\n";
    for (std::size_t i = 0; i < one.outputs.size(); ++i) {
        const std::string place = "[%out+" + std::to_string(8 * i) + "]";
        std::string name = "%d" + std::to_string(i);
        if (one.outputs[i] == Kind::kPredicate) {
            text += "selp.b32 %scratch, 1, 0, " + name + ";\n";
            name = "%scratch";
        }
        text += std::string("st.global.") + memory_type(one.outputs[i]) + " " + place + ", " +
                name + ";\n";
    }
    return text + "ret;\n}\n";
}

double value_of(Kind kind, std::uint64_t bits) {
    switch (kind) {
        case Kind::kF16:
            return static_cast<double>(decode(kFormatF16, bits));
        case Kind::kBf16:
            return static_cast<double>(decode(kFormatBf16, bits));
        case Kind::kF32:
        case Kind::kUnit:
            return std::bit_cast<float>(static_cast<std::uint32_t>(bits));
        case Kind::kF64:
            return std::bit_cast<double>(bits);
        default:
            return 0;
    }
}

bool agree_value(double have, double want, const Tolerance& tolerance) {
    if (std::isnan(have) || std::isnan(want)) return std::isnan(have) && std::isnan(want);
    if (have == want) return std::signbit(have) == std::signbit(want) || tolerance.absolute > 0;
    if (std::isinf(want) || std::isinf(have)) return false;
    const double error = std::fabs(have - want);
    return error <= tolerance.absolute + tolerance.relative * std::fabs(want);
}

bool agree(Kind kind, std::uint64_t have, std::uint64_t want, const Tolerance& tolerance) {
    const unsigned bits = bits_of(kind);
    const std::uint64_t mask = bits == 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << bits) - 1;
    have &= mask;
    want &= mask;
    if (have == want) return true;
    switch (kind) {
        case Kind::kF16:
        case Kind::kBf16:
        case Kind::kF32:
        case Kind::kUnit:
        case Kind::kF64:
            return agree_value(value_of(kind, have), value_of(kind, want), tolerance);
        case Kind::kF16x2:
        case Kind::kBf16x2: {
            const Kind half = kind == Kind::kF16x2 ? Kind::kF16 : Kind::kBf16;
            return agree(half, have, want, tolerance) &&
                   agree(half, have >> 16, want >> 16, tolerance);
        }
        default:
            return false;
    }
}

void print_mismatch(const Case& one, std::size_t thread, std::size_t result, const Row& in,
                    std::uint64_t have, std::uint64_t want) {
    std::printf("    thread %zu:", thread);
    for (std::size_t i = 0; i < one.inputs.size(); ++i) {
        std::printf(" a%zu=%0*llx", i, static_cast<int>(bits_of(one.inputs[i]) / 4),
                    static_cast<unsigned long long>(in[i]));
    }
    const int width = static_cast<int>(bits_of(one.outputs[result]) / 4);
    std::printf(" -> d%zu=%0*llx, expected %0*llx\n", result, width,
                static_cast<unsigned long long>(have), width,
                static_cast<unsigned long long>(want));
}

// False, with what it prints, when the case fails.
bool run_case(Driver& driver, const Case& one, std::uint64_t seed) {
    std::seed_seq sequence(one.name.begin(), one.name.end());
    std::array<std::uint32_t, 2> mixed{};
    sequence.generate(mixed.begin(), mixed.end());
    std::mt19937_64 random(seed ^ mixed[0] ^ std::uint64_t{mixed[1]} << 32);
    const std::size_t count = std::size_t{one.blocks} * one.threads;
    Rows in = make_inputs(one.inputs, count, random);
    if (one.adjust) one.adjust(in);
    Rows want(count);
    one.reference(in, want);
    Rows have(count);
    for (Row& row : have) row.fill(0xcdcdcdcdcdcdcdcd);
    try {
        driver.run(kernel(one), one.blocks, one.threads, std::as_bytes(std::span(in)),
                   std::as_writable_bytes(std::span(have)));
    } catch (const std::exception& error) {
        std::printf("FAIL %s: %s\n", one.name.c_str(), error.what());
        return false;
    }
    unsigned mismatches = 0;
    for (std::size_t i = 0; i < count; ++i) {
        for (std::size_t k = 0; k < one.outputs.size(); ++k) {
            if (agree(one.outputs[k], have[i][k], want[i][k], one.tolerance)) continue;
            if (mismatches == 0) std::printf("FAIL %s\n", one.name.c_str());
            if (++mismatches <= kShownMismatches) {
                const std::uint64_t mask = ~std::uint64_t{0} >> (64 - bits_of(one.outputs[k]));
                print_mismatch(one, i, k, in[i], have[i][k] & mask, want[i][k] & mask);
            }
        }
    }
    if (mismatches > 0)
        std::printf("    %u of %zu results differ\n", mismatches, count * one.outputs.size());
    return mismatches == 0;
}

Cases all_cases() {
    Cases cases;
    add_integer_cases(cases);
    add_bit_cases(cases);
    add_carry_cases(cases);
    add_float_cases(cases);
    add_half_cases(cases);
    add_approximate_cases(cases);
    add_convert_cases(cases);
    add_compare_cases(cases);
    add_memory_cases(cases);
    add_atomic_cases(cases);
    add_warp_cases(cases);
    add_control_cases(cases);
    add_video_cases(cases);
    add_mma_cases(cases);
    add_wmma_cases(cases);
    add_matrix_cases(cases);
    add_async_cases(cases);
    add_bulk_cases(cases);
    add_packed_cases(cases);
    add_narrow_cases(cases);
    return cases;
}

int run(int argc, char** argv) {
    std::string library;
    std::string only;
    std::uint64_t seed = 1;
    bool list = false;
    bool show_ptx = false;
    for (int i = 1; i < argc; ++i) {
        const std::string argument = argv[i];
        if (argument == "--list") {
            list = true;
        } else if (argument == "--ptx") {
            show_ptx = true;
        } else if (argument == "--only" && i + 1 < argc) {
            only = argv[++i];
        } else if (argument == "--seed" && i + 1 < argc) {
            seed = std::strtoull(argv[++i], nullptr, 0);
        } else {
            library = argument;
        }
    }
    const Cases cases = all_cases();
    const auto chosen = [&](const Case& one) {
        return only.empty() || one.name.find(only) != std::string::npos;
    };
    if (list || show_ptx) {
        for (const Case& one : cases) {
            if (!chosen(one)) continue;
            std::printf("%s\n", list ? one.name.c_str() : kernel(one).c_str());
        }
        return 0;
    }
    if (library.empty()) {
        std::fprintf(stderr,
                     "usage: instruction-test LIBRARY [--only TEXT] [--seed NUMBER] [--list] "
                     "[--ptx]\n");
        return 2;
    }
    auto driver = std::make_unique<Driver>(library);
    std::printf("%s, compute capability %d, seed %llu\n", driver->device_name().c_str(),
                driver->compute_capability(), static_cast<unsigned long long>(seed));
    unsigned passed = 0;
    unsigned failed = 0;
    unsigned absent = 0;
    for (const Case& one : cases) {
        if (!chosen(one)) continue;
        if (one.needs > driver->compute_capability()) {
            ++absent;
        } else if (run_case(*driver, one, seed)) {
            ++passed;
        } else {
            ++failed;
        }
    }
    std::printf("%u cases passed, %u failed, %u are for newer devices\n", passed, failed, absent);
    return failed == 0 && passed > 0 ? 0 : 1;
}

}  // namespace
}  // namespace cubar::instruction

int main(int argc, char** argv) {
    try {
        return cubar::instruction::run(argc, argv);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "instruction-test: %s\n", error.what());
        return 2;
    }
}
