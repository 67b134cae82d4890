// SPDX-License-Identifier: Apache-2.0
#include "test/instruction/case.h"
#include "test/instruction/integer.h"

namespace cubar::instruction {
namespace {

using U64 = std::uint64_t;

// A store of `type` to one thread's 64 bytes of a space, and a load back.
struct Place {
    const char* name;
    const char* setup;   // leaves the address in %p
    const char* suffix;  // of ld and st
};

const Place kPlaces[] = {
    {"shared",
     ".reg .b64 %p; .shared .align 64 .b8 tile[16384]; .reg .b32 %t; mov.u32 %t, %tid.x;\n"
     "mul.wide.u32 %p, %t, 64; .reg .b64 %base; mov.u64 %base, tile; add.u64 %p, %p, %base;",
     ".shared"},
    {"local", ".reg .b64 %p; .local .align 64 .b8 room[64]; mov.u64 %p, room;", ".local"},
    {"global", ".reg .b64 %p; add.u64 %p, %out, 0;", ".global"},
    {"generic shared",
     ".reg .b64 %p; .shared .align 64 .b8 tile[16384]; .reg .b32 %t; mov.u32 %t, %tid.x;\n"
     "mul.wide.u32 %p, %t, 64; .reg .b64 %base; cvta.shared.u64 %base, tile; add.u64 %p, %p, "
     "%base;",
     ""},
    {"generic local",
     ".reg .b64 %p; .local .align 64 .b8 room[64]; mov.u64 %p, room; cvta.local.u64 %p, %p;", ""},
    {"generic global", ".reg .b64 %p; cvta.global.u64 %p, %out;", ""},
};

void add_scalars(Cases& cases) {
    for (const Place& place : kPlaces) {
        for (const char* const access : {"", ".volatile", ".relaxed.gpu"}) {
            if (access[0] != 0 && std::string(place.suffix) == ".local") continue;
            for (const unsigned bits : {8u, 16u, 32u, 64u}) {
                for (const char letter : {'u', 's', 'b'}) {
                    const std::string type = letter + std::to_string(bits);
                    const std::string suffix = std::string(access) + place.suffix + "." + type;
                    const IntegerType as{"", bits, letter == 's'};
                    // A narrow load extends to the register, by the sign of a signed type.
                    cases.push_back({std::string("st") + access + ", ld" + access + " " +
                                         place.name + " " + type,
                                     {Kind::kB64},
                                     {Kind::kB64},
                                     std::string(place.setup) + "st" + suffix +
                                         " [%p+16], %a0;\nld" + suffix + " %d0, [%p+16];",
                                     per_thread([=](const Row& a, Row& d) {
                                         d[0] = static_cast<U64>(as.read(a[0]));
                                     })});
                }
            }
        }
    }
}

void add_vectors(Cases& cases) {
    for (const Place& place : kPlaces) {
        for (const unsigned count : {2u, 4u}) {
            for (const unsigned bits : {8u, 16u, 32u, 64u}) {
                if (count * bits > 128) continue;
                const std::string suffix = std::string(place.suffix) + ".v" +
                                           std::to_string(count) + ".u" + std::to_string(bits);
                const Kind kind = bits == 64 ? Kind::kB64 : bits == 32 ? Kind::kB32 : Kind::kB16;
                std::string from = "{%a0, %a1";
                std::string to = "{%d0, %d1";
                if (count == 4) {
                    from += ", %a2, %a3";
                    to += ", %d2, %d3";
                }
                const IntegerType as{"", bits, false};
                cases.push_back(
                    {"st, ld " + std::string(place.name) + suffix.substr(suffix.find(".v")),
                     std::vector<Kind>(count, kind), std::vector<Kind>(count, kind),
                     std::string(place.setup) + "st" + suffix + " [%p+16], " + from + "};\nld" +
                         suffix + " " + to + "}, [%p+16];",
                     per_thread([=](const Row& a, Row& d) {
                         for (unsigned i = 0; i < count; ++i) d[i] = as.cut(as.read(a[i]));
                     })});
            }
        }
    }
}

void add_addresses(Cases& cases) {
    struct Window {
        const char* name;
        const char* make;
        unsigned shared, local, global;
    };
    const Window windows[] = {
        {"shared", ".shared .b32 s; cvta.shared.u64 %p, s;", 1, 0, 0},
        {"local", ".local .b32 l; mov.u64 %p, l; cvta.local.u64 %p, %p;", 0, 1, 0},
        {"global", "cvta.global.u64 %p, %out;", 0, 0, 1},
    };
    for (const Window& window : windows) {
        cases.push_back(
            {std::string("cvta, isspacep of ") + window.name,
             {Kind::kB32},
             {Kind::kPredicate, Kind::kPredicate, Kind::kPredicate, Kind::kPredicate},
             std::string(".reg .b64 %p, %q, %r; ") + window.make +
                 "\nisspacep.shared %d0, %p; isspacep.local %d1, %p; isspacep.global %d2, %p;\n"
                 "cvta.to." +
                 window.name + ".u64 %q, %p; cvta." + window.name +
                 ".u64 %r, %q; setp.eq.u64 %d3, %p, %r;",
             per_thread([=](const Row&, Row& d) {
                 d[0] = window.shared;
                 d[1] = window.local;
                 d[2] = window.global;
                 d[3] = 1;
             })});
    }
    cases.push_back(
        {"ld.const and ld.global of initialised variables",
         {Kind::kB32},
         {Kind::kB32, Kind::kB32, Kind::kB32, Kind::kB64},
         ".reg .b64 %p, %q; and.b32 %a0, %a0, 3; mul.wide.u32 %p, %a0, 4; mov.u64 %q, table;\n"
         "add.u64 %q, %q, %p; ld.const.u32 %d0, [%q]; mov.u64 %q, words; add.u64 %q, %q, %p;\n"
         "ld.global.u32 %d1, [%q]; ld.const.u32 %d2, [table+8];\n"
         "ld.global.u64 %q, [pointer]; ld.u32 %d2, [%q]; ld.global.u64 %d3, [wide];",
         per_thread([](const Row& a, Row& d) {
             static const U64 kTable[] = {11, 22, 33, 44};
             static const U64 kWords[] = {5, 0xffffffff, 7, 0};
             d[0] = kTable[a[0] & 3];
             d[1] = kWords[a[0] & 3];
             d[2] = 7;
             d[3] = 0x0123456789abcdef;
         }),
         {},
         ".const .align 4 .u32 table[4] = {11, 22, 33, 44};\n"
         ".global .align 4 .u32 words[4] = {5, -1, 7};\n"
         ".global .align 8 .u64 pointer = generic(words)+8;\n"
         ".global .align 8 .b8 wide[8] = {0xef, 0xcd, 0xab, 137, 0x67, 0x45, 0x23, 1};\n"});
}

void add_moves(Cases& cases) {
    cases.push_back({"mov.b64 pack and unpack",
                     {Kind::kB32, Kind::kB32},
                     {Kind::kB64, Kind::kB32, Kind::kB32},
                     "mov.b64 %d0, {%a0, %a1}; mov.b64 {%d1, _}, %d0; mov.b64 {_, %d2}, %d0;",
                     per_thread([](const Row& a, Row& d) {
                         d[0] = a[0] | a[1] << 32;
                         d[1] = a[0];
                         d[2] = a[1];
                     })});
    cases.push_back({"mov.b32 and mov.b64 of 16-bit parts",
                     {Kind::kB16, Kind::kB16, Kind::kB16, Kind::kB16},
                     {Kind::kB32, Kind::kB64, Kind::kB16, Kind::kB16},
                     "mov.b32 %d0, {%a0, %a1}; mov.b64 %d1, {%a0, %a1, %a2, %a3};\n"
                     "mov.b32 {%d2, %d3}, %d0;",
                     per_thread([](const Row& a, Row& d) {
                         d[0] = a[0] | a[1] << 16;
                         d[1] = a[0] | a[1] << 16 | a[2] << 32 | a[3] << 48;
                         d[2] = a[0];
                         d[3] = a[1];
                     })});
    cases.push_back(
        {"special registers",
         {Kind::kB32},
         {Kind::kB32, Kind::kB32, Kind::kB32, Kind::kB32, Kind::kB32, Kind::kB32, Kind::kB32},
         "mov.u32 %d0, %tid.x; mov.u32 %d1, %ctaid.x; mov.u32 %d2, %ntid.x;\n"
         "mov.u32 %d3, %nctaid.x; mov.u32 %d4, %laneid; mov.u32 %d5, %lanemask_lt;\n"
         "mov.u32 %d6, %lanemask_ge;",
         [](const Rows& in, Rows& out) {
             for (std::size_t i = 0; i < in.size(); ++i) {
                 out[i][0] = i % 256;
                 out[i][1] = i / 256;
                 out[i][2] = 256;
                 out[i][3] = 4;
                 out[i][4] = i % 32;
                 out[i][5] = (U64{1} << (i % 32)) - 1;
                 out[i][6] = 0xffffffff & ~out[i][5];
             }
         }});
}

// The part of shared memory that belongs to the system lies apart from the program's.
void add_reserved_shared(Cases& cases) {
    Case one{"%reserved_smem_offset_1",
             {Kind::kB32},
             {Kind::kB32, Kind::kB32, Kind::kB32},
             ".shared .b32 tile[64]; .reg .b32 %t, %r, %p, %size; .reg .pred %below;\n"
             "mov.u32 %t, %tid.x; shl.b32 %t, %t, 2; mov.u32 %r, %reserved_smem_offset_1;\n"
             "add.u32 %r, %r, %t; mov.u32 %p, tile; add.u32 %p, %p, %t;\n"
             "st.shared.b32 [%r], %a0; not.b32 %a0, %a0; st.shared.b32 [%p], %a0; bar.sync 0;\n"
             "xor.b32 %r, %r, 4; xor.b32 %p, %p, 4;\n"
             "ld.shared.b32 %d0, [%r]; ld.shared.b32 %d1, [%p];\n"
             "mov.u32 %p, %reserved_smem_offset_begin; mov.u32 %size, "
             "%reserved_smem_offset_end;\n"
             "sub.u32 %size, %size, %p; mov.u32 %t, %reserved_smem_offset_cap;\n"
             "sub.u32 %size, %size, %t; sub.u32 %r, %r, %p; setp.lt.u32 %below, %r, %t;\n"
             "selp.b32 %d2, %size, 1, %below;",
             [](const Rows& in, Rows& out) {
                 for (std::size_t i = 0; i < in.size(); ++i) {
                     out[i][0] = in[i ^ 1][0];
                     out[i][1] = static_cast<std::uint32_t>(~in[i ^ 1][0]);
                 }
             }};
    one.needs = 80;
    one.threads = 64;
    cases.push_back(std::move(one));
}

}  // namespace

void add_memory_cases(Cases& cases) {
    add_reserved_shared(cases);
    add_scalars(cases);
    add_vectors(cases);
    add_addresses(cases);
    add_moves(cases);
    // Whatever the policies are, accesses accept them.
    Case policy{"createpolicy",
                {Kind::kB32},
                {Kind::kB32, Kind::kB32},
                ".reg .b64 %p, %q;\n"
                "createpolicy.fractional.L2::evict_last.L2::evict_unchanged.b64 %p, 0.5;\n"
                "createpolicy.range.global.L2::evict_last.b64 %q, [%in], 128, 256;\n"
                "ld.global.L2::cache_hint.b32 %d0, [%in], %p;\n"
                "st.global.L2::cache_hint.b32 [%out+64], %a0, %q;\n"
                "ld.global.b32 %d1, [%out+64];",
                per_thread([](const Row& a, Row& d) { d[0] = d[1] = a[0]; })};
    policy.needs = 80;
    cases.push_back(std::move(policy));
}

}  // namespace cubar::instruction
