// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace cubar::host {

/// Asks the host's NVML what cubard wants to know, until cubard closes the socket. Any call of
/// NVML's may block, so this has a process of its own. Returns what went wrong, or an empty string.
std::string answer_telemetry(int socket);

}  // namespace cubar::host
