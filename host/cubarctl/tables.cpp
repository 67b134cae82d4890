// SPDX-License-Identifier: Apache-2.0
#include "host/cubarctl/tables.h"

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

namespace cubar::host {
namespace {

using Json = nlohmann::ordered_json;
using Row = std::vector<std::string>;

/// Columns as wide as what is in them, two spaces apart.
std::string aligned(const std::vector<Row>& rows) {
    std::vector<std::size_t> widths(rows.front().size());
    for (const Row& row : rows) {
        for (std::size_t i = 0; i < row.size(); ++i) {
            widths[i] = std::max(widths[i], row[i].size());
        }
    }
    std::string result;
    for (const Row& row : rows) {
        std::string line;
        for (std::size_t i = 0; i < row.size(); ++i) {
            line += row[i] + std::string(widths[i] + 2 - row[i].size(), ' ');
        }
        line.erase(line.find_last_not_of(' ') + 1);
        result += line + "\n";
    }
    return result;
}

std::string number(const Json& json) {
    return json.is_null() ? "-" : json.dump();
}

std::uint64_t sum(const Json& numbers) {
    std::uint64_t result = 0;
    for (const Json& one : numbers) {
        result += one.get<std::uint64_t>();
    }
    return result;
}

std::string duration(const Json& seconds) {
    if (seconds.is_null()) {
        return "-";
    }
    const auto all = seconds.get<std::uint64_t>();
    char text[48];
    std::snprintf(text, sizeof text, "%llu:%02u:%02u", static_cast<unsigned long long>(all / 3600),
                  static_cast<unsigned>(all / 60 % 60), static_cast<unsigned>(all % 60));
    return text;
}

}  // namespace

std::string in_words(std::uint64_t bytes) {
    constexpr const char* kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    auto value = static_cast<double>(bytes);
    std::size_t unit = 0;
    while (value >= 1024 && unit + 1 < std::size(kUnits)) {
        value /= 1024;
        ++unit;
    }
    char text[48];
    std::snprintf(text, sizeof text, unit == 0 ? "%.0f %s" : "%.1f %s", value, kUnits[unit]);
    return text;
}

std::string table_of_vms(const Json& status) {
    std::vector<Row> rows{{"VM", "STATE", "SESSIONS", "CHANNELS", "BAR", "MEMORY", "SOCKET"}};
    for (const Json& vm : status.at("vms")) {
        std::uint64_t used = 0;
        for (const Json& device : vm.at("devices")) {
            used += device.at("used").get<std::uint64_t>();
        }
        const std::size_t sessions = vm.at("sessions").size();
        rows.push_back({vm.at("name").get<std::string>(),
                        vm.at("connected").get<bool>() ? "connected" : "waiting",
                        std::to_string(sessions) + "/" + number(vm.at("max_sessions")),
                        number(vm.at("channels")),
                        in_words(vm.at("bar_bytes").get<std::uint64_t>()), in_words(used),
                        vm.at("socket").get<std::string>()});
    }
    return aligned(rows);
}

std::string table_of_sessions(const Json& status, const std::string& vm_name) {
    std::vector<Row> rows{{"SESSION", "STATE", "GUEST PID", "WORKER PID", "SINCE", "MEMORY"}};
    for (const Json& vm : status.at("vms")) {
        const auto name = vm.at("name").get<std::string>();
        if (!vm_name.empty() && name != vm_name) {
            continue;
        }
        for (const Json& session : vm.at("sessions")) {
            rows.push_back({name + "/" + number(session.at("session")),
                            session.at("state").get<std::string>(), number(session.at("guest_pid")),
                            number(session.at("worker_pid")), duration(session.at("seconds")),
                            in_words(sum(session.at("memory")))});
        }
    }
    return aligned(rows);
}

std::string table_of_usage(const Json& status) {
    std::vector<Row> rows{{"VM", "DEVICE", "USED", "QUOTA", "TOTAL"}};
    for (const Json& vm : status.at("vms")) {
        for (const Json& device : vm.at("devices")) {
            const auto quota = device.at("quota").get<std::uint64_t>();
            rows.push_back({vm.at("name").get<std::string>(), device.at("name").get<std::string>(),
                            in_words(device.at("used").get<std::uint64_t>()),
                            quota != 0 ? in_words(quota) : "-",
                            in_words(device.at("total").get<std::uint64_t>())});
        }
        if (const Json& cache = vm.at("compile_cache"); !cache.is_null()) {
            rows.push_back({vm.at("name").get<std::string>(), "compile cache on disk",
                            in_words(cache.at("used").get<std::uint64_t>()),
                            in_words(cache.at("limit").get<std::uint64_t>()), "-"});
        }
    }
    return aligned(rows);
}

}  // namespace cubar::host
