// SPDX-License-Identifier: Apache-2.0
#include "libcuda/process.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>

#include "driver/log.h"
#include "driver/visible_devices.h"
#include "libcuda/session.h"

namespace cubar::guest {

std::atomic<Process*> Process::instance_{nullptr};

namespace {

std::mutex init_mutex;

// What cuInit says for a device that cannot be opened. Applications take NO_DEVICE as "use the
// CPU".
CUresult init_error(transport::Error error) {
    switch (error) {
        case transport::Error::kLayoutVersion:
            return CUDA_ERROR_SYSTEM_DRIVER_MISMATCH;
        case transport::Error::kNoMemory:
            return CUDA_ERROR_OUT_OF_MEMORY;
        default:
            return CUDA_ERROR_NO_DEVICE;
    }
}

}  // namespace

CUresult Process::initialise() {
    const auto known = [](const Process& process) {
        // In a forked child the parent's session is out of reach.
        return process.mark_.valid() ? CUDA_SUCCESS : CUDA_ERROR_NOT_INITIALIZED;
    };
    // Without the lock, which a thread of a forked child's parent may have held.
    if (const Process* process = instance_.load(std::memory_order_acquire)) return known(*process);
    const std::lock_guard lock(init_mutex);
    if (const Process* process = instance_.load(std::memory_order_acquire)) return known(*process);
    auto device = transport::open_device(std::getenv("CUBAR_DEVICE"));
    if (!device) {
        const transport::Failure& failure = device.failure();
        CUBAR_LOG(kError, "cuInit: %s: %s", transport::describe(failure.error), failure.detail);
        return init_error(failure.error);
    }
    auto* process = new (std::nothrow) Process(std::move(*device));
    if (process == nullptr) return CUDA_ERROR_OUT_OF_MEMORY;
    if (const CUresult error = process->find_visible_devices(); error != CUDA_SUCCESS) {
        delete process;
        return error;
    }
    const char* blocking = std::getenv("CUDA_LAUNCH_BLOCKING");
    process->launches_block_ = blocking != nullptr && blocking[0] == '1';
    CUBAR_LOG(kInfo, "cuInit: %s, host driver %.*s, %d device(s) visible", process->device_->name(),
              static_cast<int>(kNameBytes), process->facts().host_driver, process->device_count());
    instance_.store(process, std::memory_order_release);
    return CUDA_SUCCESS;
}

CUresult Process::find_visible_devices() {
    driver_version_ = std::min(static_cast<int>(facts().driver_version), kDescribedVersion);
    const std::size_t count = std::min<std::size_t>(facts().device_count, kMaxDevices);
    std::array<driver::PhysicalDevice, kMaxDevices> devices{};
    for (std::size_t index = 0; index < count; ++index) {
        std::memcpy(&devices[index].uuid, facts().device[index].uuid, sizeof(CUuuid));
    }
    visible_count_ = driver::visible_devices(std::getenv("CUDA_VISIBLE_DEVICES"),
                                             std::span(devices).first(count), visible_);
    if (visible_count_ != 0) return CUDA_SUCCESS;
    CUBAR_LOG(kError, "cuInit: the host offers %zu device(s), CUDA_VISIBLE_DEVICES shows none",
              count);
    return CUDA_ERROR_NO_DEVICE;
}

int Process::ordinal_of(std::uint32_t host_device) const {
    for (std::size_t ordinal = 0; ordinal < visible_count_; ++ordinal) {
        if (visible_[ordinal] == host_device) return static_cast<int>(ordinal);
    }
    return -1;
}

CUresult Process::begin_session(Session*& out) {
    out = session();
    if (out != nullptr) return CUDA_SUCCESS;
    const std::lock_guard lock(session_mutex_);
    out = session();
    if (out != nullptr) return CUDA_SUCCESS;
    auto begun = Session::begin(*device_);
    if (!begun) {
        const transport::Failure& failure = begun.failure();
        CUBAR_LOG(kError, "no session with the host: %s: %s", transport::describe(failure.error),
                  failure.detail);
        return session_error(failure.error);
    }
    out = begun->release();
    session_.store(out, std::memory_order_release);
    return CUDA_SUCCESS;
}

}  // namespace cubar::guest
