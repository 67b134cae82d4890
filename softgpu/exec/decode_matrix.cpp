// SPDX-License-Identifier: Apache-2.0
// What warps do with matrices that they hold together. See matrix.h about what lies where.
#include <algorithm>
#include <iterator>

#include "softgpu/exec/decoder.h"

namespace cubar::softgpu::exec {

using ptx::Instruction;
using ptx::Modifier;
using ptx::Opcode;
using ptx::Operand;
using ptx::OperandKind;
using ptx::Shape;
using ptx::Space;
using ptx::Type;

namespace {

constexpr unsigned kPieceBits = 128;   // of a line
constexpr unsigned kHalfFragment = 8;  // registers of f16 factors of wmma

/// Pieces along k of that many elements; 0 when they are no whole number.
unsigned depth_pieces(Type type, unsigned k) {
    if (type == Type::kF64) return k % 4 == 0 ? k / 4 : 0;
    const unsigned bits = ptx::bits_of(type) * k;
    return bits % kPieceBits == 0 ? bits / kPieceBits : 0;
}

unsigned registers_per_piece(Type accumulator) {
    return accumulator == Type::kF16 ? 1 : 2;
}

bool is_integer_factor(Type type) {
    switch (type) {
        case Type::kU8:
        case Type::kS8:
        case Type::kU4:
        case Type::kS4:
        case Type::kB1:
            return true;
        default:
            return false;
    }
}

bool has_mma_shape(const Shape& shape, Type type) {
    if (shape.n != kPiece) return false;
    const unsigned depth = depth_pieces(type, shape.k);
    if (type == Type::kF64) {
        return shape.m == 8 ? depth == 1
                            : shape.m == 16 && (depth == 1 || depth == 2 || depth == 4);
    }
    if (shape.m == 8) return is_integer_factor(type) && depth == 1;
    return shape.m == 16 && (depth == 1 || depth == 2);
}

bool has_wmma_shape(const Shape& shape, Type type) {
    switch (type) {
        case Type::kF16:
        case Type::kBf16:
        case Type::kU8:
        case Type::kS8:
            return shape == Shape{16, 16, 16} || shape == Shape{32, 8, 16} ||
                   shape == Shape{8, 32, 16};
        case Type::kTf32:
            return shape == Shape{16, 16, 8};
        case Type::kF64:
            return shape == Shape{8, 8, 4};
        case Type::kU4:
        case Type::kS4:
            return shape == Shape{8, 8, 32};
        case Type::kB1:
            return shape == Shape{8, 8, 128};
        default:
            return false;
    }
}

/// Of an accumulator that is loaded or stored, whose factors' types it does not name.
bool has_accumulator_shape(const Shape& shape, Type type) {
    switch (type) {
        case Type::kF16:
            return has_wmma_shape(shape, Type::kF16);
        case Type::kF32:
            return has_wmma_shape(shape, Type::kF16) || has_wmma_shape(shape, Type::kTf32);
        case Type::kS32:
            return has_wmma_shape(shape, Type::kS8) || has_wmma_shape(shape, Type::kS4) ||
                   has_wmma_shape(shape, Type::kB1);
        case Type::kF64:
            return has_wmma_shape(shape, Type::kF64);
        default:
            return false;
    }
}

bool fits_accumulator(Type factor, Type accumulator) {
    switch (factor) {
        case Type::kF16:
        case Type::kE4m3:
        case Type::kE5m2:
            return accumulator == Type::kF16 || accumulator == Type::kF32;
        case Type::kBf16:
        case Type::kTf32:
            return accumulator == Type::kF32;
        case Type::kF64:
            return accumulator == Type::kF64;
        default:
            return accumulator == Type::kS32;
    }
}

Multiplication form_of(const Instruction& instruction, const Type (&types)[4]) {
    const Shape& shape = instruction.shape;
    Multiplication form;
    form.row_pieces = uint8_t(shape.m / kPiece);
    form.column_pieces = uint8_t(shape.n / kPiece);
    form.depth_pieces = uint8_t(depth_pieces(types[1], shape.k));
    form.a_signed = types[1] == Type::kS8 || types[1] == Type::kS4;
    form.b_signed = types[2] == Type::kS8 || types[2] == Type::kS4;
    form.d_half = types[0] == Type::kF16;
    form.c_half = types[3] == Type::kF16;
    form.saturate = instruction.sat;
    form.exclusive_or = instruction.has(Modifier::kXor);
    return form;
}

}  // namespace

void Decoder::place_fragment(const Operand& fragment, unsigned count, unsigned bits,
                             Slot (&slots)[kMostFragmentRegisters], unsigned repeats) {
    if (fragment.kind != OperandKind::kVector || fragment.elements.size() != count * repeats) {
        throw Refusal{"such a fragment"};
    }
    for (unsigned index = 0; index < count * repeats; ++index) {
        if (container(fragment.elements[index]) != bits) throw Refusal{"such registers"};
        slots[index] = slot(fragment.elements[index]);
    }
}

void Decoder::emit_multiplication(const Multiplication& form, const Key& key) {
    Insn insn;
    insn.handler = require(key);
    code_.multiplications.push_back(form);
    insn.imm = reinterpret_cast<uint64_t>(&code_.multiplications.back());
    emit_guarded(insn);
}

void Decoder::decode_mma(const Instruction& instruction) {
    const Type types[4] = {instruction.type(0), instruction.type(1), instruction.type(2),
                           instruction.type(3)};
    const std::vector<Operand>& operands = instruction.operands;
    Key key = key_of(instruction);
    if (instruction.has(Modifier::kSp) || instruction.has(Modifier::kSpOrdered) ||
        operands.size() != 4 || !fits_accumulator(types[1], types[0]) ||
        !fits_accumulator(types[1], types[3])) {
        throw Refusal{};
    }
    Multiplication form = form_of(instruction, types);
    if (instruction.shape == Shape{8, 8, 4} && types[1] == Type::kF16) {
        if (form.d_half && !form.c_half) throw Refusal{};
        key.in_quads = true;
        // The layouts of A and B are the only words that may be `row` or `col`, in this order.
        std::vector<Modifier> layouts;
        std::copy_if(instruction.modifiers.begin(), instruction.modifiers.end(),
                     std::back_inserter(layouts),
                     [](Modifier m) { return m == Modifier::kRow || m == Modifier::kCol; });
        form.a_columns = layouts.at(0) == Modifier::kCol;
        form.b_rows = layouts.at(1) == Modifier::kRow;
        place_fragment(operands[0], form.d_half ? 4 : 8, 32, form.d);
        place_fragment(operands[1], 2, 32, form.a);
        place_fragment(operands[2], 2, 32, form.b);
        place_fragment(operands[3], form.c_half ? 4 : 8, 32, form.c);
        return emit_multiplication(form, key);
    }
    if (!has_mma_shape(instruction.shape, types[1])) throw Refusal{"this shape"};
    const unsigned bits = types[1] == Type::kF64 ? 64 : 32;
    const unsigned pieces = unsigned{form.row_pieces} * form.column_pieces;
    place_fragment(operands[0], pieces * registers_per_piece(types[0]), bits, form.d);
    place_fragment(operands[1], unsigned{form.row_pieces} * form.depth_pieces, bits, form.a);
    place_fragment(operands[2], unsigned{form.column_pieces} * form.depth_pieces, bits, form.b);
    place_fragment(operands[3], pieces * registers_per_piece(types[3]), bits, form.c);
    emit_multiplication(form, key);
}

void Decoder::decode_wmma(const Instruction& instruction) {
    if (!instruction.has(Modifier::kMma)) return decode_fragment_access(instruction);
    // Of f16 only the accumulators' types are named.
    const bool named = instruction.type_count == 4;
    const Type factor = named ? instruction.type(1) : Type::kF16;
    const Type types[4] = {instruction.type(0), factor, named ? instruction.type(2) : factor,
                           instruction.type(named ? 3 : 1)};
    const std::vector<Operand>& operands = instruction.operands;
    if ((!named && instruction.type_count != 2) || operands.size() != 4 ||
        !has_wmma_shape(instruction.shape, factor) || !fits_accumulator(factor, types[0]) ||
        !fits_accumulator(factor, types[3])) {
        throw Refusal{};
    }
    if (factor == Type::kF64 && instruction.rounding != ptx::Rounding::kNone &&
        instruction.rounding != ptx::Rounding::kRn) {
        throw Refusal{"this rounding"};
    }
    Key key = key_of(instruction);
    key.opcode = Opcode::kMma;
    std::copy(std::begin(types), std::end(types), key.type);
    Multiplication form = form_of(instruction, types);
    const unsigned bits = factor == Type::kF64 ? 64 : 32;
    const unsigned pieces = unsigned{form.row_pieces} * form.column_pieces;
    const unsigned a = unsigned{form.row_pieces} * form.depth_pieces;
    const unsigned b = unsigned{form.column_pieces} * form.depth_pieces;
    const bool half = factor == Type::kF16;
    place_fragment(operands[0], pieces * registers_per_piece(types[0]), bits, form.d);
    place_fragment(operands[1], a, bits, form.a, half ? kHalfFragment / a : 1);
    place_fragment(operands[2], b, bits, form.b, half ? kHalfFragment / b : 1);
    place_fragment(operands[3], pieces * registers_per_piece(types[3]), bits, form.c);
    emit_multiplication(form, key);
}

void Decoder::decode_fragment_access(const Instruction& instruction) {
    const bool store = instruction.has(Modifier::kStore);
    const bool of_a = instruction.has(Modifier::kA);
    const bool of_b = instruction.has(Modifier::kB);
    const Type type = instruction.type();
    const Shape& shape = instruction.shape;
    const bool fits =
        of_a || of_b ? has_wmma_shape(shape, type) : has_accumulator_shape(shape, type);
    if (!fits) throw Refusal{"this shape"};
    const bool by_rows = instruction.has(Modifier::kRow);
    FragmentAccess form;
    form.bits = uint8_t(ptx::bits_of(type));
    form.register_bits = type == Type::kF64 ? 64 : 32;
    form.along_lines = by_rows != of_b;
    if (form.bits < 8 && !form.along_lines) throw Refusal{"this layout"};
    unsigned count = 0;
    unsigned repeats = 1;
    if (of_a || of_b) {
        const unsigned lines = (of_a ? shape.m : shape.n) / kPiece;
        const unsigned depth = depth_pieces(type, shape.k);
        form.elements = uint8_t(form.register_bits / form.bits);
        form.lane_step = form.elements;
        count = lines * depth;
        if (type == Type::kF16) repeats = kHalfFragment / count;
        for (unsigned index = 0; index < count * repeats; ++index) {
            const unsigned piece = index % count;
            form.line[index] = uint8_t(kPiece * (of_a ? piece % lines : piece / depth));
            form.element[index] =
                uint8_t(4 * form.elements * (of_a ? piece / lines : piece % depth));
        }
    } else {
        const unsigned each = registers_per_piece(type);
        const unsigned rows = shape.m / kPiece;
        form.elements = uint8_t(2 / each);
        form.lane_step = 2;
        count = rows * (shape.n / kPiece) * each;
        for (unsigned index = 0; index < count; ++index) {
            const unsigned piece = index / each;
            form.line[index] = uint8_t(kPiece * (piece % rows));
            form.element[index] = uint8_t(kPiece * (piece / rows) + index % each);
        }
    }
    form.count = uint8_t(count * repeats);
    const std::vector<Operand>& operands = instruction.operands;
    const Operand& where = operands[store ? 0 : 1];
    place_fragment(operands[store ? 1 : 0], count, form.register_bits, form.registers, repeats);
    const unsigned columns = of_a ? shape.k : shape.n;
    const unsigned rows = of_b ? shape.k : shape.m;
    form.stride = operands.size() > 2 ? slot(operands[2]) : pool_.add(by_rows ? columns : rows, 32);
    Insn insn;
    form.shared = address(where, instruction.space, insn) == Space::kShared;
    insn.handler = require(key_of(instruction));
    code_.fragment_accesses.push_back(form);
    insn.op[0] = pool_.add(reinterpret_cast<uint64_t>(&code_.fragment_accesses.back()), 64);
    emit_guarded(insn);
}

void Decoder::decode_matrix_access(const Instruction& instruction) {
    if (instruction.shape != Shape{8, 8, 0}) throw Refusal{"this shape"};
    const bool store = instruction.opcode == Opcode::kStmatrix;
    const std::vector<Operand>& registers = instruction.operands[store ? 1 : 0].elements;
    Insn insn;
    for (size_t index = 0; index < registers.size(); ++index) {
        insn.op[index] = slot(registers[index]);
    }
    insn.count = uint8_t(registers.size());
    Key key = key_of(instruction);
    key.space = address(instruction.operands[store ? 0 : 1], instruction.space, insn);
    insn.handler = require(key);
    emit_guarded(insn);
}

}  // namespace cubar::softgpu::exec
