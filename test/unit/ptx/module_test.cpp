// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include "test/unit/ptx/support.h"

using namespace cubar::softgpu::ptx;

namespace {

const Variable& variable(const Parsed& parsed, const char* name) {
    const std::uint32_t index = parsed.module->find_variable(name);
    REQUIRE(index != kNoIndex);
    return parsed.module->variables[index];
}

const Function& function(const Parsed& parsed, const char* name) {
    const std::uint32_t index = parsed.module->find_function(name);
    REQUIRE(index != kNoIndex);
    return parsed.module->functions[index];
}

std::uint64_t word(const Variable& variable, std::size_t offset, std::size_t bytes) {
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < bytes; ++i) {
        value |= std::uint64_t{variable.initial.at(offset + i)} << (8 * i);
    }
    return value;
}

}  // namespace

TEST_CASE("The header gives version, target and address size") {
    const Parsed parsed =
        parse("// made by hand\n.version 8.7\n.target sm_100a, texmode_unified, debug\n");
    REQUIRE(parsed.module);
    CHECK(parsed.module->version == 87);
    CHECK(parsed.module->target == 100);
    CHECK(parsed.module->target_name == "sm_100a");
    CHECK(parsed.module->address_size == 64);
    CHECK(parse(".version 6.0 .target sm_30 .address_size 32").module->address_size == 32);
}

TEST_CASE("Text after a NUL is ignored") {
    CHECK(parse(kHeader + std::string("\0 rubbish", 9)).module != nullptr);
}

TEST_CASE("Variables have size, alignment and initial bytes") {
    const Parsed parsed =
        parse(kHeader +
              ".visible .global .align 4 .u32 one = 7;\n"
              ".global .b8 text[6] = {104, 101, 0x6c, 108, 111};\n"
              ".const .f32 floats[] = {1.5, 0f40000000, -1.0};\n"
              ".global .f64 pi = 0d400921FB54442D18;\n"
              ".global .u16 grid[2][3] = {{1, 2}, {3, 4, 5}};\n"
              ".global .u16 flat[2][2] = {1, 2, 3, 4};\n"
              ".global .v4 .f32 vector = {1.0, 2.0, 3.0, 4.0};\n"
              ".global .v2 .u32 pairs[] = {{1, 2}, {3, 4}};\n"
              ".global .attribute(.managed) .align 16 .b64 managed;\n"
              ".global .attribute(.unified(1, 2)) .b64 unified_one, second;\n"
              ".extern .shared .align 16 .b8 dynamic[];\n"
              ".shared .v2 .f64 tile[4][8];\n"
              ".common .global .u64 common;\n.weak .const .s8 weak = -1;\n"
              ".global .texref texture = { channel_order = 1 };\n.tex .u64 old_texture;\n"
              ".global .b128 wide[2];\n.global .u8 empty[0] = {};\n");
    REQUIRE(parsed.log.text == "");
    CHECK(variable(parsed, "one").linkage == Linkage::kVisible);
    CHECK(word(variable(parsed, "one"), 0, 4) == 7);
    CHECK(variable(parsed, "text").size == 6);
    CHECK(word(variable(parsed, "text"), 0, 5) == 0x6f6c6c6568);
    CHECK(variable(parsed, "text").initial.size() == 5);
    CHECK(variable(parsed, "floats").size == 12);
    CHECK(variable(parsed, "floats").space == Space::kConst);
    CHECK_FALSE(variable(parsed, "floats").is_unsized);
    CHECK(word(variable(parsed, "floats"), 0, 8) == 0x400000003fc00000);
    CHECK(word(variable(parsed, "floats"), 8, 4) == 0xbf800000);
    CHECK(word(variable(parsed, "pi"), 0, 8) == 0x400921FB54442D18);
    CHECK(word(variable(parsed, "grid"), 0, 8) == 0x0003000000020001);
    CHECK(word(variable(parsed, "grid"), 8, 4) == 0x00050004);
    CHECK(word(variable(parsed, "flat"), 0, 8) == 0x0004000300020001);
    CHECK(variable(parsed, "vector").align == 16);
    CHECK(word(variable(parsed, "vector"), 12, 4) == 0x40800000);
    CHECK(variable(parsed, "pairs").size == 16);
    CHECK(word(variable(parsed, "pairs"), 8, 8) == 0x0000000400000003);
    CHECK(variable(parsed, "managed").is_managed);
    CHECK(variable(parsed, "managed").align == 16);
    CHECK(variable(parsed, "second").size == 8);
    CHECK(variable(parsed, "dynamic").is_unsized);
    CHECK(variable(parsed, "dynamic").size == 0);
    CHECK(variable(parsed, "dynamic").linkage == Linkage::kExtern);
    CHECK(variable(parsed, "tile").size == 512);
    CHECK(variable(parsed, "tile").align == 16);
    CHECK(variable(parsed, "common").linkage == Linkage::kCommon);
    CHECK(variable(parsed, "weak").linkage == Linkage::kWeak);
    CHECK(word(variable(parsed, "weak"), 0, 1) == 0xff);
    CHECK(variable(parsed, "texture").type == Type::kTexref);
    CHECK(variable(parsed, "wide").size == 32);
    CHECK(parsed.module->find_variable("nothing") == kNoIndex);
    CHECK(parsed.module->find_function("one") == kNoIndex);
}

