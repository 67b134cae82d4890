// SPDX-License-Identifier: Apache-2.0
#pragma once

// The shared memory behind BAR2, byte by byte. docs/protocol.md tells the same as a picture.
//
//   0                header page
//   facts_offset     facts (what cuInit and enumeration need; generated and read without a worker)
//   channels_offset  channel 0, channel 1, … (each kChannelStride bytes)
//   arena_offset     arena, leased in granules
//
// Every word has one writer. No read-modify-write ever touches this memory: a locked instruction on
// a PCI mapping may be split, slow or forbidden. Words that somebody polls stand in the control
// pages, alone in their 64-byte line and mapped plainly; bulk (ring, long replies, arena) is mapped
// write-combining. The comment of each polled word names its partner on the other side.

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace cubar {

inline constexpr std::uint64_t kMagic = 0x5241'4252'4142'5543;  // "CUBARBAR" in memory order
inline constexpr std::uint32_t kLayoutVersion = 1;
inline constexpr std::uint32_t kProtocolVersion = 1;

inline constexpr std::size_t kPageBytes = 4096;
inline constexpr std::size_t kLineBytes = 64;
inline constexpr std::size_t kGranuleBytes = std::size_t{2} << 20;
inline constexpr std::size_t kRingBytes = std::size_t{1} << 20;
inline constexpr std::size_t kMaxChannels = 64;
inline constexpr std::size_t kMaxDevices = 16;

template <typename T>
using Shared = std::atomic<T>;
static_assert(Shared<std::uint32_t>::is_always_lock_free && sizeof(Shared<std::uint32_t>) == 4);
static_assert(Shared<std::uint64_t>::is_always_lock_free && sizeof(Shared<std::uint64_t>) == 8);

enum class HostState : std::uint32_t { kAbsent = 0, kServing = 1, kStopping = 2 };

/// The first page. Written by cubard before it says kServing; the guest only reads it.
struct Header {
    std::uint64_t magic;             ///< kMagic, written last
    std::uint32_t layout_version;    ///< kLayoutVersion: another number is another layout
    std::uint32_t protocol_version;  ///< newest protocol that the host speaks
    std::uint64_t bar_bytes;         ///< size of the whole memory
    std::uint64_t facts_offset;
    std::uint64_t facts_bytes;
    std::uint64_t channels_offset;
    std::uint64_t channel_stride;  ///< sizeof(Channel)
    std::uint32_t channel_count;
    std::uint32_t cubard_peer;         ///< doorbell peer that wakes cubard
    std::uint32_t first_channel_peer;  ///< doorbell peer of channel 0's worker; channel k has +k
    std::uint32_t granule_bytes;       ///< kGranuleBytes
    std::uint64_t arena_offset;
    std::uint64_t arena_bytes;
    std::uint64_t telemetry_offset;  ///< of TelemetryPages (cubar/telemetry.h); 0: there are none
    std::uint64_t telemetry_bytes;
    std::uint8_t reserved[kLineBytes * 2 - 104];

    /// Changes whenever a cubard begins to serve this memory: sessions of an earlier epoch are
    /// over.
    alignas(kLineBytes) Shared<std::uint64_t> epoch;
    /// HostState. Set by cubard (release); pairs with the guest's acquire load when it opens the
    /// device.
    Shared<std::uint32_t> host_state;
    /// Bit k is set while channel k's session_state is not kFree. Set and cleared by cubard with
    /// that state; the guest's reaper starts from it, so that it maps no free channel.
    Shared<std::uint64_t> claimed_channels;
    /// Moves with every answer to a claim or a release, and at least every kHeartbeatMs while a
    /// claim waits for its worker or a release for its worker's end. cubard: release; pairs with
    /// the acquire load of whoever waits, who so tells a busy host from a dead one.
    Shared<std::uint64_t> host_beat;
};
static_assert(kMaxChannels <= 64);
static_assert(sizeof(Header) <= kPageBytes);

/// What becomes of a claim. Written by the host in Session::state.
enum class SessionState : std::uint32_t {
    kFree = 0,       ///< nobody's; may be claimed by whoever holds the channel's lock
    kAccepted = 1,   ///< cubard has seen the claim; a worker is on its way (heartbeat ticks)
    kReady = 2,      ///< the worker reads the ring
    kRefused = 3,    ///< see SessionError; the claimer must release
    kDead = 4,       ///< the session is over (see SessionError); the claimer must release
    kReleasing = 5,  ///< the worker is being taken down; kFree follows when its last DMA is over
};

/// Why a session was refused or ended.
enum class SessionError : std::uint32_t {
    kNone = 0,
    kProtocol = 1,        ///< the guest speaks a protocol that the host does not
    kAddressTaken = 2,    ///< the worker cannot map the arena at arena_address: try another
    kQuota = 3,           ///< no more sessions for this VM
    kWorkerDied = 4,      ///< the worker process ended
    kHostRestarted = 5,   ///< cubard was restarted
    kDriver = 6,          ///< the host's libcuda could not be loaded or initialised
    kProtocolBroken = 7,  ///< the guest wrote a record that no honest library writes
    kEvicted = 8,         ///< an operator ended it
};

/// What a guest process asks of cubard. Written by the guest that holds the channel's lock.
enum class ClaimRequest : std::uint32_t { kNone = 0, kClaim = 1, kRelease = 2 };

inline constexpr std::size_t kReplySlots = 64;
inline constexpr std::size_t kFences = 512;
/// Fences below this belong to streams; the rest to chunks of staging memory.
inline constexpr std::uint32_t kStreamFences = 480;
inline constexpr std::uint32_t kStagingFences = kFences - kStreamFences;
inline constexpr std::size_t kInlineReplyBytes = 40;
inline constexpr std::size_t kLongReplyBytes = 4096;
inline constexpr std::uint32_t kNoFence = 0xffff'ffff;

enum class SlotState : std::uint32_t { kIdle = 0, kPending = 1, kDone = 2 };

/// One answer. The guest owns the slot from taking it until it has read the answer.
struct alignas(kLineBytes) ReplySlot {
    /// SlotState. The guest stores kPending before it publishes the record; the worker stores kDone
    /// (release) after result and body, and pairs with the guest's acquire load in reply wait.
    Shared<std::uint32_t> state;
    /// 1 while the guest sleeps on `state`. Guest: store 1, full barrier, load state. Worker: store
    /// kDone, full barrier, load sleeping; 1 means wake (local device only: a VM polls).
    Shared<std::uint32_t> sleeping;
    std::uint32_t result;    ///< CUresult of the call
    std::uint32_t bytes;     ///< of the body; more than kInlineReplyBytes: it is in the long reply
    std::uint64_t position;  ///< end of the record that this answers
    std::byte body[kInlineReplyBytes];
};
static_assert(sizeof(ReplySlot) == kLineBytes);

/// The control pages of a channel.
struct ChannelControl {
    /// End of the last complete record. Guest: release store after the record's bytes (and SFENCE
    /// on write-combined memory); pairs with the worker's acquire load in ring consumer. A full
    /// barrier follows it, before the guest loads `worker_sleeping`.
    alignas(kLineBytes) Shared<std::uint64_t> tail;
    /// Position up to which the worker has issued records to the driver: their bytes may be
    /// overwritten. Worker: release; pairs with the guest's acquire load when the ring looks full.
    alignas(kLineBytes) Shared<std::uint64_t> head;
    /// 1 while the worker sleeps on its doorbell. Worker: store 1, full barrier, load tail; guest:
    /// store tail, full barrier, load this; 1 means ring the doorbell.
    alignas(kLineBytes) Shared<std::uint32_t> worker_sleeping;
    /// CPU numbers for the waiting policy of the local device (0: unknown, else number + 1).
    Shared<std::uint32_t> worker_cpu;
    alignas(kLineBytes) Shared<std::uint32_t> guest_cpu;
    /// 1 while the guest sleeps for ring space; the worker then wakes it when it stores head.
    Shared<std::uint32_t> guest_waits_for_space;

    /// The first deferred error that no reply carried. Worker: context and position first, then the
    /// CUresult (release); pairs with the guest's acquire load on entry of each call. Errors that
    /// end a context stand until the worker clears the code because that context was destroyed.
    alignas(kLineBytes) Shared<std::uint32_t> error_code;
    Shared<std::uint64_t> error_position;
    Shared<std::uint64_t> error_context;  ///< ContextHandle that it belongs to

    /// Ticks while anything is executing or waiting in the worker. A guest that waits longer than
    /// kSilence without seeing it change takes the host for dead.
    alignas(kLineBytes) Shared<std::uint64_t> heartbeat;

    /// The host's side of the claim. cubard stores session_state (release) after the others and,
    /// when that answers a claim, claim_answered (release) last of all. Pairs with the claimer's
    /// acquire loads of claim_answered, then session_state.
    alignas(kLineBytes) Shared<std::uint32_t> session_state;
    Shared<std::uint32_t> session_error;
    Shared<std::uint64_t> session_id;
    Shared<std::uint64_t> session_epoch;   ///< Header::epoch under which it was accepted
    Shared<std::uint64_t> claim_answered;  ///< `claim_number` that session_state speaks of

    /// The guest's side of the claim. claim_number is stored last (release), then the doorbell.
    /// Each request has another number: a count in the upper half, chance in the lower one, so that
    /// two claimers who cannot see each other's locks notice it.
    alignas(kLineBytes) Shared<std::uint64_t> claim_number;
    Shared<std::uint32_t> claim_request;  ///< ClaimRequest
    Shared<std::uint32_t> protocol_version;
    Shared<std::uint64_t> boot_id[2];     ///< of the guest kernel: a reboot frees what was claimed
    Shared<std::uint64_t> arena_address;  ///< virtual address at which both sides map the arena
    Shared<std::uint32_t> pid;            ///< in the guest; for people
    /// Which lock file the claimer locked (device and inode of its file system): who sees another
    /// one cannot tell from its own lock whether the claimer lives.
    Shared<std::uint64_t> lock_identity;
};
static_assert(sizeof(ChannelControl) <= kPageBytes);

/// One channel: the way of one guest process to its worker.
struct Channel {
    union {
        ChannelControl control;
        std::byte control_page[kPageBytes];
    };
    ReplySlot reply[kReplySlots];
    /// Written by the GPU itself: fence[i] is the position up to which the stream that owns fence i
    /// has completed. Pairs with the guest's acquire load in fence.
    Shared<std::uint64_t> fence[kFences];
    std::byte reserved[(std::size_t{512} << 10) - 3 * kPageBytes];
    std::byte long_reply[kReplySlots][kLongReplyBytes];
    std::byte reserved2[(std::size_t{256} << 10)];
    std::byte ring[kRingBytes];
};
static_assert(sizeof(Channel) == std::size_t{2} << 20);
static_assert(offsetof(Channel, reply) == kPageBytes && offsetof(Channel, fence) == 2 * kPageBytes);
static_assert(offsetof(Channel, long_reply) == std::size_t{512} << 10);
static_assert(offsetof(Channel, ring) == std::size_t{1} << 20);

/// How long a waiting guest lets a beat stand still, and how often its writer moves it.
inline constexpr std::uint32_t kSilenceMs = 1500;
inline constexpr std::uint32_t kHeartbeatMs = 250;
/// How long a claimer waits for cubard's answer: cubard only looks, the worker comes later.
/// Together with what a program does before, it stays below the 2 s in which an error comes.
inline constexpr std::uint32_t kConfirmMs = 1000;

// --- facts ------------------------------------------------------------------------------------

inline constexpr std::size_t kDeviceAttributes = 192;  ///< CUdevice_attribute values below this
inline constexpr std::size_t kNameBytes = 96;
inline constexpr std::size_t kOpcodeSetBytes = 512;  ///< one bit for each opcode below 4096

struct DeviceFacts {
    char name[kNameBytes];
    std::uint8_t uuid[16];
    std::uint64_t total_bytes;  ///< as cuDeviceTotalMem reports it: the quota where one is set
    std::int32_t attribute[kDeviceAttributes];
    std::uint8_t attribute_known[kDeviceAttributes];  ///< 1 where the host's driver answered
    std::uint8_t reserved[8];
};

/// What the guest can answer without a worker. Written by cubard before kServing, and constant.
struct Facts {
    std::uint32_t driver_version;  ///< of the host's libcuda
    std::uint32_t device_count;
    std::uint8_t opcode_set[kOpcodeSetBytes];  ///< what this host's workers execute
    char host_driver[kNameBytes];              ///< in words: "NVIDIA 580.65" or "cubar softgpu"
    DeviceFacts device[kMaxDevices];
};

}  // namespace cubar
