// SPDX-License-Identifier: Apache-2.0
// The protocol of transport/ as programs for the model's machine, with any one barrier left out.
#pragma once

#include <array>
#include <optional>

#include "machine.h"
#include "transport/memory_type.h"

namespace cubar::model {

using transport::Barrier;
using transport::MemoryType;

struct Setting {
    MemoryType memory;               ///< of the guest's mapping of bulk memory
    std::optional<Barrier> missing;  ///< this one is left out
};

/// Ring, staging, doorbell, sleep flag and waiting for space: ring_producer against ring_consumer.
std::array<Program, 2> ring(const Setting& setting);
/// Reply slots, used twice: Slot::wait() against ReplyWriter.
std::array<Program, 2> reply(const Setting& setting);
/// Fences, used twice: bulk_read() after Fences::reached() against a stream on the GPU.
std::array<Program, 2> fence(const Setting& setting);

}  // namespace cubar::model
