// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>

#include "cubar/described_version.h"
#include "cubar/layout.h"
#include "transport/device.h"
#include "transport/fork_mark.h"

namespace cubar::guest {

class Session;

/// The library's state in this process: the open device and, once a context is needed, the session.
/// Made by cuInit and never destroyed, since other threads may be in here when the process ends.
class Process {
public:
    /// The one instance. Null before cuInit succeeded, and in a forked child of a process that had
    /// called cuInit: as with NVIDIA's driver, a child must exec before it can use the GPU.
    static Process* get() {
        Process* process = instance_.load(std::memory_order_acquire);
        return process != nullptr && process->mark_.valid() ? process : nullptr;
    }

    /// cuInit. Idempotent and thread-safe; an attempt that failed may be repeated.
    static CUresult initialise();

    const Facts& facts() const { return device_->facts(); }
    const transport::Device& device() const { return *device_; }

    /// Devices as the application counts them, after CUDA_VISIBLE_DEVICES.
    int device_count() const { return static_cast<int>(visible_count_); }
    bool has_device(int ordinal) const { return ordinal >= 0 && ordinal < device_count(); }
    const DeviceFacts& device_facts(int ordinal) const {
        return facts().device[visible_[static_cast<std::size_t>(ordinal)]];
    }
    /// The host's number of an application's device.
    std::uint32_t host_device(int ordinal) const {
        return visible_[static_cast<std::size_t>(ordinal)];
    }
    /// The application's number of a host's device; −1: not visible.
    int ordinal_of(std::uint32_t host_device) const;

    /// As cuDriverGetVersion reports it.
    int driver_version() const { return driver_version_; }

    /// CUDA_LAUNCH_BLOCKING=1: each launch waits, for people who look for a faulty kernel.
    bool launches_block() const { return launches_block_; }

    /// The session, or null when none was begun yet.
    Session* session() const { return session_.load(std::memory_order_acquire); }
    /// Begins the session if there is none: claims a channel and waits for the worker.
    CUresult begin_session(Session*& out);

private:
    explicit Process(std::unique_ptr<transport::Device> device) : device_(std::move(device)) {}
    CUresult find_visible_devices();

    // Published (release) when complete; pairs with the acquire load in get().
    static std::atomic<Process*> instance_;

    std::unique_ptr<transport::Device> device_;
    transport::ForkMark mark_ = transport::ForkMark::here();
    int driver_version_ = 0;
    bool launches_block_ = false;
    std::array<unsigned, kMaxDevices> visible_{};
    std::size_t visible_count_ = 0;

    std::mutex session_mutex_;
    // Published (release) by begin_session; pairs with session().
    std::atomic<Session*> session_{nullptr};
};

}  // namespace cubar::guest
