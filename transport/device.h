// SPDX-License-Identifier: Apache-2.0
// What a guest process sees of the device, whatever carries it: a PCI device's BARs in a VM, or a
// memory file and eventfds on the host itself.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "cubar/layout.h"
#include "transport/descriptor.h"
#include "transport/mapping.h"
#include "transport/memory_type.h"
#include "transport/result.h"

namespace cubar::transport {

/// How a waiting thread may sleep.
enum class WaitPolicy : std::uint8_t {
    kLocal,  ///< both sides share a kernel: futexes work, and CPU numbers mean the same CPUs
    kVm,     ///< nobody can wake us: spin, then sleep by growing intervals
};

/// How a range is mapped. The layout gives each range one of the two; the other one would alias.
enum class Caching : std::uint8_t { kControl, kBulk };

/// An open device. Thread-safe after it was opened, except use_channel().
class Device {
public:
    virtual ~Device() = default;
    Device(const Device&) = delete;
    Device& operator=(const Device&) = delete;

    /// False in a forked child: there nothing but facts(), name() and destruction is allowed.
    bool alive() const { return owner_.valid(); }
    /// Validated when the device was opened; the words that change are atomics.
    const Header& header() const { return *header_; }
    /// A private copy, made when the device was opened.
    const Facts& facts() const { return *facts_; }
    MemoryType memory_type() const { return memory_type_; }
    WaitPolicy wait_policy() const { return wait_policy_; }
    /// For people: "PCI 0000:00:04.0" or "local /run/cubar/vm.sock".
    const char* name() const { return name_; }

    /// Maps a range of BAR2 over `part` of a reservation.
    Failure map(Mapping& reservation, std::span<std::byte> part, std::uint64_t offset,
                Caching caching, bool writable = true) const;

    /// Wakes what listens on that doorbell peer. Never blocks.
    virtual void ring_doorbell(std::uint32_t peer) const = 0;

    /// A new open file description of the file whose byte k is channel k's lock. Close-on-exec.
    virtual Result<Descriptor> open_lock_file() const = 0;

    /// Lets go of what only the other channels need. Called once a claim holds.
    virtual void use_channel(unsigned channel) = 0;

    std::uint64_t channel_offset(unsigned channel) const {
        return header_->channels_offset + channel * header_->channel_stride;
    }

protected:
    Device() = default;

    /// The file that shows BAR2 with this caching.
    virtual int memory_file(Caching caching) const = 0;

    /// Maps and checks the header, copies the facts, measures the memory. `bar_bytes`: the file's
    /// size.
    Failure open_memory(std::uint64_t bar_bytes);
    void set_name(const char* kind, const char* which);
    void set_wait_policy(WaitPolicy policy) { wait_policy_ = policy; }

private:
    Failure check_header(std::uint64_t bar_bytes) const;
    Failure copy_facts();
    Failure measure_memory();

    ForkMark owner_;
    Mapping header_page_;
    const Header* header_ = nullptr;
    std::unique_ptr<Facts> facts_;
    MemoryType memory_type_ = MemoryType::kWriteBack;
    WaitPolicy wait_policy_ = WaitPolicy::kVm;
    char name_[128] = {};
};

/// Opens what `selection` names: "pci:0000:00:04.0", "local:/path/of/socket", or null or empty: the
/// first PCI device with cubar's magic. The library passes getenv("CUBAR_DEVICE").
Result<std::unique_ptr<Device>> open_device(const char* selection);

/// `address` null: search. `sysfs` is /sys, except in tests.
Result<std::unique_ptr<Device>> open_pci_device(const char* address, const char* sysfs = "/sys");

/// Connects to cubard's socket, takes the descriptors that it hands out, and hangs up.
Result<std::unique_ptr<Device>> open_local_device(const char* socket_path);

/// The same from descriptors already at hand (transport/local_protocol.h names their order).
/// Takes ownership of all of them.
Result<std::unique_ptr<Device>> adopt_local_device(const char* name, std::span<Descriptor> passed);

}  // namespace cubar::transport
