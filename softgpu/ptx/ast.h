// SPDX-License-Identifier: Apache-2.0
// What the PTX front end hands to whoever executes it. Everything here has been checked against the
// rules of the PTX ISA (9.1): names are resolved, operand counts, classes and widths fit, so that
// an interpreter needs no checks of its own beyond "do I have this instruction".
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "softgpu/ptx/modifier.h"
#include "softgpu/ptx/opcode.h"
#include "softgpu/ptx/special.h"
#include "softgpu/ptx/type.h"

namespace cubar::softgpu::ptx {

inline constexpr std::uint32_t kNoIndex = 0xffffffff;

enum class Linkage : std::uint8_t { kInternal, kVisible, kExtern, kWeak, kCommon };

// A word of an initialiser that is the address of a symbol:
// `size` bytes at `offset` = low bytes of ((address + addend) >> shift).
struct Relocation {
    std::uint64_t offset = 0;
    std::uint8_t size = 8;
    std::uint8_t shift = 0;
    bool generic = false;               // generic(symbol): the address converted from its space
    std::uint32_t variable = kNoIndex;  // index into Module::variables, or
    std::uint32_t function = kNoIndex;  // index into Module::functions
    std::int64_t addend = 0;
};

// A variable in memory, of module or function scope, or a parameter.
struct Variable {
    std::string name;
    Space space = Space::kGlobal;
    Linkage linkage = Linkage::kInternal;
    Type type = Type::kNone;
    std::uint8_t vector_width = 1;  // .v2, .v4, .v8 of the declaration
    bool is_array = false;
    bool is_unsized = false;  // `[]`: extern (dynamic) shared memory; size is then 0
    bool is_managed = false;  // .attribute(.managed)
    bool is_pointer = false;  // kernel parameter marked .ptr
    std::uint32_t align = 1;  // bytes, a power of two
    std::uint64_t size = 0;   // bytes, at most 2^40
    // Where it lies in its container. Entry or function parameters: in the parameter block.
    // Function scope: in Body's frame of that space (local, param, shared). Module scope: 0, the
    // executor places it (in .shared per kernel, from Body::variables_used).
    std::uint64_t offset = 0;
    std::vector<std::uint8_t> initial;  // leading bytes; the rest of `size` is zero
    std::vector<Relocation> relocations;
    std::uint32_t register_index = kNoIndex;  // a .reg parameter of a function: its register
    std::uint32_t line = 0;
};

enum class OperandKind : std::uint8_t {
    kSink,       // `_`, or the absent second half of `p|q`
    kRegister,   // index: register of the body
    kImmediate,  // value: bits, already converted to `type` and cut to its width
    kSpecial,    // special, component
    kAddress,    // [base + value]: see AddressBase
    kVariable,   // the address of a variable as a value (mov), or a .param variable in a call;
                 // scope, index, value = byte offset
    kFunction,   // index into Module::functions: callee, or the address of a function (mov)
    kLabel,      // index into Body::labels
    kTargets,    // index into Body::targets (brx.idx, call with .calltargets)
    kPrototype,  // index into Body::prototypes
    kVector,     // elements: {a,b,c,d}, parameter lists of a call
    kTuple,      // elements: [a, {b,c}, …] of texture, surface and tensor instructions
};

enum class AddressBase : std::uint8_t {
    kAbsolute,  // only `value`
    kRegister,  // index: register (32 or 64 bit)
    kVariable,  // scope, index
};

enum class VariableScope : std::uint8_t {
    kModule,     // Module::variables
    kParameter,  // Function::parameters
    kReturn,     // Function::returns
    kBody,       // Body::variables
};

struct Operand {
    OperandKind kind = OperandKind::kSink;
    // How the instruction reads or writes this operand. A register may be wider (ld, st, cvt).
    Type type = Type::kNone;
    bool negated = false;  // `!p`: the predicate's complement
    bool minus = false;    // `-r`: the register's value negated; of vmad only
    AddressBase base = AddressBase::kAbsolute;
    VariableScope scope = VariableScope::kModule;
    Special special = Special::kNone;
    std::uint8_t component =
        0;  // of a special register: 0 x, 1 y, 2 z, 3 w; number of %envreg, %pm
    // Video instructions: `.b3` is unit 'b', select 0x3; `.h10` is 'h', 0x10; `.b7610` is 'b',
    // 0x7610. 0: none written.
    char select_unit = 0;
    std::uint16_t select = 0;
    std::uint32_t index = 0;
    std::uint64_t value = 0;  // immediate bits (the low 64 of b128); offset (two's complement)
    std::vector<Operand> elements;
};

enum class Rounding : std::uint8_t {
    kNone,
    kRn,
    kRz,
    kRm,
    kRp,
    kRna,
    kRs,  // to floats; .rs is stochastic
    kRni,
    kRzi,
    kRmi,
    kRpi,  // to integers
};

enum class Compare : std::uint8_t {
    kNone,
    kEq,
    kNe,
    kLt,
    kLe,
    kGt,
    kGe,  // ordered
    kLo,
    kLs,
    kHi,
    kHs,  // unsigned
    kEqu,
    kNeu,
    kLtu,
    kLeu,
    kGtu,
    kGeu,  // true when unordered
    kNum,
    kNan,
};

enum class BoolOp : std::uint8_t { kNone, kAnd, kOr, kXor };

// The operation of atom, red, redux, multimem, bar.red and friends.
enum class Operation : std::uint8_t {
    kNone,
    kAnd,
    kOr,
    kXor,
    kAdd,
    kInc,
    kDec,
    kMin,
    kMax,
    kExch,
    kCas,
    kPopc,
};

enum class Scope : std::uint8_t { kNone, kCta, kCluster, kGpu, kSys };

enum class Semantics : std::uint8_t {
    kNone,
    kWeak,
    kVolatile,
    kRelaxed,
    kAcquire,
    kRelease,
    kAcqRel,
    kSc,
    kMmio
};

// m16n8k16 and the like; k is 0 where the text has none (ldmatrix .m8n8).
struct Shape {
    std::uint16_t m = 0, n = 0, k = 0;
    bool operator==(const Shape&) const = default;
};

struct Instruction {
    Opcode opcode = Opcode::kTrap;
    bool ftz = false;
    bool sat = false;  // .sat and .satfinite
    bool negate_predicate = false;
    std::uint8_t type_count = 0;
    std::uint8_t vector_width = 1;   // .v2 .v4 .v8
    Space space = Space::kGeneric;   // the first one written
    Space space2 = Space::kGeneric;  // the second one (cp.async.shared.global)
    Rounding rounding = Rounding::kNone;
    Compare compare = Compare::kNone;        // setp, set, vset
    BoolOp bool_op = BoolOp::kNone;          // setp, set
    Operation operation = Operation::kNone;  // atom, red, redux, bar.red, vop's second operation
    Scope scope = Scope::kNone;
    Semantics semantics = Semantics::kNone;
    Shape shape;
    std::array<Type, 6> types{};         // in the order written; types[0..type_count)
    std::uint32_t predicate = kNoIndex;  // register of @p, or kNoIndex
    std::uint32_t line = 0;              // line of the PTX text, from 1
    // Every word after the opcode that is not a type, in the order written; nothing is dropped, so
    // the fields above are repeats of it (except `shape`, whose word is Modifier::kShape).
    std::vector<Modifier> modifiers;
    // In the order written, with these rules, so that positions are fixed:
    // - an instruction that may write two destinations `d|p` (setp, shfl, match, elect, and lop3
    //   with a .and or .or) always has both: operands[1] is a kSink when the text names one;
    // - fragments of mma, wmma, ldmatrix, stmatrix and vectors of atom and red are kVector, of a
    //   single register too;
    // - call: [0] kVector of returns, [1] callee (kFunction or kRegister), [2] kVector of
    // arguments,
    //   [3] kPrototype or kTargets for an indirect call;
    // - optional trailing operands that are absent are absent: size() tells.
    std::vector<Operand> operands;

