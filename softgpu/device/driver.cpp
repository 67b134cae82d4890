// SPDX-License-Identifier: Apache-2.0
#include "softgpu/device/driver.h"

#include <pthread.h>

#include <atomic>
#include <cstdlib>
#include <new>

#include "driver/log.h"
#include "driver/visible_devices.h"
#include "softgpu/device/current.h"
#include "softgpu/device/error.h"
#include "softgpu/device/graphs.h"

namespace cubar::softgpu::device {
namespace {

// Released by initialise() after the driver is made, acquired by instance().
std::atomic<Driver*> the_driver{nullptr};
// Set in the child of a fork: its parent's threads, and with them all streams, are not there.
std::atomic<bool> orphaned{false};

void after_fork_in_child() {
    if (the_driver.load(std::memory_order_relaxed) == nullptr) return;
    orphaned.store(true, std::memory_order_relaxed);
    the_driver.store(nullptr, std::memory_order_relaxed);
}

std::vector<unsigned> visible(int count) {
    std::vector<driver::PhysicalDevice> physical;
    for (int index = 0; index < count; ++index)
        physical.push_back({Device::identity_of(index).uuid, false});
    std::vector<unsigned> ordinals(physical.size());
    ordinals.resize(
        driver::visible_devices(std::getenv("CUDA_VISIBLE_DEVICES"), physical, ordinals));
    return ordinals;
}

}  // namespace

Driver::Driver()
    : settings_(Settings::from_environment()),
      memory_(settings_.strict),
      graphs_(std::make_unique<Graphs>()) {
    for (const unsigned index : visible(settings_.devices)) {
        const auto ordinal = static_cast<int>(devices_.size());
        devices_.push_back(
            std::make_unique<Device>(memory_.space(), settings_, ordinal, static_cast<int>(index)));
        primaries_.push_back(std::make_unique<Primary>());
        primaries_.back()->handle = contexts.reserve();
    }
}

CUresult Driver::initialise() {
    static std::mutex mutex;
    std::lock_guard lock(mutex);
    if (orphaned.load(std::memory_order_relaxed)) return CUDA_ERROR_NOT_INITIALIZED;
    if (instance() == nullptr) {
        auto made = std::unique_ptr<Driver>(new Driver());
        if (!made->memory_.space().valid()) {
            CUBAR_LOG(kError, "softgpu: no address space for device memory");
            return CUDA_ERROR_OUT_OF_MEMORY;
        }
        pthread_atfork(nullptr, nullptr, after_fork_in_child);
        the_driver.store(made.release(), std::memory_order_release);
    }
    return instance()->devices_.empty() ? CUDA_ERROR_NO_DEVICE : CUDA_SUCCESS;
}

Driver* Driver::instance() {
    return the_driver.load(std::memory_order_acquire);
}

Captures& Driver::captures() const {
    return graphs_->captures;
}

exec::Executor& Driver::executor() {
    std::call_once(executor_once_, [this] { executor_ = std::make_unique<exec::Executor>(); });
    return *executor_;
}

Device& Driver::device(CUdevice ordinal) {
    require(ordinal >= 0 && ordinal < device_count(), CUDA_ERROR_INVALID_DEVICE, "no such device");
    return *devices_[static_cast<std::size_t>(ordinal)];
}

CUcontext Driver::primary_handle(CUdevice ordinal) {
    device(ordinal);
    return primaries_[static_cast<std::size_t>(ordinal)]->handle;
}

CUcontext Driver::retain_primary(CUdevice ordinal) {
    Device& owner = device(ordinal);
    Primary& primary = *primaries_[static_cast<std::size_t>(ordinal)];
    std::lock_guard lock(primary.mutex);
    if (find_context(primary.handle) == nullptr)
        contexts.set(primary.handle,
                     std::make_shared<Context>(owner, memory_, settings_, primary.handle,
                                               Context::Kind::kPrimary, primary.flags));
    ++primary.references;
    return primary.handle;
}

void Driver::release_primary(CUdevice ordinal) {
    device(ordinal);
    Primary& primary = *primaries_[static_cast<std::size_t>(ordinal)];
    std::lock_guard lock(primary.mutex);
    require(primary.references != 0, CUDA_ERROR_INVALID_CONTEXT,
            "the primary context is not retained");
    if (--primary.references != 0) return;
    if (const ContextRef context = find_context(primary.handle)) {
        end_context(context);
        contexts.set(primary.handle, nullptr);
    }
}

void Driver::reset_primary(CUdevice ordinal) {
    device(ordinal);
    Primary& primary = *primaries_[static_cast<std::size_t>(ordinal)];
    std::lock_guard lock(primary.mutex);
    primary.references = 0;
    if (const ContextRef context = find_context(primary.handle)) {
        end_context(context);
        contexts.set(primary.handle, nullptr);
    }
}

void Driver::set_primary_flags(CUdevice ordinal, unsigned flags) {
    device(ordinal);
    Primary& primary = *primaries_[static_cast<std::size_t>(ordinal)];
    std::lock_guard lock(primary.mutex);
    primary.flags = flags;
    if (const ContextRef context = find_context(primary.handle)) context->flags = flags;
}

Driver::PrimaryState Driver::primary_state(CUdevice ordinal) {
    device(ordinal);
    Primary& primary = *primaries_[static_cast<std::size_t>(ordinal)];
    std::lock_guard lock(primary.mutex);
    return {primary.flags, find_context(primary.handle) != nullptr};
}

ContextRef Driver::create_context(CUdevice ordinal, unsigned flags) {
    Device& owner = device(ordinal);
    const CUcontext handle = contexts.reserve();
    auto context = std::make_shared<Context>(owner, memory_, settings_, handle,
                                             Context::Kind::kCreated, flags);
    contexts.set(handle, context);
    return context;
}

void Driver::destroy_context(const ContextRef& context) {
    end_context(context);
    contexts.remove(context->handle());
}

void Driver::end_context(const ContextRef& context) {
    const CUcontext handle = context->handle();
    context->storage()->clear(handle);
    const auto belongs = [handle](const auto& object) { return object.context() == handle; };
    captures().drop_context(handle);
    streams.remove_if(belongs);
    context->end();
    // Released only now, since work in flight may have used them.
    events.remove_if(belongs);
    functions.remove_if(belongs);
    modules.remove_if(belongs);
    images_.remove_context(handle);
    arrays.remove_if(belongs);
    mipmapped_arrays.remove_if(belongs);
    memory_.remove_context(handle);
}

CUdevice Driver::primary_device(CUcontext handle) const {
    for (std::size_t ordinal = 0; ordinal < primaries_.size(); ++ordinal)
        if (primaries_[ordinal]->handle == handle) return static_cast<CUdevice>(ordinal);
    return -1;
}

bool Driver::is_context(CUcontext handle) {
    return find_context(handle) != nullptr || primary_device(handle) >= 0;
}

CUdevice Driver::device_of(CUcontext handle) {
    if (const CUdevice ordinal = primary_device(handle); ordinal >= 0) return ordinal;
    const ContextRef context = find_context(handle);
    require(context != nullptr, CUDA_ERROR_INVALID_CONTEXT, "no such context");
    return context->device().ordinal();
}

ContextRef Driver::current() {
    const CUcontext handle = this_thread().current();
    require(handle != nullptr, CUDA_ERROR_INVALID_CONTEXT, "no context is current");
    ContextRef context = find_context(handle);
    require(context != nullptr, CUDA_ERROR_CONTEXT_IS_DESTROYED, "the current context has ended");
    return context;
}

ContextRef Driver::current_healthy() {
    ContextRef context = current();
    context->require_healthy();
    return context;
}

void Driver::settle(CUcontext owner) {
    const ContextRef context = find_context(owner);
    if (context == nullptr) return;
    context->streams().wait();
    if (!settings_.strict) return;
    for (const ContextRef& other : contexts.objects())
        if (&other->device() == &context->device()) other->streams().wait();
}

void Driver::settle_all() {
    for (const ContextRef& context : contexts.objects()) context->streams().wait();
}

void Driver::forget_thread(std::uint64_t thread) {
    captures().drop_thread(thread);
    for (const ContextRef& context : contexts.objects()) context->streams().forget_thread(thread);
}

CUfunction Driver::publish(const FunctionRef& function, CUmodule module) {
    std::lock_guard lock(publish_mutex_);
    if (function->handle == nullptr) {
        function->module = module;
        function->handle = functions.insert(function);
    }
    return function->handle;
}

CUmodule Driver::publish(const std::shared_ptr<Module>& module) {
    std::lock_guard lock(publish_mutex_);
    if (module->handle == nullptr) module->handle = modules.insert(module);
    return module->handle;
}

void Driver::withdraw(Module& module) {
    for (const FunctionRef& function : module.known_functions())
        if (function->handle != nullptr) functions.remove(function->handle);
    if (module.handle != nullptr) modules.remove(module.handle);
}

}  // namespace cubar::softgpu::device