TEST_CASE("Initialisers name symbols, forwards too") {
    const Parsed parsed = parse(kHeader +
                                ".global .u32 target[4];\n"
                                ".global .u64 table[4] = {target, generic(target)+8, 0, later-4};\n"
                                ".global .b8 bytes[2] = {0xFF(target), 0xFF00(generic(target))};\n"
                                ".global .u64 callee = later_function;\n"
                                ".global .u32 later;\n"
                                ".func later_function() { ret; }\n");
    REQUIRE(parsed.log.text == "");
    const Variable& table = variable(parsed, "table");
    REQUIRE(table.relocations.size() == 3);
    CHECK(table.size == 32);
    CHECK(table.relocations[0].variable == parsed.module->find_variable("target"));
    CHECK_FALSE(table.relocations[0].generic);
    CHECK(table.relocations[1].generic);
    CHECK(table.relocations[1].offset == 8);
    CHECK(table.relocations[1].addend == 8);
    CHECK(table.relocations[2].offset == 24);
    CHECK(table.relocations[2].addend == -4);
    CHECK(table.relocations[2].variable == parsed.module->find_variable("later"));
    const Variable& bytes = variable(parsed, "bytes");
    CHECK(bytes.relocations[0].size == 1);
    CHECK(bytes.relocations[0].shift == 0);
    CHECK(bytes.relocations[1].shift == 8);
    CHECK(bytes.relocations[1].generic);
    CHECK(variable(parsed, "callee").relocations[0].function ==
          parsed.module->find_function("later_function"));
}

TEST_CASE("Functions have parameters with offsets, and directives") {
    const Parsed parsed = parse(
        kHeader +
        ".pragma \"nounroll\";\n"
        ".extern .func (.param .b32 result) vprintf(.param .b64 a, .param .b64 b);\n"
        ".visible .entry kernel(.param .u8 a, .param .u64 .ptr .global .align 16 b,\n"
        "    .param .align 8 .b8 c[12], .param .f32 d)\n"
        ".maxntid 128, 2\n.reqntid 32\n.minnctapersm 2 .maxnctapersm 4 .maxnreg 64\n"
        ".reqnctapercluster 2, 1, 1 .explicitcluster .maxclusterrank 8 .blocksareclusters\n"
        ".pragma \"used\";\n{ ret; }\n"
        ".weak .func .attribute(.unified(3, 4)) (.reg .b32 r, .param .b64 s) helper(.reg .f64 x,\n"
        "    .param .b16 y) .noreturn .unique_intf .abi_preserve 4 { mov.f64 x, x; ret; }\n"
        ".func alias_of_helper;\n");
    REQUIRE(parsed.log.text == "");
    const Function& kernel = function(parsed, "kernel");
    CHECK(kernel.kind == FunctionKind::kEntry);
    CHECK(kernel.linkage == Linkage::kVisible);
    REQUIRE(kernel.parameters.size() == 4);
    CHECK(kernel.parameters[1].offset == 8);
    CHECK(kernel.parameters[1].is_pointer);
    CHECK(kernel.parameters[2].offset == 16);
    CHECK(kernel.parameters[3].offset == 28);
    CHECK(kernel.parameter_size == 32);
    CHECK(kernel.directives.maxntid == std::array<std::uint32_t, 3>{128, 2, 1});
    CHECK(kernel.directives.reqntid == std::array<std::uint32_t, 3>{32, 1, 1});
    CHECK(kernel.directives.reqnctapercluster == std::array<std::uint32_t, 3>{2, 1, 1});
    CHECK(kernel.directives.minnctapersm == 2);
    CHECK(kernel.directives.maxnctapersm == 4);
    CHECK(kernel.directives.maxnreg == 64);
    CHECK(kernel.directives.maxclusterrank == 8);
    CHECK(kernel.directives.explicit_cluster);
    CHECK(kernel.directives.blocks_are_clusters);
    CHECK(kernel.directives.pragmas == std::vector<std::string>{"used"});
    const Function& helper = function(parsed, "helper");
    CHECK(helper.directives.no_return);
    CHECK(helper.returns[0].register_index == 0);
    CHECK(helper.parameters[0].register_index == 1);
    CHECK(helper.parameters[1].offset == 0);
    CHECK_FALSE(function(parsed, "vprintf").is_defined);
}

