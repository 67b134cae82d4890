// SPDX-License-Identifier: Apache-2.0
#include "host/cubard/worker_uids.h"

#include <set>

namespace cubar::host {
namespace {

/// What cubard.toml promises to stay within.
constexpr std::uint32_t kSlots = 65536;

}  // namespace

std::map<std::string, std::uint32_t> assign_uid_slots(
    const std::vector<VmConfig>& vms, uid_t first,
    const std::map<std::string, uid_t>& cache_owners) {
    std::map<std::string, std::uint32_t> result;
    std::set<std::uint32_t> taken{kProbeUidSlot};
    for (const VmConfig& vm : vms) {
        const auto owner = cache_owners.find(vm.name);
        if (owner == cache_owners.end() || owner->second < first ||
            owner->second - first >= kSlots) {
            continue;
        }
        if (const std::uint32_t slot = owner->second - first; taken.insert(slot).second) {
            result.emplace(vm.name, slot);
        }
    }
    std::uint32_t next = kProbeUidSlot;
    for (const VmConfig& vm : vms) {
        if (result.contains(vm.name)) {
            continue;
        }
        while (!taken.insert(next).second) {
            ++next;
        }
        result.emplace(vm.name, next);
    }
    return result;
}

}  // namespace cubar::host
