// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <stdexcept>
#include <string>

#include "cubar/layout.h"
#include "cubar/record.h"

namespace cubar::cost {

/// What crossed: records, those of them that wait for an answer, and their bytes. Besides, the
/// bytes that the records have copied between the device and the host, and those of the answers.
struct Sent {
    unsigned records = 0;
    unsigned round_trips = 0;
    std::uint64_t bytes = 0;
    std::uint64_t copied = 0;
    std::uint64_t answered = 0;  ///< an answer in whose slot a later one lies is not seen any more
    std::map<std::uint32_t, unsigned> opcodes;  ///< how many records of each
};

/// This process's channel, found in its own memory: what the library sends can be counted without a
/// counter in the library. Needs a session. For one thread.
class OwnChannel {
public:
    OwnChannel();

    /// What was sent since the last call, or since construction. At most one ring of it.
    Sent count();

    /// Until pretence_over(), the library finds the worker awake and rings no doorbell, and the
    /// worker, which does sleep, reads nothing: what a launch costs does not depend on who runs
    /// when.
    void pretend_worker_awake();
    void pretence_over();

private:
    /// How the request of each record that copies begins.
    struct Copy {
        std::uint64_t target;
        std::uint64_t source;
        std::uint64_t bytes;
    };
    /// The header at a position, and what follows it.
    RecordHeader read(Position at, Copy& copy) const;
    /// From the device to pinned memory, to staging, or the other way.
    bool crosses(std::uint32_t opcode, const Copy& copy) const;

    ChannelControl* control_ = nullptr;
    const ReplySlot* slots_ = nullptr;
    std::uint64_t arena_bytes_ = 0;
    const std::byte* ring_ = nullptr;
    Position seen_ = 0;
};

}  // namespace cubar::cost
