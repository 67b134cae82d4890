// SPDX-License-Identifier: Apache-2.0
// mma on fragments as the tables of the PTX ISA lay them out: the inputs' bits are taken for
// fragments, put together to matrices, multiplied on the host and spread over the lanes again.
#include "test/instruction/case.h"
#include "test/instruction/matrix_values.h"

namespace cubar::instruction {
namespace {

struct At {
    int row, column;
};
using Table = At (*)(int g, int t, int i);

struct Layout {
    const char* shape;
    int m, n, k;
    unsigned bits;  // of an element of A and B
    Table a, b;
};

// g is groupID = laneid / 4, t is threadID_in_group = laneid % 4; i counts a lane's elements.
At accumulator(int g, int t, int i) {
    return {i < 2 ? g : g + 8, t * 2 + (i & 1)};
}

constexpr Layout kLayouts[] = {
    {"m8n8k16", 8, 8, 16, 8,
     [](int g, int t, int i) {
         return At{g, t * 4 + i};
     },
     [](int g, int t, int i) {
         return At{t * 4 + i, g};
     }},
    {"m8n8k32", 8, 8, 32, 4,
     [](int g, int t, int i) {
         return At{g, t * 8 + i};
     },
     [](int g, int t, int i) {
         return At{t * 8 + i, g};
     }},
    {"m8n8k128", 8, 8, 128, 1,
     [](int g, int t, int i) {
         return At{g, t * 32 + i};
     },
     [](int g, int t, int i) {
         return At{t * 32 + i, g};
     }},
    {"m8n8k4", 8, 8, 4, 64,
     [](int g, int t, int) {
         return At{g, t};
     },
     [](int g, int t, int) {
         return At{t, g};
     }},
    {"m16n8k4", 16, 8, 4, 64,
     [](int g, int t, int i) {
         return At{i == 0 ? g : g + 8, t};
     },
     [](int g, int t, int) {
         return At{t, g};
     }},
    {"m16n8k8", 16, 8, 8, 64,
     [](int g, int t, int i) {
         return At{i == 0 || i == 2 ? g : g + 8, i < 2 ? t : t + 4};
     },
     [](int g, int t, int i) {
         return At{i == 0 ? t : t + 4, g};
     }},
    {"m16n8k16", 16, 8, 16, 64,
     [](int g, int t, int i) {
         return i % 2 == 0 ? At{g, i * 2 + t} : At{g + 8, i * 2 - 2 + t};
     },
     [](int g, int t, int i) {
         return At{i * 4 + t, g};
     }},
    {"m16n8k4", 16, 8, 4, 32,
     [](int g, int t, int i) {
         return At{i == 0 ? g : g + 8, t};
     },
     [](int g, int t, int) {
         return At{t, g};
     }},
    {"m16n8k8", 16, 8, 8, 32,
     [](int g, int t, int i) {
         return At{i == 0 || i == 2 ? g : g + 8, i < 2 ? t : t + 4};
     },
     [](int g, int t, int i) {
         return At{i == 0 ? t : t + 4, g};
     }},
    {"m16n8k8", 16, 8, 8, 16,
     [](int g, int t, int i) {
         return At{i < 2 ? g : g + 8, t * 2 + (i & 1)};
     },
     [](int g, int t, int i) {
         return At{t * 2 + i, g};
     }},
    {"m16n8k16", 16, 8, 16, 16,
     [](int g, int t, int i) {
         return At{i < 2 || (i >= 4 && i < 6) ? g : g + 8, t * 2 + (i & 1) + (i < 4 ? 0 : 8)};
     },
     [](int g, int t, int i) {
         return At{t * 2 + (i & 1) + (i < 2 ? 0 : 8), g};
     }},
    {"m16n8k16", 16, 8, 16, 8,
     [](int g, int t, int i) {
         return At{i < 4 ? g : g + 8, t * 4 + (i & 3)};
     },
     [](int g, int t, int i) {
         return At{t * 4 + i, g};
     }},
    {"m16n8k32", 16, 8, 32, 8,
     [](int g, int t, int i) {
         return At{i < 4 || (i >= 8 && i < 12) ? g : g + 8, t * 4 + (i & 3) + (i < 8 ? 0 : 16)};
     },
     [](int g, int t, int i) {
         return At{t * 4 + (i & 3) + (i < 4 ? 0 : 16), g};
     }},
    {"m16n8k32", 16, 8, 32, 4,
     [](int g, int t, int i) {
         return At{i < 8 ? g : g + 8, t * 8 + (i & 7)};
     },
     [](int g, int t, int i) {
         return At{t * 8 + i, g};
     }},
    {"m16n8k64", 16, 8, 64, 4,
     [](int g, int t, int i) {
         return At{i < 8 || (i >= 16 && i < 24) ? g : g + 8, t * 8 + (i & 7) + (i < 16 ? 0 : 32)};
     },
     [](int g, int t, int i) {
         return At{t * 8 + (i & 7) + (i < 8 ? 0 : 32), g};
     }},
    {"m16n8k128", 16, 8, 128, 1,
     [](int g, int t, int i) {
         return At{i < 32 ? g : g + 8, t * 32 + (i & 31)};
     },
     [](int g, int t, int i) {
         return At{t * 32 + i, g};
     }},
    {"m16n8k256", 16, 8, 256, 1,
     [](int g, int t, int i) {
         return At{i < 32 || (i >= 64 && i < 96) ? g : g + 8,
                   t * 32 + (i & 31) + (i < 64 ? 0 : 128)};
     },
     [](int g, int t, int i) {
         return At{t * 32 + (i & 31) + (i < 32 ? 0 : 128), g};
     }},
};

struct Form {
    Layout layout;
    Element d, a, b, c;
    std::string suffix;  // after the types' place: .satfinite goes before
    bool saturate = false;
    bool exclusive_or = false;
    bool exact = true;

