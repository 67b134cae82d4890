// SPDX-License-Identifier: Apache-2.0
#include "transport/telemetry.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "transport/ordering.h"

namespace cubar::transport {
namespace {

/// Who sees no answer asks again after so long: another process of a namespace with another lock
/// file may have written over its question.
constexpr Nanoseconds kAskAgain = 50 * kMillisecond;

/// Where one of the structure's members ends, in words.
template <typename T>
std::size_t words_up_to(const Telemetry& telemetry, const T* end) {
    return static_cast<std::size_t>(reinterpret_cast<const std::byte*>(end) -
                                    reinterpret_cast<const std::byte*>(&telemetry)) /
           sizeof(std::uint64_t);
}

/// Calls `each(first, last)` for the ranges of words that are in use.
template <typename Each>
void for_used_words(const Telemetry& telemetry, Each&& each) {
    const std::size_t devices = std::min<std::size_t>(telemetry.device_count, kMaxDevices);
    const std::size_t processes = std::min<std::size_t>(telemetry.process_count, kMaxChannels);
    each(0, words_up_to(telemetry, telemetry.device + devices));
    each(words_up_to(telemetry, telemetry.process),
         words_up_to(telemetry, telemetry.process + processes));
}

std::uint64_t load_word(const Telemetry& telemetry, std::size_t index) {
    std::uint64_t word = 0;
    std::memcpy(&word, reinterpret_cast<const std::byte*>(&telemetry) + index * sizeof word,
                sizeof word);
    return word;
}

void store_word(Telemetry& telemetry, std::size_t index, std::uint64_t word) {
    std::memcpy(reinterpret_cast<std::byte*>(&telemetry) + index * sizeof word, &word, sizeof word);
}

}  // namespace

bool TelemetryWriter::asked() {
    const std::uint64_t asked = pages_.asked.load(std::memory_order_acquire);
    return std::exchange(asked_, asked) != asked;
}

void TelemetryWriter::publish(const Telemetry& telemetry) {
    if (sequence_ == 0) {
        // Goes on from an earlier cubard's, which may have ended in the middle.
        sequence_ = pages_.sequence.load(std::memory_order_relaxed) & ~std::uint64_t{1};
    }
    pages_.sequence.store(sequence_ + 1, std::memory_order_relaxed);
    std::atomic_thread_fence(std::memory_order_release);
    for_used_words(telemetry, [&](std::size_t first, std::size_t last) {
        for (std::size_t i = first; i < last; ++i) {
            pages_.word[i].store(load_word(telemetry, i), std::memory_order_relaxed);
        }
    });
    sequence_ += 2;
    pages_.sequence.store(sequence_, std::memory_order_release);
}

Result<TelemetryReader> TelemetryReader::open(Device& device) {
    const Header& header = device.header();
    const std::uint64_t bytes = (sizeof(TelemetryPages) + kPageBytes - 1) & ~(kPageBytes - 1);
    if (header.telemetry_offset == 0 || header.telemetry_bytes < sizeof(TelemetryPages)) {
        return Failure::make(Error::kProtocol, 0, "%s: the host's cubard is too old for NVML",
                             device.name());
    }
    if (header.telemetry_offset % kPageBytes != 0 || header.telemetry_offset > header.bar_bytes ||
        bytes > header.bar_bytes - header.telemetry_offset) {
        return Failure::make(Error::kBadHeader, 0, "%s: no room for the telemetry", device.name());
    }
    Result<Mapping> pages = Mapping::reserve(bytes);
    if (!pages) {
        return pages.failure();
    }
    if (Failure failure =
            device.map(*pages, pages->bytes(), header.telemetry_offset, Caching::kControl)) {
        return failure;
    }
    Result<Descriptor> lock = device.open_lock_file();
    if (!lock) {
        return lock.failure();
    }
    return TelemetryReader(device, std::move(*pages), std::move(*lock));
}

/// False: another process is just asking. Its answer serves this one too.
bool TelemetryReader::ask() const {
    struct flock lock {};
    lock.l_type = F_WRLCK;
    lock.l_whence = SEEK_SET;
    lock.l_start = kTelemetryLock;
    lock.l_len = 1;
    if (fcntl(lock_.get(), F_OFD_SETLK, &lock) != 0) {
        return false;
    }
    Shared<std::uint64_t>& asked = pages().asked;
    // Pairs with TelemetryWriter::asked().
    asked.store(asked.load(std::memory_order_relaxed) + 1, std::memory_order_release);
    device_->ring_doorbell(device_->header().cubard_peer);
    lock.l_type = F_UNLCK;
    fcntl(lock_.get(), F_OFD_SETLK, &lock);
    return true;
}

bool TelemetryReader::copy(Telemetry& telemetry, std::uint64_t sequence) const {
    store_word(telemetry, 0, pages().word[0].load(std::memory_order_relaxed));
    for_used_words(telemetry, [&](std::size_t first, std::size_t last) {
        for (std::size_t i = std::max<std::size_t>(first, 1); i < last; ++i) {
            store_word(telemetry, i, pages().word[i].load(std::memory_order_relaxed));
        }
    });
    std::atomic_thread_fence(std::memory_order_acquire);
    if (pages().sequence.load(std::memory_order_relaxed) != sequence) {
        return false;
    }
    telemetry.device_count = std::min<std::uint32_t>(telemetry.device_count, kMaxDevices);
    telemetry.process_count = std::min<std::uint32_t>(telemetry.process_count, kMaxChannels);
    for (TelemetryDevice& device : telemetry.device) {
        for (char* text : {device.serial, device.vbios, device.part_number}) {
            text[kDeviceTextBytes - 1] = '\0';
        }
    }
    return true;
}

Error TelemetryReader::read(Telemetry& telemetry, Nanoseconds limit) {
    if (!device_->alive()) {
        return Error::kForked;
    }
    // What is being written already may be older than the question: it does not count.
    const std::uint64_t seen = pages().sequence.load(std::memory_order_acquire);
    const std::uint64_t wanted = seen + 2 + (seen & 1);
    const Nanoseconds start = now();
    Nanoseconds time = start;
    Nanoseconds asked = 0;
    for (;;) {
        if ((asked == 0 || time - asked >= kAskAgain) && ask()) {
            asked = time;
        }
        const std::uint64_t sequence = pages().sequence.load(std::memory_order_acquire);
        if (sequence >= wanted && (sequence & 1) == 0 && copy(telemetry, sequence)) {
            return Error::kNone;
        }
        const auto state =
            static_cast<HostState>(device_->header().host_state.load(std::memory_order_acquire));
        if (state != HostState::kServing) {
            return Error::kHostAbsent;
        }
        if (time - start >= limit) {
            return Error::kHostSilent;
        }
        if (time - start < kSpinLimit) {
            pause_cpu();
        } else {
            sleep_for(growing_sleep(time - start));
        }
        time = now();
    }
}

}  // namespace cubar::transport
