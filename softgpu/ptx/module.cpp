// SPDX-License-Identifier: Apache-2.0
#include <charconv>
#include <unordered_map>

#include "softgpu/ptx/declaration.h"
#include "softgpu/ptx/directive.h"
#include "softgpu/ptx/lexer.h"
#include "softgpu/ptx/parse.h"

namespace cubar::softgpu::ptx {

struct Module::Names {
    struct Symbol {
        bool is_function;
        std::uint32_t index;
    };
    struct Hash {
        using is_transparent = void;
        std::size_t operator()(std::string_view name) const {
            return std::hash<std::string_view>()(name);
        }
    };
    std::unordered_map<std::string, Symbol, Hash, std::equal_to<>> symbols;

    std::uint32_t find(std::string_view name, bool function) const {
        const auto found = symbols.find(name);
        if (found == symbols.end() || found->second.is_function != function) return kNoIndex;
        return found->second.index;
    }
};

std::uint32_t Module::find_variable(std::string_view name) const {
    return names->find(name, false);
}

std::uint32_t Module::find_function(std::string_view name) const {
    return names->find(name, true);
}

void Log::add(std::uint32_t line, std::string_view reason) {
    if (++errors > kMaxErrors) return;
    text += "line " + std::to_string(line) + ": ";
    text += reason;
    text += '\n';
}

namespace {

constexpr unsigned kNewestVersion = 91;

class ModuleParser {
public:
    ModuleParser(Module& module, Log& log) : module_(module), log_(log), lexer_(module.text, 1) {}

    void parse() {
        header();
        while (lexer_.peek().kind != TokenKind::kEnd) {
            statement();
            if (log_.errors >= Log::kMaxErrors) return;
        }
        resolve_initialisers();
    }

private:
    struct Attributes {
        Linkage linkage = Linkage::kInternal;
        std::uint32_t line = 0;
    };

    void header() {
        if (!lexer_.accept_directive("version")) lexer_.fail_expected("`.version`");
        version();
        if (!lexer_.accept_directive("target")) lexer_.fail_expected("`.target`");
        target();
        if (lexer_.accept_directive("address_size")) {
            const std::uint64_t bits = lexer_.expect_integer("the address size", 64);
            if (bits != 32 && bits != 64) lexer_.fail("the address size is 32 or 64");
            module_.address_size = static_cast<unsigned>(bits);
        }
    }

    // The number is major.minor, which the lexer reads as a fraction: read the digits.
    void version() {
        const Token token = lexer_.take();
        const std::size_t dot = token.text.find('.');
        unsigned major = 0;
        unsigned minor = 0;
        const char* const begin = token.text.data();
        const char* const end = begin + token.text.size();
        const auto read = [](const char* from, const char* to, unsigned& value) {
            const auto [stop, error] = std::from_chars(from, to, value);
            return error == std::errc() && stop == to && value < 100;
        };
        if (token.kind != TokenKind::kFloat || dot == std::string_view::npos ||
            !read(begin, begin + dot, major) || !read(begin + dot + 1, end, minor)) {
            throw SyntaxError(token.line,
                              "expected a version such as 9.0, found " + describe(token));
        }
        module_.version = 10 * major + minor;
        if (module_.version > kNewestVersion) {
            log_.newer_version = true;
            throw SyntaxError(token.line, "PTX version " + std::string(token.text) +
                                              " is newer than 9.1, which is the newest known here");
        }
    }

    void target() {
        do {
            const std::uint32_t line = lexer_.line();
            const std::string_view word = lexer_.expect_identifier("a target");
            if (word.starts_with("sm_") || word.starts_with("compute_")) {
                const std::size_t digits = word.find('_') + 1;
                unsigned number = 0;
                const auto [stop, error] =
                    std::from_chars(word.data() + digits, word.data() + word.size(), number);
                if (error != std::errc() || word.data() + word.size() - stop > 1 || number > 999) {
                    throw SyntaxError(line, quoted(word) + " is not a target");
                }
                module_.target = number;
                module_.target_name = word;
            } else if (word != "texmode_unified" && word != "texmode_independent" &&
                       word != "debug" && word != "map_f64_to_f32") {
                throw SyntaxError(line, quoted(word) + " is not a target");
            }
        } while (lexer_.accept(","));
        if (module_.target == 0) lexer_.fail("the target names no architecture");
    }

