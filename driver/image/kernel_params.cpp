// SPDX-License-Identifier: Apache-2.0
#include "driver/image/kernel_params.h"

#include <algorithm>
#include <optional>
#include <utility>

namespace cubar::driver::image {
namespace {

// How a record holds its value.
enum class InfoFormat : std::uint8_t {
    kNone = 1,
    kByte = 2,
    kHalf = 3,   // in the size field
    kSized = 4,  // behind it
};

enum class InfoAttribute : std::uint8_t {
    kParam = 0x17,
    kParamTotal = 0x19,
    kParamV2 = 0x45,  // where a size does not fit kParam
};

struct InfoRecord {
    InfoFormat format;
    InfoAttribute attribute;
    std::uint16_t value;  // or the size of what follows
};
static_assert(sizeof(InfoRecord) == 4);

struct ParamRecord {
    std::uint32_t index;
    std::uint16_t ordinal;
    std::uint16_t offset;
    std::uint32_t size_word;
};
static_assert(sizeof(ParamRecord) == 12);

struct Described {
    std::uint16_t ordinal;
    KernelParam param;
};

Result<Described> parse_param(InfoAttribute attribute, Bytes data) noexcept {
    const auto record = load<ParamRecord>(data, 0);
    if (!record) {
        return Failure{".nv.info: a parameter shorter than its description"};
    }
    const std::uint32_t size =
        attribute == InfoAttribute::kParamV2 ? record->size_word & 0xffff : record->size_word >> 18;
    return Described{record->ordinal, {record->offset, size}};
}

// Puts the parameters, which are listed in any order, into theirs.
Result<KernelParams> arrange(std::vector<Described> described, std::uint32_t total) noexcept {
    std::ranges::sort(described, {}, &Described::ordinal);
    KernelParams result{.params = {}, .total_size = total};
    for (const Described& one : described) {
        if (one.ordinal != result.params.size()) {
            return Failure{".nv.info: a parameter is missing or named twice"};
        }
        if (one.param.offset + one.param.size > total) {
            return Failure{".nv.info: a parameter outside the parameter buffer"};
        }
        result.params.push_back(one.param);
    }
    return result;
}

}  // namespace

Result<KernelParams> parse_kernel_params(Bytes info) noexcept {
    std::vector<Described> described;
    std::optional<std::uint32_t> total;
    while (!info.empty()) {
        const auto record = load<InfoRecord>(info, 0);
        if (!record) {
            return Failure{".nv.info: a record shorter than its header"};
        }
        info = info.subspan(sizeof *record);
        Bytes data;
        if (record->format == InfoFormat::kSized) {
            const auto follows = part(info, 0, record->value);
            if (!follows) {
                return Failure{".nv.info: a record that reaches beyond the end"};
            }
            data = *follows;
            info = info.subspan(record->value);
        } else if (record->format != InfoFormat::kNone && record->format != InfoFormat::kByte &&
                   record->format != InfoFormat::kHalf) {
            return Failure{".nv.info: a record of unknown format"};
        }
        switch (record->attribute) {
            case InfoAttribute::kParam:
            case InfoAttribute::kParamV2: {
                const auto param = parse_param(record->attribute, data);
                if (!param) {
                    return param.failure();
                }
                described.push_back(*param);
                break;
            }
            case InfoAttribute::kParamTotal:
                total = record->value;
                break;
            default:
                break;
        }
    }
    if (!described.empty() && !total) {
        return Failure{".nv.info: parameters without their total size"};
    }
    return arrange(std::move(described), total.value_or(0));
}

Result<KernelParams> kernel_params(const ElfReader& elf, std::string_view kernel) noexcept {
    constexpr std::string_view kPrefix = ".nv.info.";
    const auto is_info = [&](std::string_view name) {
        return name.starts_with(kPrefix) && name.substr(kPrefix.size()) == kernel;
    };
    for (std::size_t index = 0; index < elf.section_count(); ++index) {
        const auto section = elf.section(index);
        if (!section) {
            return section.failure();
        }
        if (is_info(section->name)) {
            return parse_kernel_params(section->data);
        }
    }
    return Failure{"ELF: no such kernel"};
}

}  // namespace cubar::driver::image
