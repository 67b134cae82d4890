// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "host/cubard/config.h"
#include "host/cubard/probe.h"

namespace cubar::host {

/// What of a configuration that reads well does not fit this machine: directories, groups,
/// programs, and the driver with the devices of each VM, which is tried out. Each with its line in
/// `file`. Starts and changes nothing that stays.
std::vector<std::string> check_machine(const Config& config, const std::string& file,
                                       const Places& places);

}  // namespace cubar::host
