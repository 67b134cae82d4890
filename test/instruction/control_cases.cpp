// SPDX-License-Identifier: Apache-2.0
#include "test/instruction/case.h"

namespace cubar::instruction {
namespace {

using U64 = std::uint64_t;
using U32 = std::uint32_t;

U32 fibonacci(U32 n) {
    return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2);
}

void add_barriers(Cases& cases) {
    cases.push_back(
        {"bar.sync makes a block's stores visible",
         {Kind::kB32},
         {Kind::kB32},
         ".shared .b32 tile[256]; .reg .b64 %p, %q; .reg .b32 %t; mov.u32 %t, %tid.x;\n"
         "mul.wide.u32 %p, %t, 4; mov.u64 %q, tile; add.u64 %p, %p, %q;\n"
         "st.shared.u32 [%p], %a0; bar.sync 0; sub.u32 %t, 255, %t; mul.wide.u32 %p, %t, 4;\n"
         "add.u64 %p, %p, %q; ld.shared.u32 %d0, [%p];",
         [](const Rows& in, Rows& out) {
             for (std::size_t i = 0; i < in.size(); ++i) {
                 out[i][0] = in[i / 256 * 256 + 255 - i % 256][0];
             }
         }});
    cases.push_back(
        {"bar.sync of half a block",
         {Kind::kB32},
         {Kind::kB32},
         ".shared .b32 tile[256]; .reg .b64 %p, %q; .reg .b32 %t, %half; mov.u32 %t, %tid.x;\n"
         "mul.wide.u32 %p, %t, 4; mov.u64 %q, tile; add.u64 %p, %p, %q; shr.u32 %half, %t, 7;\n"
         "add.u32 %half, %half, 1; st.shared.u32 [%p], %a0; bar.sync %half, 128;\n"
         "xor.b32 %t, %t, 127; mul.wide.u32 %p, %t, 4; add.u64 %p, %p, %q;\n"
         "ld.shared.u32 %d0, [%p];",
         [](const Rows& in, Rows& out) {
             for (std::size_t i = 0; i < in.size(); ++i) out[i][0] = in[i ^ 127][0];
         }});
    cases.push_back({"bar.red",
                     {Kind::kPredicate},
                     {Kind::kB32, Kind::kPredicate, Kind::kPredicate},
                     "bar.red.popc.u32 %d0, 0, %a0; bar.red.and.pred %d1, 0, %a0;\n"
                     "bar.red.or.pred %d2, 0, !%a0;",
                     [](const Rows& in, Rows& out) {
                         for (std::size_t i = 0; i < in.size(); ++i) {
                             U64 count = 0;
                             const std::size_t first = i / 256 * 256;
                             for (std::size_t k = first; k < first + 256; ++k) count += in[k][0];
                             out[i][0] = count;
                             out[i][1] = count == 256;
                             out[i][2] = count != 256;
                         }
                     }});
}

void add_branches(Cases& cases) {
    cases.push_back({"a loop that each lane leaves at its own time",
                     {Kind::kB32},
                     {Kind::kB32},
                     ".reg .b32 %n; .reg .pred %more; and.b32 %n, %a0, 63; mov.b32 %d0, 0;\n"
                     "again: setp.ne.u32 %more, %n, 0; @!%more bra leave;\n"
                     "mad.lo.u32 %d0, %d0, 3, %n; sub.u32 %n, %n, 1; bra again; leave:",
                     per_thread([](const Row& a, Row& d) {
                         U32 sum = 0;
                         for (U32 n = a[0] & 63; n != 0; --n) sum = sum * 3 + n;
                         d[0] = sum;
                     })});
    cases.push_back(
        {"brx.idx",
         {Kind::kB32},
         {Kind::kB32},
         ".reg .b32 %n; and.b32 %n, %a0, 3; list: .branchtargets one, two, three, four;\n"
         "brx.idx %n, list; one: mov.b32 %d0, 10; bra leave; two: mov.b32 %d0, 20;\n"
         "three: add.u32 %d0, %d0, 30; bra leave; four: mov.b32 %d0, 40; leave:",
         per_thread([](const Row& a, Row& d) {
             static const U64 kResults[] = {10, 50, 30, 40};
             d[0] = kResults[a[0] & 3];
         })});
    cases.push_back({"nested divergence comes together again",
                     {Kind::kB32},
                     {Kind::kB32, Kind::kB32},
                     ".reg .pred %p, %q; .reg .b32 %x; and.b32 %x, %a0, 1; setp.ne.u32 %p, %x, 0;\n"
                     "and.b32 %x, %a0, 2; setp.ne.u32 %q, %x, 0; mov.b32 %d0, 0;\n"
                     "@!%p bra even; @%q bra three; mov.b32 %d0, 1; bra leave; three: mov.b32 %d0, "
                     "3; bra leave;\n"
                     "even: @%q bra two; bra leave; two: mov.b32 %d0, 2; leave: bar.warp.sync -1;\n"
                     "activemask.b32 %d1;",
                     per_thread([](const Row& a, Row& d) {
                         d[0] = a[0] & 3;
                         d[1] = 0xffffffff;
                     })});
    cases.push_back(
        {"exit of some lanes",
         {Kind::kB32},
         {Kind::kB32},
         ".reg .pred %odd; .reg .b32 %x; and.b32 %x, %index, 1; setp.ne.u32 %odd, %x, 0;\n"
         "st.global.u32 [%out], 77; @%odd exit; mov.b32 %d0, 5;",
         [](const Rows&, Rows& out) {
             for (std::size_t i = 0; i < out.size(); ++i) out[i][0] = i % 2 != 0 ? 77 : 5;
         }});
}

void add_calls(Cases& cases) {
    cases.push_back(
        {"call with parameters in memory",
         {Kind::kB32, Kind::kB64},
         {Kind::kB64},
         "{ .param .b32 x; .param .align 8 .b8 y[16]; .param .b64 r; st.param.b32 [x], %a0;\n"
         "st.param.b64 [y], %a1; st.param.b64 [y+8], 5; call (r), sum, (x, y);\n"
         "ld.param.b64 %d0, [r]; }",
         per_thread([](const Row& a, Row& d) { d[0] = a[0] + a[1] + 5; }),
         {},
         ".func (.param .b64 r) sum(.param .b32 a, .param .align 8 .b8 b[16]) {\n"
         ".reg .b32 %x; .reg .b64 %y, %z; ld.param.b32 %x, [a]; ld.param.b64 %y, [b];\n"
         "cvt.u64.u32 %z, %x; add.u64 %y, %y, %z; ld.param.b64 %z, [b+8];\n"
         "add.u64 %y, %y, %z; st.param.b64 [r], %y; ret; }\n"});
    cases.push_back({"call by some lanes with parameters in registers",
                     {Kind::kB32, Kind::kPredicate},
                     {Kind::kB32},
                     "mov.b32 %d0, 1; @!%a1 bra skip; call (%d0), triple, (%a0); skip:",
                     per_thread([](const Row& a, Row& d) { d[0] = a[1] != 0 ? U32(a[0]) * 3 : 1; }),
                     {},
                     ".func (.reg .u32 r) triple(.reg .u32 x) { mul.lo.u32 r, x, 3; ret; }\n"});
    cases.push_back(
        {"indirect call, divergent",
         {Kind::kB32, Kind::kB32},
         {Kind::kB32},
         ".reg .b64 %f, %g; .reg .pred %odd; .reg .b32 %x; and.b32 %x, %a1, 1;\n"
         "setp.ne.u32 %odd, %x, 0; mov.u64 %f, increment; mov.u64 %g, twice;\n"
         "selp.b64 %f, %f, %g, %odd;\n"
         "{ .param .b32 x; .param .b32 r; st.param.b32 [x], %a0;\n"
         "proto: .callprototype (.param .b32 _) _ (.param .b32 _);\n"
         "call (r), %f, (x), proto; ld.param.b32 %d0, [r]; }",
         per_thread(
             [](const Row& a, Row& d) { d[0] = (a[1] & 1) != 0 ? U32(a[0]) + 1 : U32(a[0]) * 2; }),
         {},
         ".func (.param .b32 r) increment(.param .b32 x) { .reg .b32 %x; ld.param.b32 %x, [x];\n"
         "add.u32 %x, %x, 1; st.param.b32 [r], %x; ret; }\n"
         ".func (.param .b32 r) twice(.param .b32 x) { .reg .b32 %x; ld.param.b32 %x, [x];\n"
         "shl.b32 %x, %x, 1; st.param.b32 [r], %x; ret; }\n"});
    cases.push_back(
        {"recursion, to another depth in each lane",
         {Kind::kB32},
         {Kind::kB32},
         "{ .param .b32 n; .param .b32 r; and.b32 %a0, %a0, 7; st.param.b32 [n], %a0;\n"
         "call (r), fibonacci, (n); ld.param.b32 %d0, [r]; }",
         per_thread([](const Row& a, Row& d) { d[0] = fibonacci(a[0] & 7); }),
         {},
         ".func (.param .b32 r) fibonacci(.param .b32 n) { .reg .b32 %n, %a, %b; .reg .pred %p;\n"
         "ld.param.b32 %n, [n]; setp.lt.u32 %p, %n, 2; mov.b32 %a, %n; @%p bra done;\n"
         "{ .param .b32 x; .param .b32 y; sub.u32 %a, %n, 1; st.param.b32 [x], %a;\n"
         "call (y), fibonacci, (x); ld.param.b32 %a, [y]; }\n"
         "{ .param .b32 x; .param .b32 y; sub.u32 %b, %n, 2; st.param.b32 [x], %b;\n"
         "call (y), fibonacci, (x); ld.param.b32 %b, [y]; }\n"
         "add.u32 %a, %a, %b; done: st.param.b32 [r], %a; ret; }\n"});
}

// Memory from the stack. `%n` is the number of words that the lane takes, from 1 to 8.
void add_allocations(Cases& cases) {
    const std::string take =
        ".reg .b64 %p, %q, %s, %size; .reg .b32 %n, %i, %v; .reg .pred %more;\n"
        "and.b32 %n, %a0, 7; add.u32 %n, %n, 1; mul.wide.u32 %size, %n, 4;\n";
    cases.push_back({"alloca of as much as each lane likes",
                     {Kind::kB32, Kind::kB32},
                     {Kind::kB32, Kind::kB32, Kind::kB64},
                     take + "alloca.u64 %p, %size, 16; alloca.u64 %q, %size, 32;\n"
                            "or.b64 %d2, %p, %q; and.b64 %d2, %d2, 15; and.b64 %s, %q, 31;\n"
                            "or.b64 %d2, %d2, %s; cvta.local.u64 %p, %p; mov.u32 %i, 0;\n"
                            "fill: add.u32 %v, %a1, %i; st.u32 [%p], %v; not.b32 %v, %v;\n"
                            "st.local.u32 [%q], %v; add.u64 %p, %p, 4; add.u64 %q, %q, 4;\n"
                            "add.u32 %i, %i, 1; setp.lt.u32 %more, %i, %n; @%more bra fill;\n"
                            "sum: sub.u64 %p, %p, 4; sub.u64 %q, %q, 4; ld.u32 %v, [%p];\n"
                            "add.u32 %d0, %d0, %v; ld.local.u32 %v, [%q]; add.u32 %d1, %d1, %v;\n"
                            "sub.u32 %i, %i, 1; setp.ne.u32 %more, %i, 0; @%more bra sum;",
                     per_thread([](const Row& a, Row& d) {
                         for (U32 i = 0; i < (a[0] & 7) + 1; ++i) {
                             const U32 value = static_cast<U32>(a[1]) + i;
                             d[0] = static_cast<U32>(d[0] + value);
                             d[1] = static_cast<U32>(d[1] + ~value);
                         }
                     })});
    // 300 times 256 bytes and more: none of it may be left over.
    const std::string loop = "mov.u32 %i, 0;\nagain: ";
    const std::string next = "add.u32 %i, %i, 1; setp.lt.u32 %more, %i, 300; @%more bra again;\n";
    cases.push_back({"stacksave and stackrestore",
                     {Kind::kB32},
                     {Kind::kB32, Kind::kB64},
                     take + "stacksave.u64 %s;\n" + loop +
                         "stackrestore.u64 %s; add.u64 %size, %size, 256;\n"
                         "alloca.u64 %p, %size; sub.u64 %size, %size, 256;\n"
                         "st.local.u32 [%p], %a0; ld.local.u32 %d0, [%p];\n" +
                         next + "stackrestore.u64 %s; stacksave.u64 %q; sub.u64 %d1, %q, %s;",
                     per_thread([](const Row& a, Row& d) { d[0] = a[0]; })});
    Case called{"what a function allocates goes when it returns",
                {Kind::kB32},
                {Kind::kB32},
                take + loop +
                    "{ .param .b32 give; .param .b32 take; add.u32 %v, %a0, %i;\n"
                    "st.param.b32 [give], %v; call (take), borrow, (give);\n"
                    "ld.param.b32 %v, [take]; add.u32 %d0, %d0, %v; }\n" +
                    next,
                per_thread([](const Row& a, Row& d) {
                    for (U32 i = 0; i < 300; ++i) {
                        const U32 value = static_cast<U32>(a[0]) + i;
                        d[0] = static_cast<U32>(d[0] + (value % 2 != 0 ? value : 7));
                    }
                })};
    called.prelude =
        ".func (.param .b32 out) borrow(.param .b32 in) {\n"
        ".reg .b64 %p; .reg .b32 %r, %o; .reg .pred %even;\n"
        "ld.param.b32 %r, [in]; alloca.u64 %p, 512; st.local.b32 [%p], %r;\n"
        "and.b32 %o, %r, 1; setp.eq.u32 %even, %o, 0; @%even bra other;\n"
        "ld.local.b32 %r, [%p]; st.param.b32 [out], %r; ret;\n"
        "other: st.param.b32 [out], 7; }\n";
    cases.push_back(called);
}

}  // namespace

void add_control_cases(Cases& cases) {
    add_allocations(cases);
    add_barriers(cases);
    add_branches(cases);
    add_calls(cases);
}

}  // namespace cubar::instruction
