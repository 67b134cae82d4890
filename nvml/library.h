// SPDX-License-Identifier: Apache-2.0
// The library's state in this process, and what every function begins with.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "cubar/layout.h"
#include "cubar/telemetry.h"
#include "nvml/abi.h"

namespace cubar::nvml {

/// nvmlInit and nvmlShutdown; counted. In a forked child of a process that had called nvmlInit
/// nothing is initialised, and the child may do so itself.
Return initialise(bool need_devices);
Return shut_down();

/// What of the host is constant, if NVML is initialised.
Return facts(const Facts*& facts);

/// A device of this process, by its handle.
struct Found {
    std::uint32_t number;
    const DeviceFacts* facts;
};
Return find(Device device, Found& found);
/// The handle of a number below Facts::device_count.
Device handle_of(std::uint32_t number);

/// How old an answer may be. What this process itself changes, memory above all, must be new.
enum class Age { kNew, kRecent };

/// What changes, asked of the host unless what it said last is still good.
Return telemetry(Age age, Telemetry& telemetry);

/// Of functions that exist by name alone.
Return unsupported();

/// Copies a text with its end; the caller's buffer must have room for all of it.
Return copy_text(std::string_view text, char* to, unsigned bytes);

}  // namespace cubar::nvml

#define CUBAR_NVML_TRY(call)                                                                    \
    if (const ::cubar::nvml::Return error = (call); error != ::cubar::nvml::Return::kSuccess) { \
        return error;                                                                           \
    }
