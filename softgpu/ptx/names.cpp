// SPDX-License-Identifier: Apache-2.0
#include "softgpu/ptx/names.h"

#include <array>
#include <iterator>
#include <unordered_map>

namespace cubar::softgpu::ptx {
namespace {

#define CUBAR_PTX_TEXT(name, text, ...) std::string_view(text),

constexpr std::string_view kOpcodeNames[] = {CUBAR_PTX_OPCODES(CUBAR_PTX_TEXT)};
constexpr std::string_view kModifierNames[] = {CUBAR_PTX_MODIFIERS(CUBAR_PTX_TEXT)};
constexpr std::string_view kTypeNames[] = {std::string_view(), CUBAR_PTX_TYPES(CUBAR_PTX_TEXT)};
constexpr std::string_view kSpecialNames[] = {std::string_view(),
                                              CUBAR_PTX_SPECIALS(CUBAR_PTX_TEXT)};

#undef CUBAR_PTX_TEXT

#define CUBAR_PTX_TRAITS(name, text, bits, kind) Traits{bits, kind},

struct Traits {
    std::uint8_t bits;
    char kind;
};

constexpr Traits kTypeTraits[] = {Traits{0, ' '}, CUBAR_PTX_TYPES(CUBAR_PTX_TRAITS)};
constexpr Traits kSpecialTraits[] = {Traits{0, ' '}, CUBAR_PTX_SPECIALS(CUBAR_PTX_TRAITS)};

#undef CUBAR_PTX_TRAITS

static_assert(std::size(kOpcodeNames) == static_cast<std::size_t>(Opcode::kCount));
static_assert(std::size(kModifierNames) == static_cast<std::size_t>(Modifier::kCount));

template <typename Value, std::size_t size>
std::unordered_map<std::string_view, Value> invert(const std::string_view (&names)[size]) {
    std::unordered_map<std::string_view, Value> map;
    for (std::size_t i = 0; i < size; ++i) {
        if (!names[i].empty()) map.emplace(names[i], static_cast<Value>(i));
    }
    return map;
}

template <typename Value>
std::optional<Value> look_up(const std::unordered_map<std::string_view, Value>& map,
                             std::string_view name) {
    const auto found = map.find(name);
    if (found == map.end()) return std::nullopt;
    return found->second;
}

const Traits& traits(Type type) {
    return kTypeTraits[static_cast<std::size_t>(type)];
}

bool is_digits(std::string_view text) {
    return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

}  // namespace

std::string_view to_string(Opcode opcode) {
    return kOpcodeNames[static_cast<std::size_t>(opcode)];
}

std::string_view to_string(Modifier modifier) {
    return kModifierNames[static_cast<std::size_t>(modifier)];
}

std::string_view to_string(Type type) {
    return kTypeNames[static_cast<std::size_t>(type)];
}

std::string_view to_string(Special special) {
    return kSpecialNames[static_cast<std::size_t>(special)];
}

std::string_view to_string(Space space) {
    static constexpr std::array<std::string_view, 10> kNames{
        "generic", "reg",   "sreg",   "const",           "global",
        "local",   "param", "shared", "shared::cluster", "tex"};
    return kNames[static_cast<std::size_t>(space)];
}

unsigned bits_of(Type type) {
    return traits(type).bits;
}
bool is_bits(Type type) {
    return traits(type).kind == 'b';
}
bool is_signed(Type type) {
    return traits(type).kind == 's';
}
bool is_unsigned(Type type) {
    return traits(type).kind == 'u';
}
bool is_integer(Type type) {
    return is_signed(type) || is_unsigned(type);
}
bool is_float(Type type) {
    return traits(type).kind == 'f';
}
bool is_packed(Type type) {
    return traits(type).kind == 'p';
}
bool is_opaque(Type type) {
    return traits(type).kind == 'o';
}

unsigned bits_of(Special special) {
    return kSpecialTraits[static_cast<std::size_t>(special)].bits;
}

bool is_vector(Special special) {
    return kSpecialTraits[static_cast<std::size_t>(special)].kind == 'v';
}

std::optional<Opcode> find_opcode(std::string_view name) {
    static const auto map = invert<Opcode>(kOpcodeNames);
    return look_up(map, name);
}

std::optional<Modifier> find_modifier(std::string_view name) {
    static const auto map = invert<Modifier>(kModifierNames);
    return look_up(map, name);
}

std::optional<Type> find_type(std::string_view name) {
    static const auto map = invert<Type>(kTypeNames);
    return look_up(map, name);
}

std::optional<SpecialName> find_special(std::string_view name) {
    static const auto map = invert<Special>(kSpecialNames);
    const auto exact = look_up(map, name);
    if (exact && kSpecialTraits[static_cast<std::size_t>(*exact)].kind != 'n') {
        return SpecialName{*exact, 0};
    }
    struct Numbered {
        std::string_view prefix, suffix;
        Special special;
        unsigned count;
    };
    static constexpr std::array<Numbered, 4> kNumbered{{
        {"%envreg", "", Special::kEnvreg, 32},
        {"%pm", "_64", Special::kPm64, 8},
        {"%pm", "", Special::kPm, 8},
        {"%reserved_smem_offset_", "", Special::kReservedSmemOffset, 2},
    }};
    for (const Numbered& numbered : kNumbered) {
        if (!name.starts_with(numbered.prefix) || !name.ends_with(numbered.suffix)) continue;
        if (name.size() <= numbered.prefix.size() + numbered.suffix.size()) continue;
        const std::string_view digits = name.substr(
            numbered.prefix.size(), name.size() - numbered.prefix.size() - numbered.suffix.size());
        if (!is_digits(digits) || digits.size() > 2) continue;
        unsigned number = 0;
        for (char digit : digits) number = number * 10 + static_cast<unsigned>(digit - '0');
        if (number < numbered.count) {
            return SpecialName{numbered.special, static_cast<std::uint8_t>(number)};
        }
    }
    return std::nullopt;
}

}  // namespace cubar::softgpu::ptx