    void statement() {
        if (lexer_.accept(";")) return;
        if (lexer_.peek().is("@@")) {
            lexer_.skip_line();
            return;
        }
        Attributes attributes;
        attributes.line = lexer_.line();
        Token token = lexer_.peek();
        if (token.kind != TokenKind::kDirective) lexer_.fail_expected("a directive");
        lexer_.take();
        while (is_linkage(token.text, attributes.linkage)) {
            token = lexer_.peek();
            if (token.kind != TokenKind::kDirective) lexer_.fail_expected("a directive");
            lexer_.take();
        }
        if (skip_debug_directive(lexer_, token)) return;
        if (token.text == "entry") {
            function(FunctionKind::kEntry, attributes);
        } else if (token.text == "func") {
            function(FunctionKind::kFunc, attributes);
        } else if (token.text == "pragma") {
            do {
                lexer_.expect_string();
            } while (lexer_.accept(","));
            lexer_.expect(";");
        } else if (token.text == "alias") {
            alias();
        } else if (const auto space = space_of(token.text)) {
            variables(*space, attributes);
        } else {
            throw SyntaxError(token.line, "unknown directive " + describe(token));
        }
    }

    static bool is_linkage(std::string_view word, Linkage& linkage) {
        if (word == "visible") {
            linkage = Linkage::kVisible;
        } else if (word == "extern") {
            linkage = Linkage::kExtern;
        } else if (word == "weak") {
            linkage = Linkage::kWeak;
        } else if (word == "common") {
            linkage = Linkage::kCommon;
        } else {
            return false;
        }
        return true;
    }

    void alias() {
        const std::uint32_t line = lexer_.line();
        const std::string_view name = lexer_.expect_identifier("a function's name");
        lexer_.expect(",");
        const std::string_view target = lexer_.expect_identifier("a function's name");
        lexer_.expect(";");
        const std::uint32_t index = module_.find_function(target);
        if (index == kNoIndex) {
            throw SyntaxError(line, "unknown function " + quoted(target));
        }
        module_.names->symbols.insert_or_assign(std::string(name),
                                                Module::Names::Symbol{true, index});
    }

    void variables(Space space, const Attributes& attributes) {
        if (space == Space::kReg || space == Space::kParam || space == Space::kSharedCluster) {
            throw SyntaxError(attributes.line, "a ." + std::string(to_string(space)) +
                                                   " variable is declared inside functions only");
        }
        const Variable type = parse_type(lexer_, space);
        do {
            Variable variable = type;
            variable.linkage = attributes.linkage;
            variable.line = lexer_.line();
            const std::string_view name = lexer_.expect_identifier("the variable's name");
            variable.name = name;
            std::vector<std::uint64_t> dimensions;
            parse_dimensions(lexer_, variable, dimensions);
            const auto index = static_cast<std::uint32_t>(module_.variables.size());
            if (lexer_.accept("=")) {
                if (space != Space::kGlobal && space != Space::kConst) {
                    lexer_.fail("a ." + std::string(to_string(space)) +
                                " variable cannot have an initial value");
                }
                parse_initialiser(lexer_, variable, dimensions, index, pending_);
            }
            if (variable.is_unsized && variable.linkage != Linkage::kExtern) {
                throw SyntaxError(variable.line, quoted(variable.name) + " needs a size");
            }
            add_variable(std::move(variable), index);
        } while (lexer_.accept(","));
        lexer_.expect(";");
    }

    void add_variable(Variable variable, std::uint32_t index) {
        const auto found = module_.names->symbols.find(variable.name);
        if (found == module_.names->symbols.end()) {
            module_.names->symbols.emplace(variable.name, Module::Names::Symbol{false, index});
            module_.variables.push_back(std::move(variable));
            return;
        }
        // An .extern declaration and the definition, in either order, are one variable.
        const bool is_variable = !found->second.is_function;
        Variable* const known = is_variable ? &module_.variables[found->second.index] : nullptr;
        const bool is_extern = variable.linkage == Linkage::kExtern;
        if (!known || known->space != variable.space ||
            (known->linkage != Linkage::kExtern && !is_extern)) {
            throw SyntaxError(variable.line, quoted(variable.name) + " is declared twice");
        }
        if (is_extern) return;
        for (PendingSymbol& symbol : pending_) {
            if (symbol.variable == index) symbol.variable = found->second.index;
        }
        *known = std::move(variable);
    }

    void function(FunctionKind kind, const Attributes& attributes) {
        Function head;
        head.kind = kind;
        head.linkage = attributes.linkage;
        if (kind == FunctionKind::kFunc) {
            directives(head.directives);
            std::uint64_t size = 0;
            if (lexer_.peek().is("(")) head.returns = parse_parameters(lexer_, true, 0, size);
        }
        head.line = lexer_.line();
        head.name = lexer_.expect_identifier("the function's name");
        if (lexer_.peek().is("(")) {
            std::uint32_t first_register = 0;
            for (const Variable& result : head.returns) {
                first_register += result.register_index != kNoIndex ? 1 : 0;
            }
            head.parameters = parse_parameters(lexer_, true, first_register, head.parameter_size);
        }
        directives(head.directives);
        if (lexer_.peek().is("{")) {
            head.is_defined = true;
            head.body_line = lexer_.line();
            const Lexer::Extent extent = lexer_.skip_braces();
            head.body_begin = extent.begin;
            head.body_end = extent.end;
        } else {
            lexer_.expect(";");
        }
        add_function(std::move(head));
    }

