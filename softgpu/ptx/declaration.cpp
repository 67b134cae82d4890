// SPDX-License-Identifier: Apache-2.0
#include "softgpu/ptx/declaration.h"

#include <algorithm>
#include <bit>

#include "softgpu/ptx/constant.h"
#include "softgpu/ptx/names.h"

namespace cubar::softgpu::ptx {
namespace {

// Attributes are hints about memory that a software GPU has only one kind of, but for managed.
void parse_attribute(Lexer& lexer, Variable& variable) {
    lexer.expect("(");
    do {
        const Token attribute = lexer.peek();
        if (lexer.accept_directive("managed")) {
            variable.is_managed = true;
        } else if (lexer.accept_directive("unified")) {
            if (lexer.accept("(")) {
                lexer.expect_integer("a UUID's half", ~std::uint64_t{0});
                lexer.expect(",");
                lexer.expect_integer("a UUID's half", ~std::uint64_t{0});
                lexer.expect(")");
            }
        } else {
            lexer.fail("unknown attribute " + describe(attribute));
        }
    } while (lexer.accept(","));
    lexer.expect(")");
}

void parse_align(Lexer& lexer, Variable& variable) {
    const std::uint64_t align = lexer.expect_integer("the alignment", kMaxAlign);
    if (!std::has_single_bit(align)) lexer.fail("the alignment is not a power of two");
    variable.align = std::max(variable.align, static_cast<std::uint32_t>(align));
}

std::uint64_t element_bytes(const Variable& variable) {
    return std::uint64_t{bytes_of(variable.type)} * variable.vector_width;
}

// Reads the value of one element, or the address of a symbol, into place.
class Initialiser {
public:
    Initialiser(Lexer& lexer, Variable& variable, std::uint32_t index,
                std::vector<PendingSymbol>& pending)
        : lexer_(lexer), variable_(variable), index_(index), pending_(pending) {}

    // Reads `{…}` that fills dimensions[level …], whose first element is number `first`. Returns
    // how many elements of this level there were.
    std::uint64_t list(const std::vector<std::uint64_t>& dimensions, std::size_t level,
                       std::uint64_t first) {
        lexer_.expect("{");
        std::uint64_t stride = 1;
        for (std::size_t i = level + 1; i < dimensions.size(); ++i) stride *= dimensions[i];
        const std::uint64_t limit = dimensions[level];
        std::uint64_t scalars = 0;  // flat position inside this list
        while (!lexer_.peek().is("}")) {
            const bool nested = lexer_.peek().is("{");
            if (nested) {
                if (level + 1 >= dimensions.size()) lexer_.fail("too many nested braces");
                scalars = (scalars + stride - 1) / stride * stride;
            }
            if (limit != 0 && scalars >= limit * stride) lexer_.fail("too many initial values");
            if (nested) {
                list(dimensions, level + 1, first + scalars);
                scalars += stride;
            } else {
                scalar(first + scalars);
                ++scalars;
            }
            if (!lexer_.accept(",")) break;
        }
        lexer_.expect("}");
        return (scalars + stride - 1) / stride;
    }

    void scalar(std::uint64_t element) {
        const unsigned bytes = bytes_of(variable_.type);
        const std::uint64_t offset = element * bytes;
        const Token first = lexer_.peek();
        if (first.kind == TokenKind::kIdentifier && first.text != "WARP_SZ") {
            symbol(offset, 0);
            return;
        }
        const Constant constant = parse_constant(lexer_);
        if (lexer_.accept("(")) {
            mask(first, constant, offset);
            return;
        }
        std::uint64_t bits = 0;
        if (!convert(constant, variable_.type, bits)) {
            throw SyntaxError(first.line, "this value does not fit the type ." +
                                              std::string(to_string(variable_.type)));
        }
        store(offset, bits, bytes);
    }

private:
    // `0xFF00(symbol)`: the byte of the address that the mask selects.
    void mask(const Token& first, const Constant& constant, std::uint64_t offset) {
        const std::uint64_t bits = constant.bits;
        const int shift = bits == 0 ? 64 : std::countr_zero(bits);
        if (constant.is_float() || shift % 8 != 0 || shift > 56 || (bits >> shift) != 0xff ||
            bytes_of(variable_.type) != 1) {
            throw SyntaxError(first.line,
                              "a mask selects one byte of an address for an 8-bit element");
        }
        symbol(offset, static_cast<std::uint8_t>(shift));
        lexer_.expect(")");
    }

