// SPDX-License-Identifier: Apache-2.0
#include "transport/result.h"

namespace cubar::transport {

const char* describe(Error error) {
    switch (error) {
        case Error::kNone:
            return "no error";
        case Error::kNoDevice:
            return "no cubar device";
        case Error::kBadSelection:
            return "the device selection is not understood";
        case Error::kNotEnabled:
            return "the device is not enabled";
        case Error::kNotPermitted:
            return "no permission to use the device";
        case Error::kLockdown:
            return "the kernel is locked down";
        case Error::kNotOurs:
            return "the device is not cubar's";
        case Error::kLayoutVersion:
            return "the host has another memory layout";
        case Error::kTooSmall:
            return "BAR2 is too small";
        case Error::kBadHeader:
            return "the device's header contradicts itself";
        case Error::kHostAbsent:
            return "nobody serves the device";
        case Error::kMapFailed:
            return "the device's memory cannot be mapped";
        case Error::kSocketFailed:
            return "the local device's socket failed";
        case Error::kAllChannelsTaken:
            return "all channels are taken";
        case Error::kLockFailed:
            return "the channel's lock cannot be taken";
        case Error::kClaimTimeout:
            return "cubard did not answer";
        case Error::kProtocol:
            return "the host does not speak this protocol version";
        case Error::kQuota:
            return "the host allows no more sessions";
        case Error::kHostDriver:
            return "the host's CUDA driver did not start";
        case Error::kNoArenaAddress:
            return "no address range suits both sides";
        case Error::kForked:
            return "the channel belongs to the parent process";
        case Error::kSessionDead:
            return "the host ended the session";
        case Error::kHostSilent:
            return "the host fell silent";
        case Error::kProtocolBroken:
            return "the peer broke the protocol";
        case Error::kTooLarge:
            return "too large for a record or a reply";
        case Error::kTimedOut:
            return "timed out";
        case Error::kNoMemory:
            return "out of memory";
    }
    return "unknown error";
}

Failure Failure::make(Error error, int os_error, const char* format, ...) {
    Failure failure;
    failure.error = error;
    failure.os_error = os_error;
    va_list arguments;
    va_start(arguments, format);
    std::vsnprintf(failure.detail, sizeof failure.detail, format, arguments);
    va_end(arguments);
    return failure;
}

}  // namespace cubar::transport
