// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "cubar/layout.h"
#include "host/worker/driver.h"

namespace cubar::host {

/// Fills in what guests are told without a worker. The driver is initialised. Returns what went
/// wrong, or an empty string.
std::string gather_facts(const Driver& driver, const char* driver_in_words, Facts& facts);

/// How much of a device's memory a context takes for itself: the least of what was seen, since
/// other processes use the device meanwhile. 0 where it cannot be told.
std::uint64_t measure_context(const Driver& driver, int ordinal);

}  // namespace cubar::host
