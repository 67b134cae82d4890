// SPDX-License-Identifier: Apache-2.0
// Decodes one function of one kernel. Internal to softgpu/exec/decode*.cpp.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "softgpu/exec/constant_pool.h"
#include "softgpu/exec/flow.h"
#include "softgpu/exec/image.h"
#include "softgpu/exec/key.h"
#include "softgpu/exec/registers.h"

namespace cubar::softgpu::exec {

/// Thrown at an instruction that this interpreter lacks, or lacks with the operand that `reason`
/// names.
struct Refusal {
    std::string reason;
};

class Decoder {
public:
    Decoder(Image& image, KernelCode& kernel, FunctionCode& code, const ptx::Function& function,
            const ptx::Body& body);

    /// False when instructions are lacking; `log` then gets a line for each.
    bool run(std::string& log);

private:
    /// An instruction whose target is filled in when the place of every block is known.
    struct Jump {
        size_t from;      // index in the code
        uint32_t target;  // of a block or a label
    };

    enum class Place { kAddress, kFrame, kKernelParameter };
    struct Location {
        Place place = Place::kAddress;
        uint64_t address = 0;  // in the variable's own space
        ptx::Space space = ptx::Space::kGlobal;
    };

    // --- decode.cpp: the walk through the body ---

    void decode(const ptx::Instruction& instruction, std::string& log);
    void decode_one(const ptx::Instruction& instruction);
    Insn& emit(const Insn& insn);
    /// With the guard of the instruction that is being decoded.
    Insn& emit_guarded(const Insn& insn);
    /// Fills in what is known only now: targets of jumps, slots of parameters, constants.
    void finish(const std::vector<FlowBlock>& blocks, const std::vector<size_t>& starts);

    // --- decode.cpp: what selects a handler ---

    Key key_of(const ptx::Instruction& instruction) const;
    static Handler require(const Key& key);
    static Handler control(ptx::Opcode opcode);
    Handler move_handler(MoveForm form, unsigned bits, ptx::Special special = ptx::Special::kNone);

    // --- decode.cpp: instructions that compute ---

    void decode_plain(const ptx::Instruction& instruction);
    /// Without operands that anyone reads.
    void decode_bare(const ptx::Instruction& instruction);
    void decode_carry(const ptx::Instruction& instruction);
    void decode_cvt(const ptx::Instruction& instruction);
    void decode_compare(const ptx::Instruction& instruction);
    /// lop3 that also compares its result with zero.
    void decode_lop3(const ptx::Instruction& instruction);
    void decode_testp(const ptx::Instruction& instruction);
    /// A policy says how to cache, and nothing is cached here: all are the same.
    void decode_createpolicy(const ptx::Instruction& instruction);

    void decode_stack(const ptx::Instruction& instruction);
    /// stacksave to the slot or stackrestore from it.
    void add_stack_handler(ptx::Opcode opcode, Slot slot, bool guarded);

    // --- decode_video.cpp ---

    /// False when it is none of the SIMD video instructions.
    bool decode_video(const ptx::Instruction& instruction);
    /// False when it is none of the scalar ones.
    bool decode_scalar_video(const ptx::Instruction& instruction);

    // --- decode_texture.cpp: textures and surfaces ---

    void decode_texture(const ptx::Instruction& instruction);
    void decode_surface(const ptx::Instruction& instruction);
    void decode_image_query(const ptx::Instruction& instruction);
    /// The slot of a number or index of 32 bits.
    Slot image_operand(const ptx::Operand& operand, bool is_float);
    void image_vector(const ptx::Operand& operand, bool is_float, std::span<Slot> slots);
    Slot image_handle(const ptx::Operand& operand);
    /// The handle and coordinates of `[image, {…}]`.
    void image_place(const ptx::Operand& tuple, ImageForm& form);
    void image_elements(const ptx::Operand& operand, unsigned count, unsigned bits,
                        ImageForm& form);
    void emit_image(const ImageForm& form, Handler handler);

    // --- decode_calls.cpp: branches, calls and barriers ---

    void decode_bra(const ptx::Instruction& instruction);
    void decode_brx(const ptx::Instruction& instruction);
    void decode_call(const ptx::Instruction& instruction);
    static Builtin builtin_named(const ptx::Function& callee);
    Transfer actual(const ptx::Operand& operand, bool is_result);
    /// op[0] barrier, op[1] threads (0: all), op[2] result, op[3] predicate.
    void decode_barrier(const ptx::Instruction& instruction);

