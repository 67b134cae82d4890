// SPDX-License-Identifier: Apache-2.0
// How transport reports what went wrong: a code that programs tell apart, and words for the log.
#pragma once

#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <optional>
#include <utility>

namespace cubar::transport {

enum class Error : std::uint8_t {
    kNone = 0,

    // Opening a device.
    kNoDevice,       ///< no PCI device of the right id, and no local one named
    kBadSelection,   ///< CUBAR_DEVICE is neither pci:ADDRESS nor local:PATH
    kNotEnabled,     ///< the device does not answer: its memory is switched off
    kNotPermitted,   ///< this user may not open the BAR's files
    kLockdown,       ///< the kernel is locked down and forbids mapping BARs
    kNotOurs,        ///< an ivshmem device without cubar's magic
    kLayoutVersion,  ///< the host lays its memory out in another way
    kTooSmall,       ///< BAR2 is smaller than its header says, or than one channel needs
    kBadHeader,      ///< the header contradicts itself
    kHostAbsent,     ///< nobody serves the device
    kMapFailed,      ///< the kernel refused a mapping for another reason
    kSocketFailed,   ///< the local device's socket or its greeting

    // Claiming a channel.
    kAllChannelsTaken,
    kLockFailed,      ///< the lock file cannot be opened or locked
    kClaimTimeout,    ///< cubard did not answer a claim in time
    kProtocol,        ///< the host refuses our protocol
    kQuota,           ///< the host allows this VM no more sessions
    kHostDriver,      ///< the host's CUDA driver could not be started
    kNoArenaAddress,  ///< no address range is free on both sides

    // Using a channel.
    kForked,          ///< the channel belongs to the parent of this process
    kSessionDead,     ///< the host ended the session
    kHostSilent,      ///< the heartbeat stood still while the host owed an answer
    kProtocolBroken,  ///< the peer wrote what no honest peer writes
    kTooLarge,        ///< a record or a reply that cannot fit
    kTimedOut,        ///< the caller's own time limit
    kNoMemory,        ///< of this process
};

/// A short English phrase; static storage.
const char* describe(Error error);

/// An error with what a person needs to mend it. Passed by value; holds no resources.
struct Failure {
    Error error = Error::kNone;
    int os_error = 0;  ///< errno, or 0
    char detail[240] = {};

    [[gnu::format(printf, 3, 4)]] static Failure make(Error error, int os_error, const char* format,
                                                      ...);
    explicit operator bool() const { return error != Error::kNone; }
};

/// A value or the reason why there is none.
template <typename T>
class Result {
public:
    Result(T value) : value_(std::move(value)) {}
    Result(Failure failure) : failure_(failure) {}

    explicit operator bool() const { return value_.has_value(); }
    T& operator*() { return *value_; }
    T* operator->() { return &*value_; }
    const Failure& failure() const { return failure_; }

private:
    std::optional<T> value_;
    Failure failure_;
};

}  // namespace cubar::transport