    void symbol(std::uint64_t offset, std::uint8_t shift) {
        Relocation relocation;
        relocation.offset = offset;
        relocation.shift = shift;
        relocation.size = static_cast<std::uint8_t>(bytes_of(variable_.type));
        if (shift == 0 && relocation.size < 4 && relocation.size != 1) {
            lexer_.fail("an address does not fit the type ." +
                        std::string(to_string(variable_.type)));
        }
        if (is_float(variable_.type)) lexer_.fail("an address is not a floating-point number");
        const std::uint32_t line = lexer_.line();
        std::string_view name = lexer_.expect_identifier("a symbol");
        if (name == "generic") {
            relocation.generic = true;
            lexer_.expect("(");
            name = lexer_.expect_identifier("a symbol");
            lexer_.expect(")");
        }
        if (lexer_.peek().is("+") || lexer_.peek().is("-")) {
            const Constant addend = parse_constant(lexer_);
            if (addend.is_float()) lexer_.fail("an offset is an integer");
            relocation.addend = static_cast<std::int64_t>(addend.bits);
        }
        pending_.push_back({name, index_, variable_.relocations.size(), line});
        variable_.relocations.push_back(relocation);
        store(offset, 0, relocation.size);
    }

    void store(std::uint64_t offset, std::uint64_t bits, unsigned bytes) {
        // Bounded by the text: an element is at least two characters, gaps only come from rows.
        if (offset + bytes > kMaxInitial) lexer_.fail("too many initial values");
        if (variable_.initial.size() < offset + bytes) variable_.initial.resize(offset + bytes);
        for (unsigned i = 0; i < bytes; ++i) {
            variable_.initial[offset + i] = i < 8 ? static_cast<std::uint8_t>(bits >> (8 * i)) : 0;
        }
    }

    static constexpr std::uint64_t kMaxInitial = std::uint64_t{1} << 26;

