// SPDX-License-Identifier: Apache-2.0
#pragma once

// What cubarctl shows, and how cubard answers it.

#include <cstdint>
#include <list>
#include <optional>
#include <string>
#include <vector>

#include "host/common/admin_request.h"
#include "host/common/control_protocol.h"
#include "host/cubard/ledger.h"

namespace cubar::host {

struct SessionStatus {
    SessionId session = 0;
    std::uint32_t channel = 0;
    const char* state = "";  ///< "starting", "serving", "over" (until the guest releases it)…
    std::uint32_t guest_pid = 0;  ///< as the guest says
    std::optional<std::int64_t> worker_pid;
    std::optional<std::int64_t> seconds;  ///< since it was claimed
    std::vector<std::uint64_t> memory;    ///< bytes on each device
};

struct DeviceStatus {
    std::string name;
    Usage usage{};
};

struct CacheStatus {
    std::uint64_t used = 0;
    std::uint64_t limit = 0;
};

struct VmStatus {
    std::string name;
    std::string socket;
    bool connected = false;  ///< a QEMU is, or this is the local instance
    std::string boot_id;     ///< of the guest's kernel, as its first session said it; or empty
    std::uint64_t bar_bytes = 0;
    std::uint32_t channels = 0;
    std::uint32_t max_sessions = 0;
    std::vector<DeviceStatus> devices;
    std::optional<CacheStatus> cache;  ///< on disk, of what the driver compiled
    std::vector<SessionStatus> sessions;
};

/// What cubard is, as opposed to its VMs.
struct HostStatus {
    std::string version;
    std::string gpu;
    std::string driver;
};

class Vm;
/// One line of JSON: what was asked for, or {"error": why not}.
std::string answer_admin(const AdminRequest& request, const HostStatus& host, std::list<Vm>& vms);

}  // namespace cubar::host
