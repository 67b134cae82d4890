// SPDX-License-Identifier: Apache-2.0
// Gives cubar's PCI device to the group `cubar`, and takes it back. The device's id is QEMU's for
// all shared memory, so the magic in BAR2 says whether it is ours; other devices stay as they are.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "guest/files.h"

namespace cubar::tools {

enum class Grant {
    kDone,
    kAlready,  ///< nothing had to be done
    kNotOurs,  ///< another use of shared memory: untouched
    kFailed,
};

struct Granted {
    Grant grant;
    std::string says;  ///< for a person
};

/// Enables the device and lets `group` read and write its BARs. `device`: its directory in sysfs.
Granted grant_device(const std::string& device, gid_t group);

/// Undoes grant_device(): the files are root's alone again, and our enabling is taken back.
Granted restore_device(const std::string& device, gid_t group);

/// The directories of all devices with ivshmem's id, ours or not.
std::vector<std::string> ivshmem_devices(const Root& root);

/// True if sysfs shows the device's BAR2. It does so a moment after it announced the device.
bool has_memory_file(const std::string& device);

}  // namespace cubar::tools
