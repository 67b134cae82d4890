// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "host/cubard/config.h"

namespace cubar::host {

/// The first is that of probes, which run no guest's code.
constexpr std::uint32_t kProbeUidSlot = 0;

/// The user ids of each VM's workers, counted from the first that the configuration names: one for
/// each VM. A VM whose compile cache belongs to one keeps it (`cache_owners`, by VM), so that what
/// was compiled for one is not executed for another because the configuration changed its order.
std::map<std::string, std::uint32_t> assign_uid_slots(
    const std::vector<VmConfig>& vms, uid_t first,
    const std::map<std::string, uid_t>& cache_owners);

}  // namespace cubar::host
