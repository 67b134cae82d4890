// SPDX-License-Identifier: Apache-2.0
// What the doctor looks at, in the order in which a call travels. Each adds its findings.
#pragma once

#include <string>

#include "guest/doctor/report.h"
#include "guest/files.h"
#include "guest/ollama_config.h"
#include "transport/memory_type.h"

namespace cubar::tools {

/// The PCI device: there, given to the group, not locked away, served, of a known version. The name
/// of the device that can be used ("pci:0000:00:04.0"), or nothing.
std::string check_device(const Root& root, Report& report);

/// What of ollama's side is on the disk: the library, its links, others that are found first.
void check_libraries(const Root& root, const OllamaConfig& config, Report& report);

/// What ollama's service is told by its unit.
void check_service(const Root& root, const OllamaConfig& config, Report& report);

/// How the device's memory is mapped, and what that costs.
void describe_memory(transport::MemoryType type, Report& report);

/// Opens the device, begins a session and has the library make its first calls. `selection` is as
/// CUBAR_DEVICE; `library` is the libcuda.so.1 to load.
void check_calls(const std::string& selection, const std::string& library, Report& report);

}  // namespace cubar::tools