    // --- decode_memory.cpp: accesses, addresses and moves ---

    void decode_memory(const ptx::Instruction& instruction);
    /// Eight elements are two accesses of four; alignment is still checked for the halves only.
    void decode_wide_memory(const ptx::Instruction& instruction);
    /// op[0] result, op[1] and op[2] operands, op[4] address.
    void decode_atomic(const ptx::Instruction& instruction);
    /// One atomic operation for each element, as PTX has it.
    void decode_vector_atomic(const ptx::Instruction& instruction);
    /// st.async and red.async: the access, and its bytes counted at an mbarrier.
    void decode_async_store(const ptx::Instruction& instruction);
    void decode_mov(const ptx::Instruction& instruction);
    void decode_vector_mov(const ptx::Instruction& instruction);
    void decode_cvta(const ptx::Instruction& instruction);
    void decode_isspacep(const ptx::Instruction& instruction);

    // --- decode_matrix.cpp: what warps do with matrices that they hold together ---

    void decode_mma(const ptx::Instruction& instruction);
    void decode_wmma(const ptx::Instruction& instruction);
    /// op[0] the address of the FragmentAccess, op[4] address.
    void decode_fragment_access(const ptx::Instruction& instruction);
    void decode_matrix_access(const ptx::Instruction& instruction);
    /// Adds the form to the code and the instruction to it. `key` has types d, a, b, c.
    void emit_multiplication(const Multiplication& form, const Key& key);
    /// The slots of a fragment that should have `count` registers of `bits`; `repeats` counts
    /// further ones that hold the same again.
    void place_fragment(const ptx::Operand& fragment, unsigned count, unsigned bits,
                        Slot (&slots)[kMostFragmentRegisters], unsigned repeats = 1);

    // --- decode_async.cpp: asynchronous copies and mbarriers ---

    /// op[0] limit, op[3] source, op[4] destination.
    void decode_cp(const ptx::Instruction& instruction);
    /// op[0] destination, op[1] source, op[2] bytes, op[3] mbarrier.
    void decode_bulk_copy(const ptx::Instruction& instruction);
    /// op[0] result, op[1] operand, op[4] address.
    void decode_mbarrier(const ptx::Instruction& instruction);

    // --- decode_operands.cpp: where operands lie ---

    void lay_out_frame();
    /// A formal parameter in `to`: its own slot if it is a register, else memory from `end` on.
    static Transfer formal(const ptx::Variable& variable, uint64_t& end);
    const ptx::Variable& variable(ptx::VariableScope scope, uint32_t index) const;
    /// The offset in the frame of a variable that lies in local memory.
    uint64_t frame_offset(ptx::VariableScope scope, uint32_t index) const;
    Location locate(ptx::VariableScope scope, uint32_t index) const;
    /// The bits of the register that holds it or could.
    unsigned container(const ptx::Operand& operand) const;
    /// Emits what is needed to have the value in a slot.
    Slot slot(const ptx::Operand& operand);
    void place_operands(const ptx::Instruction& instruction, Insn& insn);
    /// Fills in how the address is reached and returns the space to access.
    ptx::Space address(const ptx::Operand& operand, ptx::Space space, Insn& insn);
    /// Emits what is needed to have the address itself, of 64 bits, in a slot.
    Slot address_value(const ptx::Operand& operand, ptx::Space space);

    Image& image_;
    KernelCode& kernel_;
    FunctionCode& code_;
    const ptx::Function& function_;
    const ptx::Body& body_;

    RegisterFile file_;
    ConstantPool pool_;

    // A frame in local memory begins with the body's variables; this function's parameters and
    // results follow, then, from here, those of the functions that it calls.
    uint64_t call_area_at_ = 0;
    unsigned next_cache_ = 0;  // each access has a cache of its own, see Block::caches

    // Where the stack was when the function, which takes memory from it, was called.
    std::optional<Slot> saved_stack_;

    // Of the instruction that is being decoded.
    uint32_t line_ = 0;
    Slot guard_ = kAlways;
    uint32_t guard_invert_ = 0;

    bool failed_ = false;
    std::vector<Jump> block_jumps_;
    std::vector<Jump> label_jumps_;
    std::vector<std::vector<uint32_t>> tables_;  // of labels
};

}  // namespace cubar::softgpu::exec
