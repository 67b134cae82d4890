// SPDX-License-Identifier: Apache-2.0
#include "host/cubard/status.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "host/cubard/control_socket.h"
#include "host/cubard/vm.h"

namespace cubar::host {
namespace {

using Json = nlohmann::ordered_json;

Json number_or_null(const std::optional<std::int64_t>& number) {
    return number ? Json(*number) : Json(nullptr);
}

Json to_json(const SessionStatus& session) {
    return {{"session", session.session},
            {"channel", session.channel},
            {"state", session.state},
            {"guest_pid", session.guest_pid},
            {"worker_pid", number_or_null(session.worker_pid)},
            {"seconds", number_or_null(session.seconds)},
            {"memory", session.memory}};
}

Json to_json(const VmStatus& vm) {
    Json result{{"name", vm.name},
                {"socket", vm.socket},
                {"connected", vm.connected},
                {"boot_id", vm.boot_id},
                {"bar_bytes", vm.bar_bytes},
                {"channels", vm.channels},
                {"max_sessions", vm.max_sessions},
                {"devices", Json::array()},
                {"compile_cache", nullptr},
                {"sessions", Json::array()}};
    for (const DeviceStatus& device : vm.devices) {
        result["devices"].push_back({{"name", device.name},
                                     {"used", device.usage.used},
                                     {"quota", device.usage.quota},
                                     {"total", device.usage.total}});
    }
    if (vm.cache) {
        result["compile_cache"] = {{"used", vm.cache->used}, {"limit", vm.cache->limit}};
    }
    for (const SessionStatus& session : vm.sessions) {
        result["sessions"].push_back(to_json(session));
    }
    return result;
}

std::string to_line(const Json& json) {
    return json.dump(-1, ' ', true, Json::error_handler_t::replace);
}

std::string all(const HostStatus& host, std::list<Vm>& vms) {
    Json result{{"version", host.version},
                {"gpu", host.gpu},
                {"driver", host.driver},
                {"vms", Json::array()}};
    for (Vm& vm : vms) {
        result["vms"].push_back(to_json(vm.status()));
    }
    return to_line(result);
}

}  // namespace

std::string answer_admin(const AdminRequest& request, const HostStatus& host, std::list<Vm>& vms) {
    if (request.command == AdminCommand::kStatus) {
        return all(host, vms);
    }
    const auto vm = std::ranges::find(vms, request.vm, &Vm::name);
    if (vm == vms.end()) {
        return error_answer("there is no VM '" + request.vm + "'; cubarctl vms lists them");
    }
    std::uint32_t ended = 0;
    for (const SessionStatus& session : vm->status().sessions) {
        if (request.command == AdminCommand::kReset || session.session == request.session) {
            ended += vm->kill_session(session.session) ? 1 : 0;
        }
    }
    if (request.command == AdminCommand::kKill && ended == 0) {
        return error_answer("VM " + request.vm + " has no running session " +
                            std::to_string(request.session) + "; cubarctl sessions lists them");
    }
    return to_line({{"ended", ended}});
}

}  // namespace cubar::host