    void add_function(Function head) {
        const auto index = static_cast<std::uint32_t>(module_.functions.size());
        const auto [found, is_new] =
            module_.names->symbols.emplace(head.name, Module::Names::Symbol{true, index});
        if (is_new) {
            module_.functions.push_back(std::move(head));
            return;
        }
        Function* const known =
            found->second.is_function ? &module_.functions[found->second.index] : nullptr;
        if (!known || known->kind != head.kind || (known->is_defined && head.is_defined)) {
            throw SyntaxError(head.line, quoted(head.name) + " is declared twice");
        }
        if (known->parameters.size() != head.parameters.size() ||
            known->returns.size() != head.returns.size() ||
            known->parameter_size != head.parameter_size) {
            throw SyntaxError(head.line, quoted(head.name) +
                                             " was declared with other parameters in line " +
                                             std::to_string(known->line));
        }
        if (head.is_defined) *known = std::move(head);
    }

    void directives(Directives& directives) {
        for (;;) {
            const Token token = lexer_.peek();
            if (token.kind != TokenKind::kDirective) return;
            if (!directive(token, directives)) {
                lexer_.fail(describe(token) + " has no place in a function's head");
            }
        }
    }

    bool directive(const Token& token, Directives& directives) {
        const std::string_view word = token.text;
        if (word == "param" || word == "reg") return false;
        lexer_.take();
        if (word == "maxntid") {
            extents(directives.maxntid);
        } else if (word == "reqntid") {
            extents(directives.reqntid);
        } else if (word == "reqnctapercluster") {
            extents(directives.reqnctapercluster);
        } else if (word == "minnctapersm") {
            directives.minnctapersm = number();
        } else if (word == "maxnctapersm") {
            directives.maxnctapersm = number();
        } else if (word == "maxnreg") {
            directives.maxnreg = number();
        } else if (word == "maxclusterrank") {
            directives.maxclusterrank = number();
        } else if (word == "explicitcluster") {
            directives.explicit_cluster = true;
        } else if (word == "blocksareclusters") {
            directives.blocks_are_clusters = true;
        } else if (word == "noreturn") {
            directives.no_return = true;
        } else if (word == "unique_intf") {
            // Says how the linker may treat the symbol: nothing to execute.
        } else if (word == "abi_preserve" || word == "abi_preserve_control") {
            number();
        } else if (word == "attribute") {
            lexer_.expect("(");
            if (!lexer_.accept_directive("unified")) lexer_.fail_expected("`.unified`");
            if (lexer_.accept("(")) {
                lexer_.expect_integer("a UUID's half", ~std::uint64_t{0});
                lexer_.expect(",");
                lexer_.expect_integer("a UUID's half", ~std::uint64_t{0});
                lexer_.expect(")");
            }
            lexer_.expect(")");
        } else if (word == "pragma") {
            do {
                directives.pragmas.emplace_back(lexer_.expect_string());
            } while (lexer_.accept(","));
            lexer_.expect(";");
        } else {
            throw SyntaxError(token.line, "unknown directive " + describe(token));
        }
        return true;
    }

    std::uint32_t number() {
        return static_cast<std::uint32_t>(lexer_.expect_integer("a number", 0xffffffff));
    }

    void extents(std::array<std::uint32_t, 3>& extents) {
        extents = {1, 1, 1};
        for (std::uint32_t& extent : extents) {
            extent = number();
            if (!lexer_.accept(",")) return;
        }
        lexer_.fail("at most three numbers stand here");
    }

    void resolve_initialisers() {
        for (const PendingSymbol& symbol : pending_) {
            Relocation& relocation =
                module_.variables[symbol.variable].relocations[symbol.relocation];
            relocation.variable = module_.find_variable(symbol.name);
            relocation.function = module_.find_function(symbol.name);
            if (relocation.variable == kNoIndex && relocation.function == kNoIndex) {
                log_.add(symbol.line, "unknown symbol " + quoted(symbol.name));
            }
        }
    }

    Module& module_;
    Log& log_;
    Lexer lexer_;
    std::vector<PendingSymbol> pending_;
};

}  // namespace

std::unique_ptr<Module> parse_module(std::string_view text, Log& log) {
    auto module = std::make_unique<Module>();
    module->text = text.substr(0, text.find('\0'));
    module->names = std::make_shared<Module::Names>();
    const unsigned errors_before = log.errors;
    try {
        ModuleParser(*module, log).parse();
    } catch (const SyntaxError& error) {
        log.add(error.line(), error.what());
    }
    if (log.errors != errors_before) return nullptr;
    return module;
}

}  // namespace cubar::softgpu::ptx