TEST_CASE("A declaration and its definition are one function, an alias another name of it") {
    Parsed parsed =
        parse(kHeader +
              ".func (.param .b32 r) f(.param .b32 a);\n"
              ".func g;\n"
              ".visible .entry k() { .param .b32 x; .param .b32 y; call (y), g, (x); ret; }\n"
              ".func (.param .b32 r) f(.param .b32 a) { ret; }\n"
              ".alias g, f;\n");
    REQUIRE(parsed.log.text == "");
    CHECK(function(parsed, "f").is_defined);
    CHECK(&function(parsed, "f") == &function(parsed, "g"));
    REQUIRE(parse_bodies(*parsed.module, parsed.log));
    const Body& body = *function(parsed, "k").body;
    CHECK(body.functions_used == std::vector<std::uint32_t>{parsed.module->find_function("f")});
    const std::uint32_t f = parsed.module->find_function("f");
    CHECK(parse_body(*parsed.module, f, parsed.log) == parse_body(*parsed.module, f, parsed.log));
}

TEST_CASE("A body that is only declared cannot be parsed") {
    Parsed parsed = parse(kHeader + ".extern .func vanish;\n");
    CHECK(parse_body(*parsed.module, 0, parsed.log) == nullptr);
    CHECK(parsed.log.text == "line 4: `vanish` is declared here but not defined\n");
}

TEST_CASE("An external variable may be declared before or after its definition") {
    const Parsed parsed = parse(kHeader +
                                ".extern .global .u32 early;\n.global .u32 early = 5;\n"
                                ".global .u64 late = early;\n.extern .global .u64 late;\n"
                                ".extern .global .u64 moved;\n.global .u64 moved = {early};\n");
    REQUIRE(parsed.log.text == "");
    CHECK(parsed.module->variables.size() == 3);
    CHECK(word(variable(parsed, "early"), 0, 4) == 5);
    CHECK(variable(parsed, "moved").relocations[0].variable ==
          parsed.module->find_variable("early"));
}

TEST_CASE("Debug information is skipped") {
    const Parsed parsed = parse(kHeader +
                                ".file 1 \"/a/b.cu\", 1700000000, 42\n"
                                "@@DWARF .section .debug_pubnames\n"
                                ".section .debug_abbrev { .b8 1, 2 // } \"\n .b32 $L_1 /* } */ }\n"
                                ".section names { }\n.visible .entry k() { .loc 1 2 3\n ret; };\n");
    CHECK(parsed.log.text == "");
    CHECK(parsed.body != nullptr);
}

TEST_CASE("Braces in comments and strings do not end a body") {
    Parsed parsed = parse(kHeader +
                          ".func a() { // }\n /* } \n } */ .pragma \"}\"; ret; }\n"
                          ".func b() { { ret; } }\n");
    REQUIRE(parsed.module);
    CHECK(parse_bodies(*parsed.module, parsed.log));
    CHECK(function(parsed, "b").line == 7);
}

