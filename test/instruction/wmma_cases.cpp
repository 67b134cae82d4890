// SPDX-License-Identifier: Apache-2.0
// wmma.load, .mma and .store: fragments have no documented layout, so a whole product is computed
// from matrices in memory to a matrix in memory. A warp's operands, taken as bytes, are the
// matrices; its results are the product.
#include "test/instruction/matrix_values.h"

namespace cubar::instruction {
namespace {

// In a warp's bytes.
constexpr unsigned kPlaceA = 0;
constexpr unsigned kPlaceB = 1536;
constexpr unsigned kPlaceC = 3072;
constexpr unsigned kRowBytes = sizeof(Row);
constexpr unsigned kWarpBytes = 32 * kRowBytes;
static_assert(kPlaceC + 32 * 8 * 4 <= kWarpBytes);

struct Product {
    unsigned m, n, k;
    Element d, a, b, c;
    unsigned pad;  // elements between lines of A and B
    unsigned registers_a, registers_b;
    bool a_row = true, b_row = false, c_row = true, d_row = true;
    bool saturate = false, exclusive_or = false;

    std::string shape() const {
        return "m" + std::to_string(m) + "n" + std::to_string(n) + "k" + std::to_string(k);
    }
    unsigned stride_a() const { return (a_row ? k : m) + pad; }
    unsigned stride_b() const { return (b_row ? n : k) + pad; }
    unsigned registers_c(const Element& element) const {
        const unsigned unit = element.bits == 64 ? 64 : 32;
        return m * n * element.bits / 32 / unit;
    }
};

// Element (line, across) of a matrix at `place` bytes of the warp's rows.
U64 get(const Row* rows, unsigned place, unsigned index, unsigned bits) {
    const unsigned at = place * 8 + index * bits;
    return Bits::get(rows[at / (8 * kRowBytes)], at % (8 * kRowBytes), bits);
}

void set(Row* rows, unsigned index, unsigned bits, U64 value) {
    const unsigned at = index * bits;
    Bits::set(rows[at / (8 * kRowBytes)], at % (8 * kRowBytes), bits, value);
}

unsigned index_of(bool by_rows, unsigned row, unsigned column, unsigned stride) {
    return by_rows ? row * stride + column : column * stride + row;
}

void multiply(const Product& one, const Row* in, Row* out) {
    for (int lane = 0; lane < 32; ++lane) out[lane].fill(0xcdcdcdcdcdcdcdcd);
    for (unsigned row = 0; row < one.m; ++row) {
        for (unsigned column = 0; column < one.n; ++column) {
            const unsigned c = index_of(one.c_row, row, column, one.c_row ? one.n : one.m);
            Quad sum = value_of(one.c, get(in, kPlaceC, c, one.c.bits));
            for (unsigned k = 0; k < one.k; ++k) {
                const unsigned a = index_of(one.a_row, row, k, one.stride_a());
                const unsigned b = index_of(one.b_row, k, column, one.stride_b());
                const Quad x = value_of(one.a, get(in, kPlaceA, a, one.a.bits));
                const Quad y = value_of(one.b, get(in, kPlaceB, b, one.b.bits));
                sum += one.exclusive_or ? (x != y ? 1 : 0) : x * y;
            }
            const unsigned d = index_of(one.d_row, row, column, one.d_row ? one.n : one.m);
            set(out, d, one.d.bits, encode_result(one.d, one.saturate, sum));
        }
    }
}

void tame_bytes(const Element& element, Row* rows, unsigned begin, unsigned end) {
    for (unsigned at = begin * 8; at < end * 8; at += element.bits) {
        Row& row = rows[at / (8 * kRowBytes)];
        const unsigned place = at % (8 * kRowBytes);
        Bits::set(row, place, element.bits,
                  tame(element, true, Bits::get(row, place, element.bits)));
    }
}

std::string load_of(const Product& one, char matrix, const Element& element, bool by_rows,
                    const std::string& to, unsigned place, unsigned stride) {
    return std::string("wmma.load.") + matrix + ".sync.aligned." + (by_rows ? "row." : "col.") +
           one.shape() + ".global." + element.name + " " + to + ", [%warp_in+" +
           std::to_string(place) + "], " + std::to_string(stride) + ";\n";
}

void add_product(Cases& cases, const Product& one, int needs) {
    const bool wide = one.a.bits == 64;
    const std::string a = list_of("%x", 0, one.registers_a);
    const std::string b = list_of("%y", 0, one.registers_b);
    const std::string c = list_of("%u", 0, one.registers_c(one.c));
    const std::string d = list_of("%v", 0, one.registers_c(one.d));
    std::string types = std::string(".") + one.d.name;
    if (one.a.bits != 16 || one.a.name[0] == 'b') {
        types += std::string(".") + one.a.name + "." + one.b.name;
    }
    types += std::string(".") + one.c.name;
    std::string name = "wmma.mma.";
    if (one.a.kind == Class::kBits) name += one.exclusive_or ? "xor.popc." : "and.popc.";
    name += std::string("sync.aligned.") + (one.a_row ? "row." : "col.") +
            (one.b_row ? "row." : "col.") + one.shape() + (wide ? ".rn" : "") + types +
            (one.saturate ? ".satfinite" : "");
    const char* const kind = wide ? ".reg .f64 " : ".reg .b32 ";
    std::string code =
        std::string(kind) + "%x<8>, %y<8>, %u<8>, %v<8>;\n" +
        ".reg .b64 %warp_in, %warp_out; { .reg .b32 %l; .reg .b64 %o; and.b32 %l, %index, 31;\n"
        "mul.wide.u32 %o, %l, " +
        std::to_string(kRowBytes) + "; sub.u64 %warp_in, %in, %o; sub.u64 %warp_out, %out, %o; }\n";
    code += load_of(one, 'a', one.a, one.a_row, a, kPlaceA, one.stride_a());
    code += load_of(one, 'b', one.b, one.b_row, b, kPlaceB, one.stride_b());
    code += load_of(one, 'c', one.c, one.c_row, c, kPlaceC, one.c_row ? one.n : one.m);
    code += name + " " + d + ", " + a + ", " + b + ", " + c + ";\n";
    code += std::string("wmma.store.d.sync.aligned.") + (one.d_row ? "row." : "col.") +
            one.shape() + ".global." + one.d.name + " [%warp_out], " + d +
            (one.d_row ? "" : ", " + std::to_string(one.m)) + ";\nbar.warp.sync -1;\n";
    for (unsigned i = 0; i < kMaxOperands; ++i) {
        const std::string number = std::to_string(i);
        code += "ld.global.b64 %d" + number + ", [%out+" + std::to_string(8 * i) + "];\n";
    }
    Case added{name + (one.c_row ? "" : ", c.col") + (one.d_row ? "" : ", d.col"),
               std::vector<Kind>(kMaxOperands, Kind::kB64),
               std::vector<Kind>(kMaxOperands, Kind::kB64), code,
               per_warp([one](const Row* in, Row* out) { multiply(one, in, out); })};
    added.adjust = [one](Rows& in) {
        for (std::size_t warp = 0; warp < in.size(); warp += 32) {
            tame_bytes(one.a, &in[warp], kPlaceA, kPlaceB);
            tame_bytes(one.b, &in[warp], kPlaceB, kPlaceC);
            tame_bytes(one.c, &in[warp], kPlaceC, kWarpBytes);
        }
    };
    added.needs = needs;
    added.blocks = 1;
    added.threads = 64;
    cases.push_back(std::move(added));
}

void add_layouts(Cases& cases, Product one, int needs) {
    for (unsigned bits = 0; bits < 16; ++bits) {
        one.a_row = (bits & 1) == 0;
        one.b_row = (bits & 2) != 0;
        one.c_row = (bits & 4) == 0;
        one.d_row = (bits & 8) == 0;
        // Elements of less than a byte lie along k.
        if (one.a.bits < 8 && (!one.a_row || one.b_row)) continue;
        add_product(cases, one, needs);
    }
}

struct Size {
    unsigned m, n, bf16_a, bf16_b, s8_a, s8_b;
};

}  // namespace

void add_wmma_cases(Cases& cases) {
    for (const Size& size :
         {Size{16, 16, 4, 4, 2, 2}, Size{32, 8, 8, 2, 4, 1}, Size{8, 32, 2, 8, 1, 4}}) {
        for (const Element& d : {kF16, kF32}) {
            for (const Element& c : {kF16, kF32}) {
                add_layouts(cases, {size.m, size.n, 16, d, kF16, kF16, c, 8, 8, 8}, 75);
            }
        }
        add_layouts(
            cases, {size.m, size.n, 16, kF32, kBf16, kBf16, kF32, 8, size.bf16_a, size.bf16_b}, 80);
        for (const Element& type : {kU8, kS8}) {
            Product one{size.m, size.n, 16, kS32, type, type, kS32, 16, size.s8_a, size.s8_b};
            add_layouts(cases, one, 75);
            one.saturate = true;
            add_product(cases, one, 75);
        }
    }
    add_layouts(cases, {16, 16, 8, kF32, kTf32, kTf32, kF32, 4, 4, 4}, 80);
    add_layouts(cases, {8, 8, 4, kF64, kF64, kF64, kF64, 2, 1, 1}, 80);
    for (const Element& type : {kU4, kS4}) {
        add_layouts(cases, {8, 8, 32, kS32, type, type, kS32, 32, 1, 1}, 75);
    }
    Product bits{8, 8, 128, kS32, kB1, kB1, kS32, 128, 1, 1};
    add_layouts(cases, bits, 80);
    bits.exclusive_or = true;
    add_layouts(cases, bits, 75);
}

}  // namespace cubar::instruction
