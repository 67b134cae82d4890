// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "cubar/layout.h"
#include "host/worker/driver.h"

namespace cubar::host {

/// Fills in what guests are told without a worker. The driver is initialised. Returns what went
/// wrong, or an empty string.
std::string gather_facts(const Driver& driver, const char* driver_in_words, Facts& facts);

}  // namespace cubar::host