TEST_CASE("A module in error is refused with line and reason") {
    struct Case {
        const char* text;
        const char* reason;
    };
    const Case cases[] = {
        {".entry k() { ret; ", "line 4: this `{` has no matching `}`"},
        {".entry k( { ret; }", "expected `.param` or `.reg`"},
        {".entry k(.u32 x) { }", "expected `.param` or `.reg`"},
        {".entry k(.shared .u32 x) { }", "a parameter is in .param or .reg"},
        {".entry k(.param .u32) { }", "expected the parameter's name"},
        {".entry k(.reg .u32 x[2]) { }", "a register parameter is a scalar"},
        {".entry k(.param .b8 x[1099511627776], .param .b8 y) { }", "too large"},
        {".entry { }", "expected the function's name"},
        {".entry k() .maxntid 1,2,3,4 { }", "at most three numbers"},
        {".entry k() .maxntid x { }", "expected a number"},
        {".entry k() .strange { }", "unknown directive `.strange`"},
        {".entry k() .param { }", "has no place in a function's head"},
        {".func .attribute(.managed) f;", "expected `.unified`"},
        {".entry k() { } .entry k() { }", "`k` is declared twice"},
        {".func f(.param .b32 a); .func f() { }", "declared with other parameters in line 4"},
        {".global .u32 k; .func k;", "`k` is declared twice"},
        {".global .u32 v; .global .u32 v;", "`v` is declared twice"},
        {".func v; .global .u32 v;", "`v` is declared twice"},
        {".extern .global .u32 v; .extern .shared .u32 v;", "`v` is declared twice"},
        {".global .u32 v", "expected `;`, found the end of the text"},
        {".global .u32 v[];", "`v` needs a size"},
        {".global .u32 v = missing;", "line 4: unknown symbol `missing`"},
        {".global .f32 v = other;", "an address is not a floating-point number"},
        {".global .u16 v = other;", "an address does not fit the type .u16"},
        {".global .u8 v = 0xF0(other);", "a mask selects one byte"},
        {".global .u32 v = 0xFF(other);", "a mask selects one byte"},
        {".global .f32 v = 1;", "does not fit the type .f32"},
        {".global .u32 v[2] = {1, 2, 3};", "too many initial values"},
        {".global .u32 v[2] = {{1}, 2};", "too many nested braces"},
        {".global .u32 v[2] = 1;", "an array is initialised with"},
        {".global .u32 v = {1;", "expected `}`"},
        {".global .u32 v[2][0] = {1};", "only the first dimension"},
        {".global .u8 v[4][268435456] = {{1},{1}};", "too many initial values"},
        {".global .u64 v = generic(5);", "expected a symbol"},
        {".global .u64 v = w+1.0;", "an offset is an integer"},
        {".shared .u32 v = 1;", "cannot have an initial value"},
        {".global .attribute(.strange) .u32 v;", "unknown attribute `.strange`"},
        {".global .u32 v[1][1][1][1][1][1][1][1][1][1][1][1][1][1][1][1][1];", "at most 16"},
        {".reg .u32 v;", "declared inside functions only"},
        {".param .u32 v;", "declared inside functions only"},
        {".alias a, b;", "unknown function `b`"},
        {".visible 5", "expected a directive"},
        {".strange", "unknown directive `.strange`"},
        {"rubbish", "expected a directive, found `rubbish`"},
        {".global .u32 \xff;", "the byte 0xff has no meaning"},
        {"/* no end", "this comment has no end"},
        {".section .x { \"", "has no matching"},
        {".section .x { /* ", "has no matching"},
        {".section .x { // ", "has no matching"},
        {".section .x", "expected `{`"},
        {".pragma \"a\\", "this string has no end"},
    };
    for (const Case& one : cases) {
        INFO(one.text);
        const Parsed parsed = parse(kHeader + one.text);
        CHECK(parsed.module == nullptr);
        CHECK_THAT(parsed.log.text, Catch::Contains(one.reason));
    }
}

TEST_CASE("A header in error is refused") {
    struct Case {
        const char* text;
        const char* reason;
    };
    const Case cases[] = {
        {"", "expected `.version`, found the end of the text"},
        {"\x7f"
         "ELF",
         "the byte 0x7f has no meaning"},
        {".version 9", "expected a version such as 9.0"},
        {".version 9.x", "`9.x` is not a number"},
        {".version 9.123", "expected a version"},
        {".version 99.0", "is newer than 9.1"},
        {".version 9.0", "expected `.target`"},
        {".version 9.0 .target", "expected a target"},
        {".version 9.0 .target gfx90", "is not a target"},
        {".version 9.0 .target sm_x", "is not a target"},
        {".version 9.0 .target sm_90abc", "is not a target"},
        {".version 9.0 .target debug", "names no architecture"},
        {".version 9.0 .target sm_90 .address_size 48", "the address size is 32 or 64"},
        {".version 9.0 .target sm_90 .address_size 640", "too large"},
    };
    for (const Case& one : cases) {
        INFO(one.text);
        const Parsed parsed = parse(one.text);
        CHECK(parsed.module == nullptr);
        CHECK_THAT(parsed.log.text, Catch::Contains(one.reason));
    }
}

TEST_CASE("Any cut of a module is handled") {
    const std::string whole = with_body(
        "{ .reg .u32 x; @%p1 bra done; call (po), fp, (pa, pb); }\n"
        "setp.lt.and.s32 %p1|%p2, %r1, -5, !%p3; ld.global.v2.u32 {%r1, %r2}, [%d1+8];\n");
    for (std::size_t size = 0; size < whole.size(); ++size) {
        Log log;
        const auto module = parse_module(whole.substr(0, size), log);
        if (module) parse_bodies(*module, log);
        if (!module) CHECK_FALSE(log.ok());
    }
}
