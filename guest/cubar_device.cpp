// SPDX-License-Identifier: Apache-2.0
// What the udev rule and the package's scripts run: gives cubar's devices to the group `cubar`.
#include <grp.h>
#include <time.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string_view>

#include "guest/device_grant.h"

namespace {

using cubar::tools::Grant;
using cubar::tools::Granted;

constexpr const char* kUsage =
    "usage: cubar-device add|remove --all|DIRECTORY [--group GROUP] [--root DIR]\n"
    "  add        enable cubar's devices and let the group use them\n"
    "  remove     undo that\n"
    "  --all      every device of this machine; or DIRECTORY, one device's in sysfs\n"
    "  --group    name or number (cubar)\n"
    "  --root DIR the system below DIR instead of the running one\n";

bool find_group(const char* name, gid_t& group) {
    char* end = nullptr;
    group = static_cast<gid_t>(std::strtoul(name, &end, 10));
    if (end != name && *end == '\0') {
        return true;
    }
    const struct group* const entry = getgrnam(name);
    if (entry != nullptr) {
        group = entry->gr_gid;
    }
    return entry != nullptr;
}

/// The kernel announces a plugged device before sysfs shows its BARs, and tells nobody when it
/// does.
void await_memory_file(const std::string& device) {
    constexpr unsigned kLooks = 200;
    constexpr timespec kPause{0, 10'000'000};
    for (unsigned look = 0; look < kLooks && !cubar::tools::has_memory_file(device); ++look) {
        clock_nanosleep(CLOCK_MONOTONIC, 0, &kPause, nullptr);
    }
}

}  // namespace

int main(int count, char** arguments) {
    cubar::tools::Root root;
    const char* group_name = "cubar";
    std::string_view verb;
    std::string_view which;
    for (int i = 1; i < count; ++i) {
        const std::string_view argument = arguments[i];
        if (argument == "--root" && i + 1 < count) {
            root.directory = arguments[++i];
        } else if (argument == "--group" && i + 1 < count) {
            group_name = arguments[++i];
        } else if (verb.empty()) {
            verb = argument;
        } else {
            which = argument;
        }
    }
    const bool add = verb == "add";
    if ((!add && verb != "remove") || which.empty()) {
        std::fputs(kUsage, stderr);
        return 2;
    }
    gid_t group = 0;
    if (!find_group(group_name, group)) {
        std::fprintf(stderr,
                     "cubar-device: there is no group %s: create it with systemd-sysusers or "
                     "groupadd --system %s\n",
                     group_name, group_name);
        return 1;
    }
    std::vector<std::string> devices;
    if (which == "--all") {
        devices = ivshmem_devices(root);
    } else {
        devices.emplace_back(which);
        await_memory_file(devices.front());
    }
    bool good = true;
    for (const std::string& device : devices) {
        const Granted done = add ? cubar::tools::grant_device(device, group)
                                 : cubar::tools::restore_device(device, group);
        good &= done.grant != Grant::kFailed;
        if (!done.says.empty()) {
            std::fprintf(done.grant == Grant::kFailed ? stderr : stdout, "cubar-device: %s\n",
                         done.says.c_str());
        }
    }
    return good ? 0 : 1;
}
