// SPDX-License-Identifier: Apache-2.0
#include "nvml/library.h"

#include <array>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <new>

#include "driver/log.h"
#include "transport/device.h"
#include "transport/fork_mark.h"
#include "transport/telemetry.h"
#include "transport/wait.h"

namespace cubar::nvml {

/// Handles are addresses of these and nothing else, so a wrong one is told from a right one.
struct DeviceHandle {
    char unused;
};

namespace {

using transport::Error;
using transport::kMillisecond;
using transport::Nanoseconds;

constexpr DeviceHandle kHandles[kMaxDevices] = {};

constexpr Nanoseconds kRecent = kTelemetryAgeMs * kMillisecond;
/// A host that answers nothing in this time is gone.
constexpr Nanoseconds kPatience = kSilenceMs * kMillisecond;
/// So long after that its silence is believed without waiting again.
constexpr Nanoseconds kBelieved = 1000 * kMillisecond;

/// One process's state. A forked child makes its own: its parent's locks may be held for ever.
struct State {
    transport::ForkMark owner = transport::ForkMark::here();
    std::mutex mutex;
    unsigned users = 0;
    std::unique_ptr<transport::Device> device;
    std::optional<transport::TelemetryReader> reader;
    std::unique_ptr<Telemetry> last;
    Nanoseconds answered = 0;  ///< when `last` came; 0: never
    Nanoseconds silent = 0;    ///< when the host was found silent; 0: it was not
};

std::atomic<State*> current{nullptr};

/// This process's state; null where there is no memory for it. Never freed.
State* state() {
    State* found = current.load(std::memory_order_acquire);
    if (found != nullptr && found->owner.valid()) {
        return found;
    }
    auto* made = new (std::nothrow) State;
    if (made == nullptr) {
        return nullptr;
    }
    if (current.compare_exchange_strong(found, made, std::memory_order_acq_rel)) {
        return made;
    }
    delete made;
    return found;
}

Return open_error(Error error) {
    switch (error) {
        case Error::kNotPermitted:
            return Return::kNoPermission;
        case Error::kLayoutVersion:
            return Return::kVersionMismatch;
        case Error::kNoMemory:
            return Return::kMemory;
        default:
            return Return::kDriverNotLoaded;
    }
}

Return open(State& state) {
    auto device = transport::open_device(std::getenv("CUBAR_DEVICE"));
    if (!device) {
        const transport::Failure& failure = device.failure();
        CUBAR_LOG(kError, "nvmlInit: %s: %s", transport::describe(failure.error), failure.detail);
        return open_error(failure.error);
    }
    std::unique_ptr<Telemetry> last(new (std::nothrow) Telemetry{});
    if (last == nullptr) {
        return Return::kMemory;
    }
    (*device)->use_channel(kMaxChannels);  // none
    auto reader = transport::TelemetryReader::open(**device);
    if (reader) {
        state.reader.emplace(std::move(*reader));
    } else {
        // What is constant can still be told.
        const transport::Failure& failure = reader.failure();
        CUBAR_LOG(kWarn, "nvmlInit: no telemetry: %s: %s", transport::describe(failure.error),
                  failure.detail);
    }
    state.device = std::move(*device);
    state.last = std::move(last);
    state.answered = 0;
    state.silent = 0;
    return Return::kSuccess;
}

Return ask(State& state) {
    const Nanoseconds time = transport::now();
    if (state.silent != 0 && time - state.silent < kBelieved) {
        return Return::kTimeout;
    }
    const Error error = state.reader->read(*state.last, kPatience);
    state.answered = error == Error::kNone ? transport::now() : 0;
    state.silent = error == Error::kHostSilent ? transport::now() : 0;
    switch (error) {
        case Error::kNone:
            return Return::kSuccess;
        case Error::kHostSilent:
            CUBAR_LOG(kError, "NVML: cubard on the host does not answer");
            return Return::kTimeout;
        default:
            CUBAR_LOG(kError, "NVML: %s", transport::describe(error));
            return Return::kGpuIsLost;
    }
}

/// What a call does between nvmlInit and nvmlShutdown, with the lock held.
template <typename Use>
Return while_in_use(Use&& use) {
    State* const own = state();
    if (own == nullptr) {
        return Return::kMemory;
    }
    const std::lock_guard lock(own->mutex);
    return own->users == 0 ? Return::kUninitialized : use(*own);
}

}  // namespace

Return initialise(bool need_devices) {
    State* const own = state();
    if (own == nullptr) {
        return Return::kMemory;
    }
    const std::lock_guard lock(own->mutex);
    if (own->users == 0) {
        CUBAR_NVML_TRY(open(*own));
    }
    if (need_devices && own->device->facts().device_count == 0) {
        if (own->users == 0) {
            own->reader.reset();
            own->device.reset();
        }
        return Return::kDriverNotLoaded;
    }
    ++own->users;
    return Return::kSuccess;
}

Return shut_down() {
    return while_in_use([](State& own) {
        if (--own.users == 0) {
            own.reader.reset();
            own.device.reset();
            own.last.reset();
        }
        return Return::kSuccess;
    });
}

Return facts(const Facts*& facts) {
    return while_in_use([&](State& own) {
        // As everything of NVML's, good until the caller's own nvmlShutdown.
        facts = &own.device->facts();
        return Return::kSuccess;
    });
}

Return find(Device device, Found& found) {
    const Facts* all = nullptr;
    CUBAR_NVML_TRY(facts(all));
    for (std::uint32_t number = 0; number < all->device_count; ++number) {
        if (handle_of(number) == device) {
            found = {number, &all->device[number]};
            return Return::kSuccess;
        }
    }
    return Return::kInvalidArgument;
}

Device handle_of(std::uint32_t number) {
    return const_cast<Device>(&kHandles[number]);
}

Return telemetry(Age age, Telemetry& telemetry) {
    return while_in_use([&](State& own) {
        if (!own.reader) {
            return Return::kNotSupported;
        }
        const bool good =
            age == Age::kRecent && own.answered != 0 && transport::now() - own.answered < kRecent;
        if (!good) {
            CUBAR_NVML_TRY(ask(own));
        }
        telemetry = *own.last;
        return Return::kSuccess;
    });
}

Return unsupported() {
    const Facts* all = nullptr;
    CUBAR_NVML_TRY(facts(all));
    return Return::kNotSupported;
}

Return copy_text(std::string_view text, char* to, unsigned bytes) {
    if (to == nullptr) {
        return Return::kInvalidArgument;
    }
    if (text.size() >= bytes) {
        return Return::kInsufficientSize;
    }
    std::memcpy(to, text.data(), text.size());
    to[text.size()] = '\0';
    return Return::kSuccess;
}

}  // namespace cubar::nvml
