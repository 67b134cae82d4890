// SPDX-License-Identifier: Apache-2.0
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>

#include "guest/device_grant.h"
#include "guest/doctor/checks.h"
#include "transport/device.h"

namespace cubar::tools {

namespace {

using transport::Error;
using transport::Failure;

constexpr const char* kAddDevice = CUBAR_HELPER_DIRECTORY "/cubar-device add --all";

struct GroupEntry {
    bool there = false;
    gid_t number = 0;
};

GroupEntry find_group(const Root& root) {
    GroupEntry entry;
    const std::optional<std::string> text = read_text(root("/etc/group"));
    for_each_line(text ? std::string_view(*text) : std::string_view(), [&](std::string_view line) {
        const std::size_t end = line.find(':');
        const std::size_t number = line.find(':', end == std::string_view::npos ? 0 : end + 1);
        if (line.substr(0, end) == "cubar" && number != std::string_view::npos) {
            const std::string digits(line.substr(number + 1));
            entry = {true, static_cast<gid_t>(std::strtoul(digits.c_str(), nullptr, 10))};
        }
    });
    return entry;
}

void check_lockdown(const Root& root, Report& report) {
    const std::string mode = read_line(root("/sys/kernel/security/lockdown"));
    if (mode.find("[integrity]") != std::string::npos ||
        mode.find("[confidentiality]") != std::string::npos) {
        report.bad("lockdown", "the kernel keeps PCI memory from programs: " + mode,
                   "switch Secure Boot off in this VM's firmware, or boot without lockdown=");
    } else {
        report.good("lockdown", mode.empty() ? "the kernel knows none" : mode);
    }
}

void check_enabled(const std::string& device, Report& report) {
    const std::string count = read_line(device + "/enable");
    if (std::strtoul(count.c_str(), nullptr, 10) == 0) {
        report.bad("enabled", "the device is switched off",
                   std::string("as root: ") + kAddDevice + "; at boot the udev rule does it");
    } else {
        report.good("enabled", "yes");
    }
}

void check_permission(const std::string& device, const GroupEntry& group, Report& report) {
    for (const char* name : {"resource0", "resource2", "resource2_wc"}) {
        const std::string path = path_in(device, name);
        struct stat status {};
        if (stat(path.c_str(), &status) != 0) {
            if (path.ends_with("_wc")) {
                report.note("permission", path + " is not there: copies are slow",
                            "boot without nopat; the kernel makes the file where it has PAT");
                continue;
            }
            report.bad("permission", path + " is not there",
                       "the kernel found no room for the device's memory: see dmesg for \"BAR 2\", "
                       "and give the VM 64-bit PCI space (q35 or OVMF, or a smaller memory)");
            return;
        }
        if (status.st_gid != group.number || (status.st_mode & 0060) != 0060) {
            char state[64];
            std::snprintf(state, sizeof state, "group %u, mode %o", status.st_gid,
                          status.st_mode & 07777U);
            report.bad("permission", path + " has " + state + ", and group cubar cannot use it",
                       std::string("as root: ") + kAddDevice);
            return;
        }
    }
    report.good("permission", "group cubar has the device's files");
}

std::string mend(const Failure& failure) {
    switch (failure.error) {
        case Error::kNotPermitted:
            return "run cubar-doctor as root, or join the group: usermod -aG cubar USER, and log "
                   "in "
                   "again";
        case Error::kLockdown:
            return "switch Secure Boot off in this VM's firmware";
        case Error::kNotEnabled:
            return std::string("as root: ") + kAddDevice;
        case Error::kLayoutVersion:
            return "install cubar-ollama here and cubar-host on the host in the same version";
        case Error::kTooSmall:
            return "make the VM's device as large as cubard's configuration says";
        case Error::kHostAbsent:
            return "on the host: systemctl start cubard, then systemctl status cubard";
        default:
            return "on the host: see cubard's log";
    }
}

const char* check_of(Error error) {
    switch (error) {
        case Error::kNotEnabled:
            return "enabled";
        case Error::kLayoutVersion:
            return "version";
        case Error::kNotPermitted:
            return "permission";
        case Error::kLockdown:
            return "lockdown";
        default:
            return "host";
    }
}

}  // namespace

std::string check_device(const Root& root, Report& report) {
    const std::vector<std::string> devices = ivshmem_devices(root);
    if (devices.empty()) {
        report.bad("device", "this machine has no PCI device 1af4:1110",
                   "give the VM the device, on the host: cubar-host's documentation has QEMU's, "
                   "libvirt's and Proxmox' lines");
        return {};
    }
    const GroupEntry group = find_group(root);
    if (!group.there) {
        report.bad("group", "there is no group cubar",
                   "as root: systemd-sysusers cubar-ollama.conf");
    } else {
        report.good("group", "cubar has number " + std::to_string(group.number));
    }
    check_lockdown(root, report);
    unsigned others = 0;
    for (const std::string& device : devices) {
        const std::string address = device.substr(device.rfind('/') + 1);
        const auto opened = transport::open_pci_device(address.c_str(), root("/sys").c_str());
        if (!opened && opened.failure().error == Error::kNotOurs) {
            ++others;
            continue;
        }
        report.good("device", "PCI " + address);
        check_enabled(device, report);
        check_permission(device, group, report);
        if (!opened) {
            const Failure& failure = opened.failure();
            report.bad(check_of(failure.error),
                       std::string(describe(failure.error)) + ": " + failure.detail, mend(failure));
            return {};
        }
        report.good("version", "layout " + std::to_string(kLayoutVersion) + ", as the host's");
        return "pci:" + address;
    }
    report.bad(
        "device",
        std::to_string(others) + " devices have the id 1af4:1110, and none has cubar's magic",
        "connect the VM's device to cubard's socket, on the host: another program serves it");
    return {};
}

}  // namespace cubar::tools
