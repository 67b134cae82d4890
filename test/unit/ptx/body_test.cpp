// SPDX-License-Identifier: Apache-2.0
// What the interpreter relies on in a parsed body.
#include <catch2/catch.hpp>

#include "test/unit/ptx/support.h"

using namespace cubar::softgpu::ptx;

namespace {

// The first instruction of the snippet.
Instruction first(const std::string& text) {
    const Parsed parsed = parse_in_kernel(text);
    REQUIRE(parsed.log.text == "");
    REQUIRE(parsed.body != nullptr);
    return parsed.body->code.at(0);
}

std::uint64_t immediate(const std::string& text) {
    const Instruction instruction = first(text);
    const Operand& operand = instruction.operands.at(1);
    REQUIRE(operand.kind == OperandKind::kImmediate);
    return operand.value;
}

}  // namespace

TEST_CASE("Modifiers are decoded and kept") {
    const Instruction atom = first("atom.acq_rel.gpu.shared.cas.b64 %d1,[sv],%d2,%d3;");
    CHECK(atom.semantics == Semantics::kAcqRel);
    CHECK(atom.scope == Scope::kGpu);
    CHECK(atom.space == Space::kShared);
    CHECK(atom.operation == Operation::kCas);
    CHECK(atom.type() == Type::kB64);
    CHECK(atom.modifiers ==
          std::vector{Modifier::kAcqRel, Modifier::kGpu, Modifier::kShared, Modifier::kCas});
    const Instruction cvt = first("cvt.rzi.ftz.sat.s32.f32 %r1,%f1;");
    CHECK(cvt.rounding == Rounding::kRzi);
    CHECK(cvt.ftz);
    CHECK(cvt.sat);
    CHECK(cvt.type(0) == Type::kS32);
    CHECK(cvt.type(1) == Type::kF32);
    CHECK(cvt.type(2) == Type::kNone);
    const Instruction setp = first("setp.ltu.or.f64 %p1,%g1,%g2,!%p2;");
    CHECK(setp.compare == Compare::kLtu);
    CHECK(setp.bool_op == BoolOp::kOr);
    CHECK(setp.operation == Operation::kNone);
    const Instruction cp = first("cp.async.cg.shared.global.L2::128B [%r1],[%d1],16,%r2;");
    CHECK(cp.space == Space::kShared);
    CHECK(cp.space2 == Space::kGlobal);
    CHECK(cp.has(Modifier::kL2Prefetch128));
    CHECK_FALSE(cp.has(Modifier::kL2Prefetch64));
    const Instruction mma = first(
        "mma.sync.aligned.m16n8k8.row.col.f16.f16.f16.f16 {%r1,%r2},"
        "{%r3,%r4},{%r5},{%r6,%r7};");
    CHECK(mma.shape == Shape{16, 8, 8});
    CHECK(mma.has(Modifier::kShape));
    CHECK(mma.operands.at(2).elements.size() == 1);
    const Instruction ld = first("ld.acquire.sys.global.v4.u32 {%r1,%r2,%r3,%r4},[%d1];");
    CHECK(ld.vector_width == 4);
    CHECK(ld.scope == Scope::kSys);
    CHECK(ld.semantics == Semantics::kAcquire);
    CHECK(first("lop3.or.b32 %r1|%p1,%r2,%r3,%r4,0x3f,%p2;").bool_op == BoolOp::kOr);
    CHECK(first("bar.red.popc.u32 %r1,0,%p1;").operation == Operation::kPopc);
}

TEST_CASE("Immediates carry the bits of the instruction's type") {
    CHECK(immediate("mov.u32 %r1,-1;") == 0xffffffff);
    CHECK(immediate("mov.u64 %d1,-1;") == ~std::uint64_t{0});
    CHECK(immediate("mov.b16 %h1,70000;") == 70000 - 65536);
    CHECK(immediate("mov.f32 %f1,1.0;") == 0x3f800000);
    CHECK(immediate("mov.f32 %f1,0f40490FDB;") == 0x40490fdb);
    CHECK(immediate("mov.f32 %f1,0d3FF0000000000000;") == 0x3f800000);
    CHECK(immediate("mov.f64 %g1,0f3F800000;") == 0x3ff0000000000000);
    CHECK(immediate("mov.b32 %r1,0f3F800000;") == 0x3f800000);
    CHECK(immediate("mov.b32 %r1,-0f3F800000;") == 0xbf800000);
    CHECK(immediate("mov.b64 %d1,-0d3FF0000000000000;") == 0xbff0000000000000);
    CHECK(immediate("mov.f32 %f1,-1.5e3*2.0;") == 0xc53b8000);
    CHECK(immediate("mov.pred %p1,5;") == 1);
    CHECK(immediate("mov.pred %p1,!5;") == 0);
    CHECK(immediate("mov.u32 %r1,(1<<4)+WARP_SZ*2-(3>2?1:0);") == 79);
    CHECK(immediate("mov.u32 %r1,7 % 4^1|2&3;") == 2);
    CHECK(immediate("mov.u32 %r1,0x1F+017+0b11;") == 49);
    CHECK(immediate("mov.u32 %r1,(-16)>>2;") == 0xfffffffc);
    CHECK(immediate("mov.u64 %d1,(.u64)-1>>60;") == 15);
    CHECK(immediate("mov.u64 %d1,(.s64)0x8000000000000000/-1;") == 0x8000000000000000);
    CHECK(immediate("mov.u64 %d1,-7 % -1;") == 0);
    CHECK(immediate("mov.u64 %d1,-7/2;") == static_cast<std::uint64_t>(-3));
    CHECK(immediate("mov.u64 %d1,0xffffffffffffffff/2;") == 0x7fffffffffffffff);
    CHECK(immediate("mov.u64 %d1,1<<64;") == 0);
    CHECK(immediate("mov.u32 %r1,1<2&&3>=3||!0;") == 1);
    CHECK(immediate("mov.u32 %r1,(1.0<=2.0)+(1.0>=2.0)+(1.0==2.0)+(1.0!=2.0)+(1.0>2.0);") == 2);
    CHECK(immediate("mov.u32 %r1,1.0<2.0?5:6;") == 5);
    CHECK(immediate("mov.f64 %g1,1.0/4.0+0.5-0.25;") == 0x3fe0000000000000);
}

