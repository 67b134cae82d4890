// SPDX-License-Identifier: Apache-2.0
// Texture and surface instructions as the decoder hands them to their handlers.
#pragma once

#include "softgpu/exec/warp.h"
#include "softgpu/ptx/ast.h"

namespace cubar::softgpu::exec {

/// The coordinates that an instruction has.
struct ImageGeometry {
    uint8_t dimensions = 1;  // without layer; a direction into a cube has 3
    bool layered = false;
    bool cube = false;
};

/// What a surface access outside of the surface does.
enum class Boundary : uint8_t { kTrap, kClamp, kZero };

/// A texture or surface instruction besides its guard.
struct ImageForm {
    static constexpr unsigned kMostElements = 4;
    enum class Level : uint8_t { kBase, kGiven, kGradient };

    ptx::Opcode opcode = ptx::Opcode::kTrap;
    ImageGeometry geometry;
    Slot handle = 0;
    Slot layer = 0;
    Slot coordinates[3] = {};
    Slot elements[kMostElements] = {};  // results, or what is stored
    uint8_t count = 0;                  // of elements

    // tex and tld4.
    bool integer_coordinates = false;
    Level level = Level::kBase;
    Slot lod = 0;
    Slot gradient[2][3] = {};
    bool tells_residency = false;
    Slot residency = 0;
    uint8_t component = 0;  // tld4

    // suld, sust and sured.
    Boundary boundary = Boundary::kTrap;
    uint8_t element_bits = 32;
    ptx::Operation operation = ptx::Operation::kNone;  // sured
    ptx::Type type = ptx::Type::kNone;

    // txq and suq.
    ptx::Modifier query = ptx::Modifier::kWidth;
};

/// The handler of tex and tld4.
const Insn* read_texture(Warp& warp, const Insn* insn, uint32_t mask);
/// The handler of suld, sust and sured.
const Insn* access_surface(Warp& warp, const Insn* insn, uint32_t mask);
/// The handler of txq and suq.
const Insn* query_image(Warp& warp, const Insn* insn, uint32_t mask);

}  // namespace cubar::softgpu::exec
