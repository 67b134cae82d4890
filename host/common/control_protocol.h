// SPDX-License-Identifier: Apache-2.0
#pragma once

// What cubard and a worker say to each other over the worker's control socket (SOCK_SEQPACKET).
//
// One message is one packet of exactly the size of its structure; any other length ends the
// session. cubard takes everything that a worker says for hostile: a worker runs the guest's code.
//
//   cubard -> worker   kAssign with two descriptors (memory, the channel's doorbell): once, first
//   worker -> cubard   kReady, or kRefused and it ends; cubard then writes session_state
//   worker -> cubard   kCharge, kCredit, kUsage, kLease, kReturn: each gets one kAnswer
//   cubard -> worker   kReleaseNow: the guest has released the session, end without delay
//   worker -> cubard   kDid: the worker ends, and this is what it did. No answer
//
// The end of the socket means the end of the other side: a worker then ends too.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "cubar/layout.h"

namespace cubar::host {

enum class WorkerSays : std::uint32_t {
    kReady = 1,    ///< the ring is being read
    kRefused = 2,  ///< value: SessionError
    kCharge = 3,   ///< device, bytes: may I allocate so much? Ask before allocating
    kCredit = 4,   ///< device, bytes: so much of what I was charged for is freed
    kUsage = 5,    ///< device: what does the ledger say?
    kLease = 6,    ///< bytes: number of arena granules, all in one run
    kReturn = 7,   ///< first, bytes: these granules (first index, number) are unused
    kDid = 8,      ///< first: launches; value: copies; bytes: copied
};

struct WorkerMessage {
    WorkerSays kind;
    std::uint32_t number;  ///< comes back in the answer
    std::uint32_t device;  ///< ordinal as the guest sees it
    std::uint32_t value;
    std::uint64_t first;
    std::uint64_t bytes;
};
static_assert(sizeof(WorkerMessage) == 32);

enum class HostSays : std::uint32_t {
    kAssign = 1,  ///< Assignment follows; with the descriptors of memory and doorbell
    kAnswer = 2,  ///< to the message of this number
    kReleaseNow = 3,
};

enum class Verdict : std::uint32_t {
    kGranted = 0,
    kQuota = 1,     ///< kCharge: the VM's quota would be exceeded
    kNoArena = 2,   ///< kLease: no run of so many granules is free
    kNotYours = 3,  ///< kCredit, kReturn: more than this session holds
    kNoDevice = 4,  ///< no such device
};

struct Assignment {
    std::uint32_t channel;
    std::uint32_t reserved;
    std::uint64_t session_id;
    std::uint64_t arena_address;   ///< where the guest wants the arena; 0: anywhere
    std::uint64_t channel_offset;  ///< of the channel in the memory
    std::uint64_t arena_offset;    ///< of the arena in the memory
    std::uint64_t arena_bytes;
};

struct Usage {
    std::uint64_t used;   ///< bytes charged to the VM on this device
    std::uint64_t quota;  ///< 0: none
    std::uint64_t total;  ///< bytes of the device
};

struct HostMessage {
    HostSays kind;
    std::uint32_t number;
    Verdict verdict;
    std::uint32_t reserved;
    union {
        std::uint64_t first_granule;  ///< of a granted lease; the run is as long as was asked
        Usage usage;
        Assignment assignment;
    };
};
static_assert(sizeof(HostMessage) == 64);

/// The message in a packet, or nothing where no honest worker sent it: wrong length, unknown kind,
/// unknown reason. Ranges and sums are the ledger's to check.
inline std::optional<WorkerMessage> decode_worker_message(std::span<const std::byte> packet) {
    WorkerMessage message{};
    if (packet.size() != sizeof message) {
        return std::nullopt;
    }
    __builtin_memcpy(&message, packet.data(), sizeof message);
    const auto kind = static_cast<std::uint32_t>(message.kind);
    if (kind < static_cast<std::uint32_t>(WorkerSays::kReady) ||
        kind > static_cast<std::uint32_t>(WorkerSays::kDid)) {
        return std::nullopt;
    }
    if (message.kind == WorkerSays::kRefused &&
        (message.value == static_cast<std::uint32_t>(SessionError::kNone) ||
         message.value > static_cast<std::uint32_t>(SessionError::kEvicted))) {
        return std::nullopt;
    }
    return message;
}

}  // namespace cubar::host
