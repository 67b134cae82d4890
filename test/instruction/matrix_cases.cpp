// SPDX-License-Identifier: Apache-2.0
// ldmatrix, stmatrix and movmatrix, and mma.m8n8k4, whose fragments are unlike all others.
#include "test/instruction/matrix_values.h"

namespace cubar::instruction {
namespace {

// %mine is the thread's place of 16 bytes in shared memory, %row another thread's of its warp.
constexpr const char* kPlaces =
    ".shared .align 16 .b8 tile[1024]; .reg .b32 %mine, %row, %t; mov.u32 %t, %tid.x;\n"
    "shl.b32 %mine, %t, 4; xor.b32 %row, %t, 5; shl.b32 %row, %row, 4;\n"
    "mov.u32 %t, tile; add.u32 %mine, %mine, %t; add.u32 %row, %row, %t;\n";

constexpr int kOtherLane = 5;  // as above

U64 half_of(const U64* words, int index) {
    return words[index / 4] >> (16 * (index % 4)) & 0xffff;
}

// Which element of which row the ISA puts in half `half` of lane `lane`.
struct Element16 {
    int row, column;
};

Element16 element_of(bool transposed, int lane, int half) {
    const Element16 at{lane / 4, lane % 4 * 2 + half};
    return transposed ? Element16{at.column, at.row} : at;
}

void add_loads(Cases& cases, int count, bool transposed, bool generic) {
    const std::string name = "ldmatrix.sync.aligned.m8n8.x" + std::to_string(count) +
                             (transposed ? ".trans" : "") + (generic ? "" : ".shared") + ".b16";
    const std::string place =
        generic ? ".reg .b64 %p; cvt.u64.u32 %p, %row; cvta.shared.u64 %p, %p;\n" : "";
    Case one{name,
             {Kind::kB64, Kind::kB64},
             std::vector<Kind>(static_cast<std::size_t>(count), Kind::kB32),
             kPlaces + place +
                 "st.shared.b64 [%mine], %a0; st.shared.b64 [%mine+8], %a1;\n"
                 "bar.warp.sync -1;\n" +
                 name + " " + list_of("%d", 0, unsigned(count)) +
                 (generic ? ", [%p];" : ", [%row];"),
             per_warp([=](const Row* in, Row* out) {
                 for (int lane = 0; lane < 32; ++lane) {
                     for (int matrix = 0; matrix < count; ++matrix) {
                         U64 result = 0;
                         for (int half = 0; half < 2; ++half) {
                             const Element16 at = element_of(transposed, lane, half);
                             const int from = (matrix * 8 + at.row) ^ kOtherLane;
                             result |= half_of(in[from].data(), at.column) << (16 * half);
                         }
                         out[lane][static_cast<std::size_t>(matrix)] = result;
                     }
                 }
             })};
    one.blocks = 2;
    one.threads = 64;
    cases.push_back(one);
}

void add_stores(Cases& cases, int count, bool transposed) {
    const std::string name = "stmatrix.sync.aligned.m8n8.x" + std::to_string(count) +
                             (transposed ? ".trans" : "") + ".shared.b16";
    Case one{name,
             std::vector<Kind>(static_cast<std::size_t>(count), Kind::kB32),
             {Kind::kB64, Kind::kB64},
             kPlaces +
                 std::string("st.shared.b64 [%mine], 7; st.shared.b64 [%mine+8], 7;\n"
                             "bar.warp.sync -1;\n") +
                 name + " [%row], " + list_of("%a", 0, unsigned(count)) +
                 ";\nbar.warp.sync -1; ld.shared.b64 %d0, [%mine]; ld.shared.b64 %d1, [%mine+8];",
             per_warp([=](const Row* in, Row* out) {
                 for (int lane = 0; lane < 32; ++lane) {
                     out[lane][0] = 7;
                     out[lane][1] = 7;
                 }
                 for (int matrix = 0; matrix < count; ++matrix) {
                     for (int row = 0; row < 8; ++row) {
                         Row& to = out[(matrix * 8 + row) ^ kOtherLane];
                         to[0] = 0;
                         to[1] = 0;
                     }
                     for (int lane = 0; lane < 32; ++lane) {
                         for (int half = 0; half < 2; ++half) {
                             const Element16 at = element_of(transposed, lane, half);
                             Row& to = out[(matrix * 8 + at.row) ^ kOtherLane];
                             const U64 value =
                                 in[lane][static_cast<std::size_t>(matrix)] >> (16 * half) & 0xffff;
                             to[static_cast<std::size_t>(at.column / 4)] |= value
                                                                            << (at.column % 4 * 16);
                         }
                     }
                 }
             })};
    one.needs = 90;
    one.blocks = 2;
    one.threads = 64;
    cases.push_back(one);
}

void add_movement(Cases& cases) {
    cases.push_back({"movmatrix.sync.aligned.m8n8.trans.b16",
                     {Kind::kB32},
                     {Kind::kB32},
                     "movmatrix.sync.aligned.m8n8.trans.b16 %d0, %a0;",
                     per_warp([](const Row* in, Row* out) {
                         for (int lane = 0; lane < 32; ++lane) {
                             U64 result = 0;
                             for (int half = 0; half < 2; ++half) {
                                 const Element16 at = element_of(true, lane, half);
                                 const U64 word = in[at.row * 4 + at.column / 2][0];
                                 result |= (word >> (16 * (at.column % 2)) & 0xffff) << (16 * half);
                             }
                             out[lane][0] = result;
                         }
                     })});
}

// mma.m8n8k4 of f16: threads 4 q to 4 q + 3 and 16 above make product q.
struct Quads {
    bool a_row, b_row, c_half, d_half;
};

Element16 factor_a(bool row, int lane, int i) {
    if (row) return {lane < 16 ? lane % 4 : lane % 4 + 4, i};
    return {lane < 16 ? i % 4 : i % 4 + 4, lane % 4};
}

Element16 factor_b(bool row, int lane, int i) {
    if (row) return {lane % 4, lane < 16 ? i : i + 4};
    return {i, lane < 16 ? lane % 4 : lane % 4 + 4};
}

Element16 quad_sum(bool half, int lane, int i) {
    if (half) return {lane < 16 ? lane % 4 : lane % 4 + 4, i};
    const int x = (lane & 1) + (i & 2);
    return {lane < 16 ? x : x + 4, (i & 4) + (lane & 2) + (i & 1)};
}

void multiply_quads(const Quads& quads, const Row* in, Row* out) {
    const Element& c_element = quads.c_half ? kF16 : kF32;
    const Element& d_element = quads.d_half ? kF16 : kF32;
    Quad a[4][8][4];
    Quad b[4][4][8];
    Quad c[4][8][8];
    for (int lane = 0; lane < 32; ++lane) {
        const int q = lane % 16 / 4;
        for (int i = 0; i < 4; ++i) {
            const Element16 in_a = factor_a(quads.a_row, lane, i);
            a[q][in_a.row][in_a.column] = value_of(kF16, Bits::get(in[lane], unsigned(i) * 16, 16));
            const Element16 in_b = factor_b(quads.b_row, lane, i);
            b[q][in_b.row][in_b.column] =
                value_of(kF16, Bits::get(in[lane], 64 + unsigned(i) * 16, 16));
        }
        for (int i = 0; i < 8; ++i) {
            const Element16 in_c = quad_sum(quads.c_half, lane, i);
            c[q][in_c.row][in_c.column] = value_of(
                c_element, Bits::get(in[lane], 128 + unsigned(i) * c_element.bits, c_element.bits));
        }
    }
    for (int lane = 0; lane < 32; ++lane) {
        const int q = lane % 16 / 4;
        Row result{};
        for (int i = 0; i < 8; ++i) {
            const Element16 at = quad_sum(quads.d_half, lane, i);
            Quad sum = c[q][at.row][at.column];
            for (int k = 0; k < 4; ++k) sum += a[q][at.row][k] * b[q][k][at.column];
            Bits::set(result, unsigned(i) * d_element.bits, d_element.bits,
                      encode_result(d_element, false, sum));
        }
        for (unsigned i = 0; i < (quads.d_half ? 4u : 8u); ++i) {
            out[lane][i] = Bits::get(result, 32 * i, 32);
        }
    }
}

void add_quads(Cases& cases, const Quads& quads) {
    const std::string name = std::string("mma.sync.aligned.m8n8k4.") +
                             (quads.a_row ? "row." : "col.") + (quads.b_row ? "row." : "col.") +
                             (quads.d_half ? "f16" : "f32") + ".f16.f16." +
                             (quads.c_half ? "f16" : "f32");
    const unsigned words = quads.c_half ? 4 : 6;
    const unsigned results = quads.d_half ? 4 : 8;
    std::string code = ".reg .b32 %x<12>;\n";
    for (unsigned i = 0; i < words; ++i) {
        code += "mov.b64 " + list_of("%x", 2 * i, 2) + ", %a" + std::to_string(i) + ";\n";
    }
    code += name + " " + list_of("%d", 0, results) + ", " + list_of("%x", 0, 2) + ", " +
            list_of("%x", 2, 2) + ", " + list_of("%x", 4, quads.c_half ? 4 : 8) + ";";
    Case one{name, std::vector<Kind>(words, Kind::kB64), std::vector<Kind>(results, Kind::kB32),
             code, per_warp([=](const Row* in, Row* out) { multiply_quads(quads, in, out); })};
    one.adjust = [=](Rows& in) {
        const Element& c = quads.c_half ? kF16 : kF32;
        for (Row& row : in) {
            for (unsigned at = 0; at < 128; at += 16) {
                Bits::set(row, at, 16, tame(kF16, true, Bits::get(row, at, 16)));
            }
            for (unsigned at = 128; at < words * 64; at += c.bits) {
                Bits::set(row, at, c.bits, tame(c, true, Bits::get(row, at, c.bits)));
            }
        }
    };
    one.blocks = 1;
    one.threads = 64;
    cases.push_back(one);
}

}  // namespace

void add_matrix_cases(Cases& cases) {
    for (const int count : {1, 2, 4}) {
        for (const bool transposed : {false, true}) {
            add_loads(cases, count, transposed, false);
            add_stores(cases, count, transposed);
        }
    }
    add_loads(cases, 4, false, true);
    add_movement(cases);
    for (unsigned bits = 0; bits < 16; ++bits) {
        const Quads quads{(bits & 1) != 0, (bits & 2) != 0, (bits & 4) != 0, (bits & 8) != 0};
        // There is no product of f16 that adds f32.
        if (quads.c_half || !quads.d_half) add_quads(cases, quads);
    }
}

}  // namespace cubar::instruction
