// SPDX-License-Identifier: Apache-2.0
// --query-gpu: the names and the form that scripts know from nvidia-smi.
#include <algorithm>
#include <cstdio>

#include "nvml/smi/card.h"

namespace cubar::smi {
namespace {

constexpr const char* kUnknown = "[N/A]";

std::string mebibytes(unsigned long long bytes) {
    return std::to_string(bytes >> 20);
}
std::string text(const std::optional<unsigned>& value) {
    return value ? std::to_string(*value) : kUnknown;
}
std::string watts(const std::optional<unsigned>& milliwatts) {
    char result[32];
    std::snprintf(result, sizeof result, "%.2f", milliwatts.value_or(0) / 1000.0);
    return milliwatts ? result : kUnknown;
}
std::string enabled(const std::optional<bool>& value) {
    return !value ? kUnknown : *value ? "Enabled" : "Disabled";
}

struct Field {
    std::string_view name;
    const char* unit;  ///< in the header and behind values; empty: none
    std::string (*value)(const Machine& machine, const Card& card);
};

constexpr Field kFields[] = {
    {"index", "", [](const Machine&, const Card& card) { return std::to_string(card.index); }},
    {"name", "", [](const Machine&, const Card& card) { return card.name; }},
    {"gpu_name", "", [](const Machine&, const Card& card) { return card.name; }},
    {"uuid", "", [](const Machine&, const Card& card) { return card.uuid; }},
    {"gpu_uuid", "", [](const Machine&, const Card& card) { return card.uuid; }},
    {"serial", "", [](const Machine&, const Card& card) { return card.serial.value_or(kUnknown); }},
    {"pci.bus_id", "", [](const Machine&, const Card& card) { return card.bus_id; }},
    {"gpu_bus_id", "", [](const Machine&, const Card& card) { return card.bus_id; }},
    {"count", "",
     [](const Machine& machine, const Card&) { return std::to_string(machine.cards.size()); }},
    {"driver_version", "",
     [](const Machine& machine, const Card&) {
         return machine.driver.empty() ? kUnknown : machine.driver;
     }},
    {"compute_cap", "", [](const Machine&, const Card& card) { return card.capability; }},
    {"memory.total", "MiB",
     [](const Machine&, const Card& card) { return mebibytes(card.memory_total); }},
    {"memory.used", "MiB",
     [](const Machine&, const Card& card) { return mebibytes(card.memory_used); }},
    {"memory.free", "MiB",
     [](const Machine&, const Card& card) { return mebibytes(card.memory_free); }},
    {"utilization.gpu", "%",
     [](const Machine&, const Card& card) { return text(card.gpu_utilisation); }},
    {"utilization.memory", "%",
     [](const Machine&, const Card& card) { return text(card.memory_utilisation); }},
    {"temperature.gpu", "",
     [](const Machine&, const Card& card) { return text(card.temperature); }},
    {"fan.speed", "%", [](const Machine&, const Card& card) { return text(card.fan); }},
    {"pstate", "",
     [](const Machine&, const Card& card) {
         return card.performance_state
                    ? std::string("P").append(std::to_string(*card.performance_state))
                    : kUnknown;
     }},
    {"power.draw", "W", [](const Machine&, const Card& card) { return watts(card.power); }},
    {"power.limit", "W", [](const Machine&, const Card& card) { return watts(card.power_limit); }},
    {"clocks.sm", "MHz", [](const Machine&, const Card& card) { return text(card.sm_clock); }},
    {"clocks.mem", "MHz", [](const Machine&, const Card& card) { return text(card.memory_clock); }},
    {"ecc.mode.current", "", [](const Machine&, const Card& card) { return enabled(card.ecc); }},
    {"mig.mode.current", "", [](const Machine&, const Card& card) { return enabled(card.mig); }},
};

std::string_view trimmed(std::string_view word) {
    while (word.starts_with(' ')) word.remove_prefix(1);
    while (word.ends_with(' ')) word.remove_suffix(1);
    return word;
}

}  // namespace

std::optional<std::string> as_csv(const Machine& machine, std::string_view list,
                                  const CsvStyle& style, std::string& wrong) {
    std::vector<const Field*> fields;
    for (bool more = true; more;) {
        const std::size_t comma = list.find(',');
        const std::string_view word = trimmed(list.substr(0, comma));
        more = comma != std::string_view::npos;
        list.remove_prefix(more ? comma + 1 : list.size());
        const Field* field = std::ranges::find(kFields, word, &Field::name);
        if (field == std::end(kFields)) {
            wrong = word;
            return std::nullopt;
        }
        fields.push_back(field);
    }
    std::string result;
    const auto line = [&](auto&& each) {
        const char* separator = "";
        for (const Field* field : fields) {
            result += separator;
            result += each(*field);
            separator = ", ";
        }
        result += '\n';
    };
    if (style.header) {
        line([](const Field& field) {
            std::string title(field.name);
            if (*field.unit != '\0') {
                title.append(" [").append(field.unit).append("]");
            }
            return title;
        });
    }
    for (const Card& card : machine.cards) {
        line([&](const Field& field) {
            std::string value = field.value(machine, card);
            if (style.units && *field.unit != '\0' && value != kUnknown) {
                value.append(" ").append(field.unit);
            }
            return value;
        });
    }
    return result;
}

std::string csv_fields() {
    std::string result;
    for (const Field& field : kFields) {
        result += std::string(field.name) + "\n";
    }
    return result;
}

}  // namespace cubar::smi
