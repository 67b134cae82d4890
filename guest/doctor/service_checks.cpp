// SPDX-License-Identifier: Apache-2.0
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "guest/doctor/checks.h"
#include "guest/doctor/systemd_unit.h"

namespace cubar::tools {

namespace {

constexpr const char* kDropIn = "/usr/lib/systemd/system/ollama.service.d/50-cubar.conf";

bool contains(const std::vector<Setting>& settings, std::string_view text) {
    return std::any_of(settings.begin(), settings.end(), [&](const Setting& setting) {
        return setting.value.find(text) != std::string::npos;
    });
}

/// Calls `each` with the entries of a list with colons.
template <typename Each>
void for_each_directory(std::string_view list, Each&& each) {
    for (;;) {
        const std::size_t end = list.find(':');
        each(std::string(list.substr(0, end)));
        if (end == std::string_view::npos) {
            return;
        }
        list.remove_prefix(end + 1);
    }
}

/// Members of the group that /etc/group names.
bool is_member(const Root& root, const std::string& user) {
    bool member = false;
    const std::optional<std::string> text = read_text(root("/etc/group"));
    for_each_line(text ? std::string_view(*text) : std::string_view(), [&](std::string_view line) {
        if (line.starts_with("cubar:")) {
            std::string members(line.substr(line.rfind(':') + 1));
            members = "," + members + ",";
            member |= members.find("," + user + ",") != std::string::npos;
        }
    });
    return member;
}

void check_search_path(const Root& root, const SystemdUnit& unit, const std::string& mend,
                       Report& report) {
    const Setting path = unit.variable(root, "LD_LIBRARY_PATH");
    if (path.file.empty()) {
        report.bad("service", "LD_LIBRARY_PATH is not set for it", mend);
        return;
    }
    std::string first;
    bool ours = false;
    for_each_directory(path.value, [&](const std::string& directory) {
        ours |= directory == CUBAR_LIBRARY_DIRECTORY;
        const std::string other = directory + "/libcuda.so.1";
        if (!ours && first.empty() && !directory.empty() &&
            access(root(other).c_str(), F_OK) == 0) {
            first = other;
        }
    });
    if (!ours) {
        report.bad("service", path.file + " sets LD_LIBRARY_PATH=" + path.value,
                   "put " CUBAR_LIBRARY_DIRECTORY
                   ": before it there, then systemctl daemon-reload");
    } else if (!first.empty()) {
        report.bad("another libcuda", path.file + " has ollama find " + first + " first",
                   "put " CUBAR_LIBRARY_DIRECTORY ": first in its LD_LIBRARY_PATH");
    } else {
        report.good("service", "LD_LIBRARY_PATH=" + path.value + " of " + path.file);
    }
}

void check_group(const Root& root, const OllamaConfig& config, const SystemdUnit& unit,
                 const std::string& mend, Report& report) {
    if (contains(unit.list("SupplementaryGroups"), "cubar") ||
        contains(unit.list("Group"), "cubar")) {
        report.good("service", "it is in group cubar");
    } else if (is_member(root, config.user)) {
        report.good("service", "its user " + config.user + " is in group cubar");
    } else {
        report.bad("service", "it is not in group cubar, whose the device is", mend);
    }
}

}  // namespace

void check_service(const Root& root, const OllamaConfig& config, Report& report) {
    const SystemdUnit unit = read_unit(root, config.service);
    if (unit.fragment.empty() || unit.masked) {
        report.note("service", config.service + (unit.masked ? " is masked" : " is not there"),
                    "ollama from a shell needs a user in group cubar: usermod -aG cubar USER");
        return;
    }
    std::string mend = std::string("see which drop-in undoes it: systemctl cat ") + config.service +
                       "; what " + kDropIn +
                       " says must be the last word, then systemctl daemon-reload";
    if (config.service != "ollama.service") {
        mend = std::string("copy ") + kDropIn + " to /etc/systemd/system/" + config.service +
               ".d/, then systemctl daemon-reload";
    } else if (access(root(kDropIn).c_str(), R_OK) != 0) {
        mend = "install the package cubar-ollama again: its drop-in is missing";
    }
    check_search_path(root, unit, mend, report);
    check_group(root, config, unit, mend, report);
    if (!contains(unit.list("ExecStartPre"), "cubar-link")) {
        report.note("service",
                    "it does not run cubar-link before it starts: ollama's installer "
                    "wipes the link",
                    mend);
    }
    if (!contains(unit.list("ExecStopPost"), "cubar-reap")) {
        report.note("service",
                    "it does not run cubar-reap after it stops: what a killed ollama "
                    "held comes back late",
                    mend);
    }
    for (const char* key : {"PrivateDevices", "ProtectKernelTunables"}) {
        if (unit.is_on(key)) {
            report.bad("service", std::string(key) + " keeps the device's files in sysfs from it",
                       std::string("set ") + key + "=no in a drop-in of " + config.service);
        }
    }
}

}  // namespace cubar::tools