    Type type(unsigned i = 0) const { return i < type_count ? types[i] : Type::kNone; }
    bool has(Modifier modifier) const {
        for (Modifier m : modifiers) {
            if (m == modifier) return true;
        }
        return false;
    }
};

struct Label {
    std::string name;
    std::uint32_t target = 0;  // index into Body::code; code.size() when nothing follows
};

struct Prototype {
    std::vector<Variable> returns;
    std::vector<Variable> parameters;  // offset: in the callee's parameter block
    bool no_return = false;
};

// Registers are numbered densely over the whole function, predicates included.
struct Register {
    Type type = Type::kNone;
    std::uint32_t range = 0;   // index into Body::register_names
    std::uint32_t number = 0;  // in a declared range %r<n>; kNoIndex for a single register
};

struct Body {
    std::vector<Instruction> code;
    std::vector<Register> registers;
    std::vector<std::string> register_names;  // "%r" of %r<10>, or the whole name
    std::vector<Variable> variables;          // function-scope .local, .shared, .param
    std::vector<Label> labels;
    std::vector<std::vector<std::uint32_t>> targets;  // label indices, or functions of .calltargets
    std::vector<Prototype> prototypes;
    std::uint64_t local_size = 0;  // bytes of the frames that `offset` refers to
    std::uint32_t local_align = 1;
    std::uint64_t shared_size = 0;
    std::uint32_t shared_align = 1;
    std::uint64_t param_size = 0;  // call arguments and results (.param in function scope)
    std::uint32_t param_align = 1;
    std::vector<std::uint32_t> variables_used;  // Module::variables named here, ascending, unique
    std::vector<std::uint32_t> functions_used;  // Module::functions named here, ascending, unique