TEST_CASE("Absent second destinations keep their place") {
    const Instruction setp = first("setp.lt.s32 %p1,%r1,%r2;");
    REQUIRE(setp.operands.size() == 4);
    CHECK(setp.operands[1].kind == OperandKind::kSink);
    CHECK(setp.operands[2].kind == OperandKind::kRegister);
    CHECK(first("shfl.sync.bfly.b32 %r1|%p1,%r2,1,0x1f,-1;").operands.at(1).kind ==
          OperandKind::kRegister);
    CHECK(first("match.any.sync.b32 %r1,%r2,-1;").operands.size() == 4);
    CHECK(first("elect.sync _|%p1,-1;").operands.at(0).kind == OperandKind::kSink);
    CHECK(first("lop3.b32 %r1,%r2,%r3,%r4,0x3f;").operands.size() == 5);
    CHECK(first("lop3.and.b32 _|%p1,%r2,%r3,%r4,0x3f,%p2;").operands.size() == 7);
}

TEST_CASE("Registers are numbered densely, by scope") {
    const Parsed parsed = parse(kHeader +
                                ".func (.reg .u32 out) f(.reg .u64 in) {\n"
                                ".reg .pred %p<2>; .reg .b32 %a<3>, %a1<4>; .reg .v4 .f32 v;\n"
                                "mov.u32 out, %a2; mov.u32 %a13, %a10; mov.f32 v.y, v.w;\n"
                                "{ .reg .u64 out; mov.u64 out, in; }\n"
                                "mov.b64 in, {out, %a0}; setp.eq.u32 %p1, out, 0; ret; }");
    REQUIRE(parsed.log.text == "");
    const Body& body = *parsed.body;
    REQUIRE(body.registers.size() == 2 + 2 + 3 + 4 + 4 + 1);
    CHECK(body.register_name(0) == "out");
    CHECK(body.register_name(1) == "in");
    CHECK(body.register_name(3) == "%p1");
    CHECK(body.registers[3].type == Type::kPred);
    CHECK(body.register_name(6) == "%a2");
    CHECK(body.register_name(12) == "v.y");
    CHECK(body.code[0].operands[0].index == 0);
    CHECK(body.code[0].operands[1].index == 6);
    CHECK(body.register_name(body.code[1].operands[0].index) == "%a13");
    CHECK(body.register_name(body.code[1].operands[1].index) == "%a10");
    CHECK(body.code[2].operands[0].index == 12);
    CHECK(body.code[2].operands[1].index == 14);
    CHECK(body.code[3].operands[0].index == 15);
    CHECK(body.registers[15].type == Type::kU64);
    CHECK(body.code[4].operands[1].elements.at(0).index == 0);
}

TEST_CASE("Labels are of their scope and may come later") {
    const Parsed parsed = parse_in_kernel(
        "bra L;\n{ bra L; L: trap; }\n{ bra L; }\nL: exit;\nbrx.idx %r1, later;\n"
        "later: .branchtargets L, done;\n");
    REQUIRE(parsed.log.text == "");
    const Body& body = *parsed.body;
    const auto target = [&](std::size_t at) {
        return body.labels.at(body.code.at(at).operands.at(0).index).target;
    };
    CHECK(target(0) == 4);
    CHECK(target(1) == 2);
    CHECK(target(3) == 4);
    const Operand& list = body.code.at(5).operands.at(1);
    REQUIRE(list.kind == OperandKind::kTargets);
    const std::vector<std::uint32_t>& targets = body.targets.at(list.index);
    REQUIRE(targets.size() == 2);
    CHECK(body.labels.at(targets[0]).target == 4);
    CHECK(body.labels.at(targets[1]).target == 6);
}