    unsigned count_a() const { return unsigned(layout.m * layout.k) / 32; }
    unsigned count_b() const { return unsigned(layout.n * layout.k) / 32; }
    unsigned count_c() const { return unsigned(layout.m * layout.n) / 32; }
    unsigned bits_a() const { return count_a() * a.bits; }
    unsigned bits_b() const { return count_b() * b.bits; }
    unsigned bits_c() const { return count_c() * c.bits; }
};

void multiply(const Form& form, const Row* in, Row* out) {
    const Layout& layout = form.layout;
    std::vector<std::vector<Quad>> a(static_cast<std::size_t>(layout.m),
                                     std::vector<Quad>(static_cast<std::size_t>(layout.k)));
    std::vector<std::vector<Quad>> b(static_cast<std::size_t>(layout.k),
                                     std::vector<Quad>(static_cast<std::size_t>(layout.n)));
    const auto entry = [](std::vector<std::vector<Quad>>& matrix, At at) -> Quad& {
        return matrix.at(static_cast<std::size_t>(at.row)).at(static_cast<std::size_t>(at.column));
    };
    for (int lane = 0; lane < 32; ++lane) {
        for (unsigned i = 0; i < form.count_a(); ++i) {
            entry(a, layout.a(lane / 4, lane % 4, int(i))) =
                value_of(form.a, Bits::get(in[lane], i * form.a.bits, form.a.bits));
        }
        for (unsigned i = 0; i < form.count_b(); ++i) {
            entry(b, layout.b(lane / 4, lane % 4, int(i))) =
                value_of(form.b, Bits::get(in[lane], form.bits_a() + i * form.b.bits, form.b.bits));
        }
    }
    for (int lane = 0; lane < 32; ++lane) {
        Row result{};
        for (unsigned i = 0; i < form.count_c(); ++i) {
            const At at = accumulator(lane / 4, lane % 4, int(i));
            const unsigned place = form.bits_a() + form.bits_b() + i * form.c.bits;
            Quad sum = value_of(form.c, Bits::get(in[lane], place, form.c.bits));
            for (int k = 0; k < layout.k; ++k) {
                const Quad x = entry(a, {at.row, k});
                const Quad y = entry(b, {k, at.column});
                sum += form.exclusive_or ? (x != y ? 1 : 0) : x * y;
            }
            Bits::set(result, i * form.d.bits, form.d.bits,
                      encode_result(form.d, form.saturate, sum));
        }
        out[lane] = result;
    }
}

void tame_inputs(const Form& form, Row& row) {
    unsigned at = 0;
    const auto tame_all = [&](const Element& element, unsigned count) {
        for (unsigned i = 0; i < count; ++i, at += element.bits) {
            Bits::set(row, at, element.bits,
                      tame(element, form.exact, Bits::get(row, at, element.bits)));
        }
    };
    tame_all(form.a, form.count_a());
    tame_all(form.b, form.count_b());
    tame_all(form.c, form.count_c());
}

void add_form(Cases& cases, const Form& form, int needs) {
    const bool wide = form.a.bits == 64;
    const unsigned unit = wide ? 64 : 32;
    const unsigned a = form.bits_a() / unit;
    const unsigned b = form.bits_b() / unit;
    const unsigned c = form.bits_c() / unit;
    const unsigned d = form.count_c() * form.d.bits / unit;
    const unsigned words = (form.bits_a() + form.bits_b() + form.bits_c() + 63) / 64;
    const std::string name = std::string("mma.sync.aligned.") + form.layout.shape + ".row.col" +
                             (form.saturate ? ".satfinite" : "") + "." + form.d.name + "." +
                             form.a.name + "." + form.b.name + "." + form.c.name + form.suffix;
    std::string code;
    if (wide) {
        code = ".reg .f64 %x<16>, %y<8>;\n";
        for (unsigned i = 0; i < words; ++i) {
            code += "mov.b64 %x" + std::to_string(i) + ", %a" + std::to_string(i) + ";\n";
        }
    } else {
        code = ".reg .b32 %x<16>, %y<8>;\n";
        for (unsigned i = 0; i < words; ++i) {
            code += "mov.b64 " + list_of("%x", 2 * i, 2) + ", %a" + std::to_string(i) + ";\n";
        }
    }
    code += name + " " + list_of("%y", 0, d) + ", " + list_of("%x", 0, a) + ", " +
            list_of("%x", a, b) + ", " + list_of("%x", a + b, c) + ";\n";
    Kind kind = Kind::kB32;
    if (form.d.bits == 16) kind = Kind::kF16x2;
    if (form.d.bits == 32 && form.d.kind == Class::kFloat) kind = Kind::kF32;
    if (wide) kind = Kind::kF64;
    for (unsigned i = 0; i < d; ++i) {
        code += std::string(wide ? "mov.f64" : "mov.b32") + " %d" + std::to_string(i) + ", %y" +
                std::to_string(i) + ";\n";
    }
    Case one{name + (form.exact ? "" : ", rounded"), std::vector<Kind>(words, Kind::kB64),
             std::vector<Kind>(d, kind), code, per_warp([form, d, unit](const Row* in, Row* out) {
                 multiply(form, in, out);
                 for (int lane = 0; lane < 32; ++lane) {
                     const Row packed = out[lane];
                     for (unsigned i = 0; i < d; ++i) {
                         out[lane][i] = Bits::get(packed, i * unit, unit);
                     }
                 }
             })};
    one.adjust = [form](Rows& in) {
        for (Row& row : in) tame_inputs(form, row);
    };
    if (!form.exact) one.tolerance = {form.d.bits == 16 ? 1e-3 : form.d.bits == 64 ? 1e-14 : 1e-5};
    one.needs = needs;
    one.blocks = 1;
    one.threads = 64;
    cases.push_back(std::move(one));
}

void add_floats(Cases& cases, const Layout& layout, const Element& a, const Element& b,
                const Element& c, int needs) {
    for (const bool exact : {true, false}) {
        Form form{layout, c, a, b, c, {}};
        form.exact = exact;
        add_form(cases, form, needs);
    }
}

void add_integers(Cases& cases, const Layout& layout, const Element& a, const Element& b,
                  int needs) {
    for (const bool saturate : {false, true}) {
        Form form{layout, kS32, a, b, kS32, {}};
        form.saturate = saturate;
        add_form(cases, form, needs);
    }
}

void add_layout(Cases& cases, const Layout& layout) {
    const bool small = layout.m == 8;
    switch (layout.bits) {
        case 64:
            return add_floats(cases, layout, kF64, kF64, kF64, small ? 80 : 90);
        case 32:
            return add_floats(cases, layout, kTf32, kTf32, kF32, 80);
        case 16: {
            const int needs = layout.k == 8 ? 75 : 80;
            add_floats(cases, layout, kF16, kF16, kF16, needs);
            add_floats(cases, layout, kF16, kF16, kF32, needs);
            return add_floats(cases, layout, kBf16, kBf16, kF32, 80);
        }
        case 8:
            for (const Element& a : {kU8, kS8}) {
                for (const Element& b : {kU8, kS8}) {
                    add_integers(cases, layout, a, b, small ? 75 : 80);
                }
            }
            if (small) return;
            for (const Element& a : {kE4m3, kE5m2}) {
                for (const Element& b : {kE4m3, kE5m2}) {
                    add_floats(cases, layout, a, b, kF32, 89);
                    add_floats(cases, layout, a, b, kF16, 89);
                }
            }
            return;
        case 4:
            for (const Element& a : {kU4, kS4}) {
                for (const Element& b : {kU4, kS4}) {
                    add_integers(cases, layout, a, b, small ? 75 : 80);
                }
            }
            return;
        default:
            for (const bool exclusive_or : {true, false}) {
                Form form{layout, kS32, kB1, kB1, kS32, exclusive_or ? ".xor.popc" : ".and.popc"};
                form.exclusive_or = exclusive_or;
                add_form(cases, form, small && exclusive_or ? 75 : 80);
            }
    }
}

}  // namespace

void add_mma_cases(Cases& cases) {
    for (const Layout& layout : kLayouts) add_layout(cases, layout);
}

}  // namespace cubar::instruction
