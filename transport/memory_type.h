// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace cubar::transport {

/// What loads and stores to the bulk memory cost. Measured, since a guest cannot know what its
/// hypervisor makes of the page attributes it asked for.
enum class MemoryType : std::uint8_t {
    kWriteBack,       ///< ordinary cached memory
    kWriteCombining,  ///< stores gather, loads are slow (also used where loads are plainly
                      ///< uncached)
};

}  // namespace cubar::transport