TEST_CASE("Guards") {
    const Instruction plain = first("ret;");
    CHECK(plain.predicate == kNoIndex);
    const Instruction guarded = first("@!%p1 bra done;");
    CHECK(guarded.predicate != kNoIndex);
    CHECK(guarded.negate_predicate);
}

TEST_CASE("Addresses have a base and an offset") {
    const Instruction by_register = first("ld.global.u32 %r1,[%d1+-4];");
    CHECK(by_register.operands[1].base == AddressBase::kRegister);
    CHECK(static_cast<std::int64_t>(by_register.operands[1].value) == -4);
    const Instruction by_symbol = first("ld.shared.u32 %r1,[sv+12];");
    CHECK(by_symbol.operands[1].base == AddressBase::kVariable);
    CHECK(by_symbol.operands[1].scope == VariableScope::kModule);
    CHECK(by_symbol.operands[1].value == 12);
    const Instruction absolute = first("ld.shared.u32 %r1,[64];");
    CHECK(absolute.operands[1].base == AddressBase::kAbsolute);
    CHECK(absolute.operands[1].value == 64);
    const Instruction parameter = first("ld.param.u32 %r1,[kp];");
    CHECK(parameter.operands[1].scope == VariableScope::kParameter);
    const Instruction value = first("mov.u64 %d1,gv+8;");
    CHECK(value.operands[1].kind == OperandKind::kVariable);
    CHECK(value.operands[1].value == 8);
    const Instruction texture = first("tex.2d.v4.f32.f32 {%f1,%f2,%f3,%f4},[%d1,{%f5,%f6}];");
    CHECK(texture.operands[1].kind == OperandKind::kTuple);
    CHECK(texture.operands[1].elements.at(1).elements.size() == 2);
}

TEST_CASE("Special registers and video selectors") {
    const Instruction tid = first("mov.u32 %r1,%ctaid.z;");
    CHECK(tid.operands[1].special == Special::kCtaid);
    CHECK(tid.operands[1].component == 2);
    CHECK(first("mov.u32 %r1,%envreg17;").operands[1].component == 17);
    CHECK(first("mov.u64 %d1,%pm3_64;").operands[1].special == Special::kPm64);
    const Instruction whole = first("mov.v4.u32 {%r1,%r2,%r3,%r4},%ntid;");
    CHECK(whole.operands[1].elements.at(3).component == 3);
    const Instruction video = first("vadd.u32.u32.s32.sat %r1,%r2.b0,%r3.h1;");
    CHECK(video.operands[1].select_unit == 'b');
    CHECK(video.operands[1].select == 0);
    CHECK(video.operands[2].select_unit == 'h');
    CHECK(video.operands[2].select == 1);
    CHECK(first("vadd2.s32.s32.s32 %r1.h10,%r2.h32,%r3.h10,%r4;").operands[1].select == 0x32);
}

TEST_CASE("Function-scope variables get offsets, calls their operands") {
    const Parsed parsed =
        parse(kHeader +
              ".func (.param .b32 r) f(.param .b32 a, .param .align 8 .b8 b[16]);\n"
              ".visible .entry k() { .local .align 1 .b8 c[3]; .local .b64 d; .shared .b16 e, g;\n"
              ".param .b32 x; .param .align 8 .b8 y[16]; .param .b32 z; .reg .b64 %d<2>;\n"
              "call (z), f, (x, y);\n"
              "proto: .callprototype (.param .b32 _) _ (.param .b32 _, .param .align 8 .b8 _[16]) "
              ".noreturn;\n"
              "call (z), %d1, (x, y), proto; st.local.u8 [c+1], 1; ret; }");
    REQUIRE(parsed.log.text == "");
    const Body& body = *parsed.body;
    CHECK(body.variables.at(1).offset == 8);
    CHECK(body.local_size == 16);
    CHECK(body.local_align == 8);
    CHECK(body.variables.at(3).offset == 2);
    CHECK(body.shared_size == 4);
    CHECK(body.variables.at(5).offset == 8);
    CHECK(body.variables.at(6).offset == 24);
    CHECK(body.param_size == 28);
    CHECK(body.param_align == 8);
    const Instruction& direct = body.code.at(0);
    REQUIRE(direct.operands.size() == 3);
    CHECK(direct.operands[0].elements.at(0).kind == OperandKind::kVariable);
    CHECK(direct.operands[1].kind == OperandKind::kFunction);
    CHECK(direct.operands[2].elements.size() == 2);
    const Instruction& indirect = body.code.at(1);
    CHECK(indirect.operands.at(1).kind == OperandKind::kRegister);
    REQUIRE(indirect.operands.at(3).kind == OperandKind::kPrototype);
    CHECK(body.prototypes.at(0).no_return);
    CHECK(body.prototypes.at(0).parameters.at(1).offset == 8);
    CHECK(body.functions_used == std::vector<std::uint32_t>{0});
}
