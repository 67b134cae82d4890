// SPDX-License-Identifier: Apache-2.0
// As a list, as a table for people, as JSON.
#include <cstdarg>
#include <cstdio>

#include "nvml/smi/card.h"

namespace cubar::smi {
namespace {

constexpr unsigned long long kMib = 1ULL << 20;

[[gnu::format(printf, 1, 2)]] std::string formatted(const char* format, ...) {
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    std::vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return text;
}

std::string or_unknown(const std::optional<unsigned>& value, const char* unit) {
    return value ? std::to_string(*value) + unit : "N/A";
}

std::string watts(const std::optional<unsigned>& milliwatts) {
    return milliwatts ? formatted("%.1f W", *milliwatts / 1000.0) : "N/A";
}

std::string quoted(std::string_view text) {
    std::string result = "\"";
    for (const char c : text) {
        if (c == '"' || c == '\\') {
            result += '\\';
            result += c;
        } else if (static_cast<unsigned char>(c) < 0x20) {
            result += formatted("\\u%04x", static_cast<unsigned>(c));
        } else {
            result += c;
        }
    }
    return result + "\"";
}

std::string json(const std::optional<unsigned>& value) {
    return value ? std::to_string(*value) : "null";
}
std::string json(const std::optional<bool>& value) {
    return !value ? "null" : *value ? "true" : "false";
}

std::string card_as_json(const Card& card) {
    std::string result = "    {\n";
    const auto member = [&](const char* name, const std::string& value) {
        result += formatted("      \"%s\": ", name) + value + ",\n";
    };
    member("index", std::to_string(card.index));
    member("name", quoted(card.name));
    member("uuid", quoted(card.uuid));
    member("pci_bus_id", quoted(card.bus_id));
    member("serial", card.serial ? quoted(*card.serial) : "null");
    member("compute_capability", quoted(card.capability));
    member("memory_total_bytes", std::to_string(card.memory_total));
    member("memory_used_bytes", std::to_string(card.memory_used));
    member("memory_free_bytes", std::to_string(card.memory_free));
    member("gpu_utilisation_percent", json(card.gpu_utilisation));
    member("memory_utilisation_percent", json(card.memory_utilisation));
    member("temperature_celsius", json(card.temperature));
    member("fan_percent", json(card.fan));
    member("performance_state", json(card.performance_state));
    member("power_milliwatts", json(card.power));
    member("power_limit_milliwatts", json(card.power_limit));
    member("sm_clock_mhz", json(card.sm_clock));
    member("memory_clock_mhz", json(card.memory_clock));
    member("ecc", json(card.ecc));
    member("mig", json(card.mig));
    result += "      \"processes\": [";
    const char* separator = "";
    for (const Process& process : card.processes) {
        result += formatted("%s\n        {\"pid\": %u, \"name\": ", separator, process.pid) +
                  (process.name.empty() ? "null" : quoted(process.name)) +
                  formatted(", \"memory_bytes\": %llu}", process.bytes);
        separator = ",";
    }
    return result + (card.processes.empty() ? "]\n    }" : "\n      ]\n    }");
}

}  // namespace

std::string as_list(const Machine& machine) {
    std::string result;
    for (const Card& card : machine.cards) {
        result +=
            formatted("GPU %u: %s (UUID: %s)\n", card.index, card.name.c_str(), card.uuid.c_str());
    }
    return result;
}

std::string as_table(const Machine& machine) {
    std::string result =
        formatted("cubar: driver %s on the host, CUDA %s\n\n",
                  machine.driver.empty() ? "of unknown version" : machine.driver.c_str(),
                  machine.cuda.c_str());
    for (const Card& card : machine.cards) {
        result += formatted("GPU %u  %s  %s  %s\n", card.index, card.name.c_str(),
                            card.bus_id.c_str(), card.uuid.c_str());
        result +=
            formatted("  memory       %llu MiB of %llu MiB used, %llu MiB free\n",
                      card.memory_used / kMib, card.memory_total / kMib, card.memory_free / kMib);
        result += "  utilisation  GPU " + or_unknown(card.gpu_utilisation, " %") + ", memory " +
                  or_unknown(card.memory_utilisation, " %") + "\n";
        result += "  temperature  " + or_unknown(card.temperature, " C") + ", fan " +
                  or_unknown(card.fan, " %") + "\n";
        result += "  power        " + watts(card.power) + " of " + watts(card.power_limit) + "\n";
        result += "  clocks       SM " + or_unknown(card.sm_clock, " MHz") + ", memory " +
                  or_unknown(card.memory_clock, " MHz") + "\n";
        result += card.processes.empty() ? "  processes    none\n" : "  processes\n";
        for (const Process& process : card.processes) {
            result += formatted("    %8u  %6llu MiB  %s\n", process.pid, process.bytes / kMib,
                                process.name.empty() ? "?" : process.name.c_str());
        }
    }
    return result;
}

std::string as_json(const Machine& machine) {
    std::string result =
        "{\n  \"driver_version\": " + (machine.driver.empty() ? "null" : quoted(machine.driver)) +
        ",\n  \"cuda_version\": " + quoted(machine.cuda) + ",\n  \"gpus\": [";
    const char* separator = "\n";
    for (const Card& card : machine.cards) {
        result += separator;
        result += card_as_json(card);
        separator = ",\n";
    }
    return result + (machine.cards.empty() ? "]\n}\n" : "\n  ]\n}\n");
}

}  // namespace cubar::smi
