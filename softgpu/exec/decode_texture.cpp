// SPDX-License-Identifier: Apache-2.0
// Textures and surfaces. PTX has many spellings of few things here, so that their operands are
// taken as they stand, and what this interpreter has is chosen below.
#include <bit>

#include "softgpu/exec/decoder.h"
#include "softgpu/exec/image_form.h"

namespace cubar::softgpu::exec {

using ptx::Instruction;
using ptx::Modifier;
using ptx::Opcode;
using ptx::Operand;
using ptx::OperandKind;
using ptx::Type;

namespace {

ImageGeometry geometry_of(const Instruction& instruction) {
    if (instruction.has(Modifier::kDim1d)) return {1, false, false};
    if (instruction.has(Modifier::kDim2d)) return {2, false, false};
    if (instruction.has(Modifier::kDim3d)) return {3, false, false};
    if (instruction.has(Modifier::kA1d)) return {1, true, false};
    if (instruction.has(Modifier::kA2d)) return {2, true, false};
    if (instruction.has(Modifier::kCube)) return {3, false, true};
    if (instruction.has(Modifier::kAcube)) return {3, true, true};
    throw Refusal{"this geometry"};
}

Boundary boundary_of(const Instruction& instruction) {
    if (instruction.has(Modifier::kClamp)) return Boundary::kClamp;
    if (instruction.has(Modifier::kZero)) return Boundary::kZero;
    return Boundary::kTrap;
}

uint8_t component_of(const Instruction& instruction) {
    if (instruction.has(Modifier::kR)) return 0;
    if (instruction.has(Modifier::kG)) return 1;
    if (instruction.has(Modifier::kB)) return 2;
    return 3;
}

/// The image and the coordinates of `[image, {…}]`.
const Operand& coordinates_of(const Operand& tuple) {
    if (tuple.kind != OperandKind::kTuple) throw Refusal{"such coordinates"};
    if (tuple.elements.size() != 2) throw Refusal{"a sampler of its own"};
    return tuple.elements[1];
}

}  // namespace

/// The slot of a number or index in 32 bits; constants have the type that the text gave them.
Slot Decoder::image_operand(const Operand& operand, bool is_float) {
    if (operand.kind == OperandKind::kSink) return pool_.add(0, 32);
    if (operand.kind == OperandKind::kImmediate) {
        if (is_float && operand.type == Type::kF64) {
            return pool_.add(std::bit_cast<uint32_t>(float(std::bit_cast<double>(operand.value))),
                             32);
        }
        return pool_.add(uint32_t(operand.value), 32);
    }
    if (operand.kind != OperandKind::kRegister || container(operand) != 32) {
        throw Refusal{"such a coordinate"};
    }
    return slot(operand);
}

void Decoder::image_vector(const Operand& operand, bool is_float, std::span<Slot> slots) {
    const bool is_vector = operand.kind == OperandKind::kVector;
    if (is_vector ? operand.elements.size() < slots.size() : slots.size() != 1) {
        throw Refusal{"so few coordinates"};
    }
    for (size_t index = 0; index < slots.size(); ++index) {
        slots[index] = image_operand(is_vector ? operand.elements[index] : operand, is_float);
    }
}

Slot Decoder::image_handle(const Operand& operand) {
    const Operand& image = operand.kind == OperandKind::kTuple ? operand.elements[0] : operand;
    if (image.kind != OperandKind::kAddress || image.base != ptx::AddressBase::kRegister ||
        container_bits(body_.registers[image.index].type) != 64 || image.value != 0) {
        throw Refusal{"a reference in place of an object's handle"};
    }
    return file_.slot(image.index);
}

void Decoder::image_place(const Operand& tuple, ImageForm& form) {
    form.handle = image_handle(tuple);
    const Operand& coordinates = coordinates_of(tuple);
    const std::span<Slot> slots(form.coordinates, form.geometry.dimensions);
    if (!form.geometry.layered) return image_vector(coordinates, !form.integer_coordinates, slots);
    if (coordinates.elements.empty()) throw Refusal{"no layer"};
    form.layer = image_operand(coordinates.elements.front(), false);
    Operand others = coordinates;
    others.elements.erase(others.elements.begin());
    image_vector(others, !form.integer_coordinates, slots);
}

void Decoder::image_elements(const Operand& operand, unsigned count, unsigned bits,
                             ImageForm& form) {
    const bool is_vector = operand.kind == OperandKind::kVector;
    if (is_vector ? operand.elements.size() != count : count != 1) throw Refusal{"such vectors"};
    form.count = uint8_t(count);
    for (unsigned index = 0; index < count; ++index) {
        const Operand& element = is_vector ? operand.elements[index] : operand;
        if (element.kind == OperandKind::kRegister && container(element) != bits) {
            throw Refusal{"such registers"};
        }
        if (element.kind != OperandKind::kRegister && element.kind != OperandKind::kSink) {
            throw Refusal{"such elements"};
        }
        form.elements[index] = slot(element);
    }
}

void Decoder::emit_image(const ImageForm& form, Handler handler) {
    code_.image_forms.push_back(form);
    Insn insn;
    insn.handler = handler;
    insn.imm = reinterpret_cast<uint64_t>(&code_.image_forms.back());
    insn.aux = uint16_t(next_cache_++);
    emit_guarded(insn);
}

void Decoder::decode_texture(const Instruction& instruction) {
    const std::vector<Operand>& operands = instruction.operands;
    ImageForm form;
    form.opcode = instruction.opcode;
    form.geometry = geometry_of(instruction);
    if (instruction.type_count != 2 || operands.size() < 2) throw Refusal{};
    if (ptx::bits_of(instruction.type(0)) != 32 || ptx::is_packed(instruction.type(0))) {
        throw Refusal{"this type of results"};
    }
    form.integer_coordinates = instruction.type(1) == Type::kS32;
    if (!form.integer_coordinates && instruction.type(1) != Type::kF32) throw Refusal{};
    image_elements(operands[0], 4, 32, form);
    size_t next = 1;
    if (operands[1].kind != OperandKind::kTuple) {
        form.tells_residency = true;
        form.residency = slot(operands[1]);
        ++next;
    }
    image_place(operands.at(next++), form);
    if (instruction.has(Modifier::kLevel)) {
        form.level = ImageForm::Level::kGiven;
        form.lod = image_operand(operands.at(next++), !form.integer_coordinates);
    } else if (instruction.has(Modifier::kGrad)) {
        form.level = ImageForm::Level::kGradient;
        if (form.integer_coordinates) throw Refusal{"integer coordinates"};
        for (auto& along : form.gradient) {
            image_vector(operands.at(next++), true, {along, form.geometry.dimensions});
        }
    }
    if (form.opcode == Opcode::kTld4) {
        const bool flat = form.geometry.dimensions == 2 || form.geometry.cube;
        if (!flat || form.integer_coordinates) throw Refusal{"this geometry"};
        form.component = component_of(instruction);
    }
    if (next != operands.size()) throw Refusal{"offsets or a depth to compare with"};
    emit_image(form, read_texture);
}

void Decoder::decode_surface(const Instruction& instruction) {
    if (!instruction.has(Modifier::kB)) throw Refusal{"conversion of elements"};
    const bool loads = instruction.opcode == Opcode::kSuld;
    ImageForm form;
    form.opcode = instruction.opcode;
    form.geometry = geometry_of(instruction);
    form.boundary = boundary_of(instruction);
    form.integer_coordinates = true;
    form.type = instruction.type();
    form.element_bits = uint8_t(ptx::bits_of(form.type));
    form.operation = instruction.operation;
    if (form.geometry.cube || form.element_bits < 8 || form.element_bits > 64 ||
        instruction.operands.size() != 2) {
        throw Refusal{};
    }
    image_place(instruction.operands[loads ? 1 : 0], form);
    image_elements(instruction.operands[loads ? 0 : 1], instruction.vector_width,
                   container_bits(form.type), form);
    emit_image(form, access_surface);
}

void Decoder::decode_image_query(const Instruction& instruction) {
    constexpr Modifier kQueries[] = {Modifier::kWidth,           Modifier::kHeight,
                                     Modifier::kDepth,           Modifier::kArraySize,
                                     Modifier::kNumMipmapLevels, Modifier::kNormalizedCoords};
    const std::vector<Operand>& operands = instruction.operands;
    ImageForm form;
    form.opcode = instruction.opcode;
    form.query = Modifier::kCount;
    for (const Modifier query : kQueries) {
        if (instruction.has(query)) form.query = query;
    }
    const bool has_level = instruction.has(Modifier::kLevel);
    if (form.query == Modifier::kCount || operands.size() != (has_level ? 3u : 2u)) throw Refusal{};
    image_elements(operands[0], 1, 32, form);
    form.handle = image_handle(operands[1]);
    if (has_level) {
        form.level = ImageForm::Level::kGiven;
        form.lod = image_operand(operands[2], false);
    }
    emit_image(form, query_image);
}

}  // namespace cubar::softgpu::exec
