// SPDX-License-Identifier: Apache-2.0
// What is expected is what ptxas 13.0 makes of these texts (size of .nv.global and
// .nv.global.init), unless it says otherwise.
#include <catch2/catch.hpp>
#include <chrono>
#include <cstdint>
#include <string>

#include "host/worker/ptx_variables.h"

using cubar::host::ptx_variable_bytes;

namespace {

constexpr std::uint64_t kTooMuch = UINT64_MAX;

std::string repeated(const std::string& text, std::size_t bytes) {
    std::string all;
    while (all.size() < bytes) all += text;
    return all;
}

}  // namespace

TEST_CASE("variables of PTX are counted as ptxas lays them out", "[ptx_variables]") {
    CHECK(ptx_variable_bytes("") == 0);
    CHECK(ptx_variable_bytes(".visible .global .align 4 .v4 .f32 b[2][3];") == 96);
    CHECK(ptx_variable_bytes(".visible .global .u32 a, b;") == 8);
    CHECK(ptx_variable_bytes(".visible .global .u32 e[] = {1,2,3};") == 12);
    CHECK(ptx_variable_bytes(".visible .global .b8 h[0x10U];") == 16);
    CHECK(ptx_variable_bytes(".global .b8 q[0B11];") == 3);
    CHECK(ptx_variable_bytes(".visible/**/.global/*.*/.u64 k[/* ] */010];") == 64);
    CHECK(ptx_variable_bytes(".visible.global.u64 k;") == 8);
    CHECK(ptx_variable_bytes(".global .attribute(.managed) .b8 x[64];") == 64);
    CHECK(ptx_variable_bytes(".global .f16x2 x[64];") == 256);
    CHECK(ptx_variable_bytes(".global .b128 x[64];") == 1024);
    CHECK(ptx_variable_bytes(".common .global .b8 cc[700];") == 700);
    CHECK(ptx_variable_bytes(".global .b8 x[WARP_SZ];") == 32);
    CHECK(ptx_variable_bytes(".global .b8\nx\n[\n100\n]\n;") == 100);
    CHECK(ptx_variable_bytes(".global .b8 a[4] = {1,2,3,4}, b[100], c;") == 105);
    CHECK(ptx_variable_bytes(".global .b8 a[4] = {1,2}, b[2][50]={{1,2},{3}};") == 104);
    CHECK(ptx_variable_bytes(".global .u64 a = 5, b[100];") == 808);
    CHECK(ptx_variable_bytes(".global .f64 a[2] = {0d3FF0000000000000, 1.5}, b[100];") == 816);
    CHECK(ptx_variable_bytes(".global .b8 a[1];.global .b8 b[2]; .visible .global .b8 c[4];") == 7);
    CHECK(ptx_variable_bytes(".entry k(){ L:.global .b8 q[100]; ret;}") == 100);
    // Sizes that no GPU has.
    CHECK(ptx_variable_bytes(".global .b8 x[18446744073709551615];") == kTooMuch);
    CHECK(ptx_variable_bytes(".global .b8 x[99999999999999999999];") == kTooMuch);
    CHECK(ptx_variable_bytes(".global .b8 x[4294967296][4294967296];") == kTooMuch);
    CHECK(ptx_variable_bytes(".global .b8 x[18446744073709551615], y;") == kTooMuch);
    // Two rows for ptxas, three at the most for us.
    CHECK(ptx_variable_bytes(".global .b8 a[][50]={{1,2},{3}};") == 150);
    // Expressions, which ptxas refuses and softgpu computes.
    CHECK(ptx_variable_bytes(".global .b8 x[100*1024];") == kTooMuch);
    CHECK(ptx_variable_bytes(".global .b8 x[(16)];") == kTooMuch);
}

TEST_CASE("no text hides a variable of PTX", "[ptx_variables]") {
    CHECK(ptx_variable_bytes(".file 1 \"a\\\" .global .b8 q[100]; // \"") == 100);
    CHECK(ptx_variable_bytes(".file 1 \"//\" .global .b8 q[100];") == 100);
    CHECK(ptx_variable_bytes(".file 1 \"/*\" .global .b8 q[100];") == 100);
    CHECK(ptx_variable_bytes("/* /* */ .global .b8 q[100]; // */") == 100);
    CHECK(ptx_variable_bytes("// foo \\\n.global .b8 q[100];") == 100);
    CHECK(ptx_variable_bytes(".target sm_80, texmode_unified\n.global .b8 q[100];") == 100);
    CHECK(ptx_variable_bytes(".loc 1 2 3\n.global .b8 q[100];") == 100);
    CHECK(ptx_variable_bytes("// .global .b8 a = {\n.global .b8 q[100];") == 100);
    CHECK(ptx_variable_bytes(".target sm_80.global.b8 q[100];") == 100);
    // An instruction that looks like one.
    CHECK(ptx_variable_bytes("cvta.to.global.u64 %rd1, %rd2;") == 16);
}

TEST_CASE("what only looks like a variable of PTX takes nothing", "[ptx_variables]") {
    CHECK(ptx_variable_bytes("ld.global.u32 %r1, [%rd1];") == 0);
    CHECK(ptx_variable_bytes(".loc 1 2 3 ld.weak.global.v4.u32 {%r1, %r2, %r3, %r4}, [%rd1];") ==
          0);
    CHECK(ptx_variable_bytes("ld .global .u32 %r, [%rd];") == 0);
    CHECK(ptx_variable_bytes(".entry k(.param .u64 .ptr .global .align 4 p) { ret; }") == 0);
    CHECK(ptx_variable_bytes(".extern .global .b8 x[];") == 0);
    CHECK(ptx_variable_bytes(".globalised .b8 x[7];") == 0);
    CHECK(ptx_variable_bytes(".const .b8 z[100]; .shared .b8 s[100];") == 0);
    CHECK(ptx_variable_bytes(".global") == 0);
    CHECK(ptx_variable_bytes("// see .global table[count];") == 0);
    CHECK(ptx_variable_bytes(".global .b8 x[7]") == 0);  // no end: ptxas refuses it
}

TEST_CASE("hostile PTX is counted in time that grows with its length", "[ptx_variables]") {
    constexpr std::size_t kBytes = std::size_t{8} << 20;
    const auto begin = std::chrono::steady_clock::now();
    for (const char* text : {".global ", ".global .b8 x={", ".global /* ", ".global //", ".global(",
                             ".global.", "a.global", ".global .b8 x,", ".global .b8 x[1][1"}) {
        INFO(text);
        const std::uint64_t bytes = ptx_variable_bytes(repeated(text, kBytes));
        CHECK((bytes == 0 || bytes == kTooMuch));
    }
    // Quadratic, each of them would take hours.
    CHECK(std::chrono::steady_clock::now() - begin < std::chrono::minutes(1));
}