    std::string register_name(std::uint32_t index) const;
};

// Performance directives; 0 where the text has none.
struct Directives {
    std::array<std::uint32_t, 3> maxntid{};
    std::array<std::uint32_t, 3> reqntid{};
    std::array<std::uint32_t, 3> reqnctapercluster{};
    std::uint32_t minnctapersm = 0;
    std::uint32_t maxnctapersm = 0;
    std::uint32_t maxnreg = 0;
    std::uint32_t maxclusterrank = 0;
    bool explicit_cluster = false;
    bool blocks_are_clusters = false;
    bool no_return = false;
    std::vector<std::string> pragmas;
};

enum class FunctionKind : std::uint8_t { kEntry, kFunc };

struct Function {
    std::string name;
    FunctionKind kind = FunctionKind::kFunc;
    Linkage linkage = Linkage::kInternal;
    std::vector<Variable> returns;
    std::vector<Variable> parameters;  // offset and size: layout of the kernel's parameter block
    std::uint64_t parameter_size = 0;  // bytes of the parameter block, without tail padding
    Directives directives;
    std::uint32_t line = 0;
    bool is_defined = false;  // false: a declaration only (vprintf, __assertfail, malloc …)
    // The text between the braces (both included), as offsets into Module::text.
    std::size_t body_begin = 0;
    std::size_t body_end = 0;
    std::uint32_t body_line = 0;
    // Parsed on demand by parse_body() and kept; null until then.
    std::unique_ptr<const Body> body;
};

struct Module {
    std::string text;                 // the source, kept for the bodies
    unsigned version = 0;             // 10 × major + minor: 90 for PTX 9.0
    unsigned target = 0;              // 75 for sm_75
    std::string target_name;          // "sm_90a"
    unsigned address_size = 64;       // bits
    std::vector<Variable> variables;  // of module scope
    std::vector<Function> functions;  // entries and device functions, each name once

    // Index of a symbol, or kNoIndex. O(1).
    std::uint32_t find_variable(std::string_view name) const;
    std::uint32_t find_function(std::string_view name) const;

    struct Names;  // the symbol table
    std::shared_ptr<Names> names;
};

}  // namespace cubar::softgpu::ptx
