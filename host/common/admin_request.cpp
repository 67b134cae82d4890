// SPDX-License-Identifier: Apache-2.0
#include "host/common/admin_request.h"

#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>
#include <utility>

namespace cubar::host {
namespace {

constexpr std::pair<AdminCommand, std::string_view> kCommands[] = {
    {AdminCommand::kStatus, "status"},
    {AdminCommand::kKill, "kill"},
    {AdminCommand::kReset, "reset"},
};

}  // namespace

std::string to_line(const AdminRequest& request) {
    const auto* command = std::ranges::find(kCommands, request.command,
                                            &std::pair<AdminCommand, std::string_view>::first);
    nlohmann::json json{{"command", command->second}};
    if (request.command != AdminCommand::kStatus) {
        json["vm"] = request.vm;
    }
    if (request.command == AdminCommand::kKill) {
        json["session"] = request.session;
    }
    return json.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace) + "\n";
}

std::optional<AdminRequest> decode_admin_request(std::string_view line) {
    if (line.size() > kMaxAdminRequest) {
        return std::nullopt;
    }
    const auto json = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (!json.is_object() || !json.contains("command") || !json["command"].is_string()) {
        return std::nullopt;
    }
    const auto* command =
        std::ranges::find(kCommands, json["command"].get_ref<const std::string&>(),
                          &std::pair<AdminCommand, std::string_view>::second);
    if (command == std::end(kCommands)) {
        return std::nullopt;
    }
    AdminRequest request{.command = command->first};
    if (request.command != AdminCommand::kStatus) {
        if (!json.contains("vm") || !json["vm"].is_string()) {
            return std::nullopt;
        }
        request.vm = json["vm"].get<std::string>();
    }
    if (request.command == AdminCommand::kKill) {
        if (!json.contains("session") || !json["session"].is_number_unsigned()) {
            return std::nullopt;
        }
        request.session = json["session"].get<std::uint64_t>();
    }
    return request;
}

}  // namespace cubar::host