    Lexer& lexer_;
    Variable& variable_;
    std::uint32_t index_;
    std::vector<PendingSymbol>& pending_;
};

}  // namespace

std::optional<Space> space_of(std::string_view directive) {
    if (directive == "reg") return Space::kReg;
    if (directive == "global") return Space::kGlobal;
    if (directive == "const") return Space::kConst;
    if (directive == "shared" || directive == "shared::cta") return Space::kShared;
    if (directive == "shared::cluster") return Space::kSharedCluster;
    if (directive == "local") return Space::kLocal;
    if (directive == "param" || directive == "param::entry" || directive == "param::func") {
        return Space::kParam;
    }
    if (directive == "tex") return Space::kTex;
    return std::nullopt;
}

Variable parse_type(Lexer& lexer, Space space) {
    Variable variable;
    variable.space = space;
    variable.line = lexer.line();
    while (lexer.peek().kind == TokenKind::kDirective) {
        const Token token = lexer.take();
        if (token.text == "align") {
            parse_align(lexer, variable);
        } else if (token.text == "attribute") {
            parse_attribute(lexer, variable);
        } else if (token.text == "v2" || token.text == "v4" || token.text == "v8") {
            variable.vector_width = static_cast<std::uint8_t>(token.text[1] - '0');
        } else if (token.text == "ptr") {
            variable.is_pointer = true;
            // The space that it points to, and an alignment that is not the parameter's own.
            while (lexer.peek().kind == TokenKind::kDirective) {
                if (lexer.accept_directive("align")) {
                    lexer.expect_integer("the alignment", kMaxAlign);
                } else if (space_of(lexer.peek().text)) {
                    lexer.take();
                } else {
                    break;
                }
            }
        } else if (const auto type = find_type(token.text)) {
            if (variable.type != Type::kNone) {
                throw SyntaxError(token.line, "a variable has one type");
            }
            variable.type = *type;
        } else {
            throw SyntaxError(token.line,
                              quoted_word(token.text) + " has no place in a declaration");
        }
    }
    if (variable.type == Type::kNone) lexer.fail_expected("a type");
    if (space != Space::kReg && (variable.type == Type::kPred || bits_of(variable.type) % 8 != 0)) {
        throw SyntaxError(variable.line, "a variable in memory cannot have the type ." +
                                             std::string(to_string(variable.type)));
    }
    variable.size = element_bytes(variable);
    variable.align = std::max(variable.align, static_cast<std::uint32_t>(variable.size));
    return variable;
}

void parse_dimensions(Lexer& lexer, Variable& variable, std::vector<std::uint64_t>& dimensions) {
    while (lexer.accept("[")) {
        variable.is_array = true;
        if (lexer.accept("]")) {
            if (!dimensions.empty()) lexer.fail("only the first dimension can be left open");
            variable.is_unsized = true;
            dimensions.push_back(0);
            continue;
        }
        const Constant extent = parse_constant(lexer);
        if (extent.is_float() || (extent.bits >> 40) != 0)
            lexer.fail("this dimension is too large");
        if (extent.bits == 0) variable.is_unsized = variable.is_unsized || dimensions.empty();
        dimensions.push_back(extent.bits);
        if (dimensions.size() > 16) lexer.fail("an array has at most 16 dimensions");
        lexer.expect("]");
    }
    for (std::uint64_t extent : dimensions) {
        if (extent != 0 && variable.size > kMaxVariableSize / extent) {
            lexer.fail("this variable is too large");
        }
        variable.size *= extent;
    }
}

void parse_initialiser(Lexer& lexer, Variable& variable,
                       const std::vector<std::uint64_t>& dimensions, std::uint32_t index,
                       std::vector<PendingSymbol>& pending) {
    if (is_opaque(variable.type)) {
        // `{ addr_mode_0 = wrap, … }` of a texture: its state comes from the driver API.
        lexer.skip_braces();
        return;
    }
    Initialiser initialiser(lexer, variable, index, pending);
    std::vector<std::uint64_t> extents = dimensions;
    if (variable.vector_width > 1) extents.push_back(variable.vector_width);
    if (!lexer.peek().is("{")) {
        if (!extents.empty()) lexer.fail("an array is initialised with `{…}`");
        initialiser.scalar(0);
        return;
    }
    if (extents.empty()) extents.push_back(1);
    for (std::size_t i = 1; i < extents.size(); ++i) {
        if (extents[i] == 0) lexer.fail("only the first dimension can be left open");
    }
    const std::uint64_t rows = initialiser.list(extents, 0, 0);
    if (variable.is_unsized) {
        variable.is_unsized = false;
        variable.size = bytes_of(variable.type) * rows;
        for (std::size_t i = 1; i < extents.size(); ++i) variable.size *= extents[i];
    }
}

std::vector<Variable> parse_parameters(Lexer& lexer, bool need_names, std::uint32_t first_register,
                                       std::uint64_t& size) {
    std::vector<Variable> parameters;
    lexer.expect("(");
    if (lexer.accept(")")) return parameters;
    do {
        const Token space = lexer.peek();
        if (space.kind != TokenKind::kDirective || !space_of(space.text)) {
            lexer.fail_expected("`.param` or `.reg`");
        }
        lexer.take();
        const Space where = *space_of(space.text);
        if (where != Space::kParam && where != Space::kReg) {
            throw SyntaxError(space.line, "a parameter is in .param or .reg");
        }
        Variable parameter = parse_type(lexer, where);
        std::vector<std::uint64_t> dimensions;
        if (need_names || lexer.peek().kind == TokenKind::kIdentifier) {
            parameter.name = lexer.expect_identifier("the parameter's name");
        }
        parse_dimensions(lexer, parameter, dimensions);
        if (where == Space::kReg) {
            if (parameter.is_array || parameter.vector_width > 1) {
                lexer.fail("a register parameter is a scalar");
            }
            parameter.register_index = first_register++;
        } else {
            place(parameter, size);
            if (size > kMaxVariableSize) lexer.fail("these parameters are too large");
        }
        parameters.push_back(std::move(parameter));
        if (parameters.size() > kMaxParameters) lexer.fail("too many parameters");
    } while (lexer.accept(","));
    lexer.expect(")");
    return parameters;
}

void place(Variable& variable, std::uint64_t& size) {
    variable.offset = (size + variable.align - 1) / variable.align * variable.align;
    size = variable.offset + variable.size;
}

}  // namespace cubar::softgpu::ptx
