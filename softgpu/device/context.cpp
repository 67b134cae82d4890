// SPDX-License-Identifier: Apache-2.0
#include "softgpu/device/context.h"

#include <algorithm>
#include <cstdio>
#include <string>
#include <utility>

#include "softgpu/device/error.h"
#include "softgpu/device/library.h"
#include "softgpu/device/module.h"

namespace cubar::softgpu::device {
namespace {

// As many operations as the real driver lets a stream have in flight before launches block.
constexpr std::size_t kStrictQueue = 1024;
// Where queues need not be unkind, a bound on memory only.
constexpr std::size_t kQueue = 65536;

constexpr std::size_t kLargestStack = std::size_t{512} << 10;
constexpr std::size_t kLargestFetch = 128;

std::uint64_t next_context_id() {
    static std::atomic<std::uint64_t> next{1};
    return next.fetch_add(1, std::memory_order_relaxed);
}

}  // namespace

Context::Context(Device& device, Memory& memory, const Settings& settings, CUcontext handle,
                 Kind kind, unsigned initial_flags)
    : flags(initial_flags),
      device_(device),
      memory_(memory),
      handle_(handle),
      kind_(kind),
      id_(next_context_id()),
      strict_(settings.strict),
      fault_(std::make_shared<FaultState>()),
      storage_(std::make_shared<driver::ContextStorage>()),
      print_(std::make_shared<exec::PrintBuffer>()),
      streams_({handle, settings.strict ? kStrictQueue : kQueue, fault_}) {}

std::size_t Context::limit(CUlimit limit) const {
    switch (limit) {
        case CU_LIMIT_STACK_SIZE:
            return stack_size_;
        case CU_LIMIT_PRINTF_FIFO_SIZE:
            return print_->capacity();
        case CU_LIMIT_MALLOC_HEAP_SIZE:
            return heap_size_;
        case CU_LIMIT_MAX_L2_FETCH_GRANULARITY:
            return fetch_granularity_;
        default:
            break;
    }
    require_value(limit >= 0 && limit < CU_LIMIT_MAX, "no such limit");
    throw Error(CUDA_ERROR_UNSUPPORTED_LIMIT, "a limit of something that is not there");
}

void Context::set_limit(CUlimit limit, std::size_t value) {
    switch (limit) {
        case CU_LIMIT_STACK_SIZE:
            require_value(value <= kLargestStack, "stack size");
            stack_size_ = round_up(value, 16);
            return;
        case CU_LIMIT_PRINTF_FIFO_SIZE:
            print_->set_capacity(value);
            return;
        case CU_LIMIT_MALLOC_HEAP_SIZE:
            heap_size_ = value;
            return;
        case CU_LIMIT_MAX_L2_FETCH_GRANULARITY:
            require_value(value <= kLargestFetch, "fetch granularity");
            fetch_granularity_ = value;
            return;
        default:
            break;
    }
    require_value(limit >= 0 && limit < CU_LIMIT_MAX, "no such limit");
    throw Error(CUDA_ERROR_UNSUPPORTED_LIMIT, "a limit of something that is not there");
}

void Context::flush_prints() {
    const std::string text = print_->drain();
    if (!text.empty()) std::fwrite(text.data(), 1, text.size(), stdout);
}

void Context::flush_prints_eagerly() {
    if (!strict_) flush_prints();
}

void Context::synchronize() {
    streams_.wait();
    flush_prints();
    require_healthy();
}

void Context::require_healthy() const {
    if (const CUresult error = fault_->get(); error != CUDA_SUCCESS)
        throw Error(error, "an earlier operation of this context failed");
}

std::shared_ptr<Module> Context::module_of(const std::shared_ptr<Library>& library) {
    std::lock_guard lock(modules_mutex_);
    std::shared_ptr<Module>& module = modules_[library.get()];
    if (module == nullptr) module = library->load_into(*this);
    return module;
}

std::shared_ptr<Module> Context::drop_module_of(const Library& library) {
    std::lock_guard lock(modules_mutex_);
    auto node = modules_.extract(&library);
    return node.empty() ? nullptr : std::move(node.mapped());
}

bool Context::owns_library_module(const Module& module) const {
    std::lock_guard lock(modules_mutex_);
    return std::any_of(modules_.begin(), modules_.end(),
                       [&](const auto& entry) { return entry.second.get() == &module; });
}

void Context::end() {
    streams_.abandon();
    streams_.wait();
    flush_prints();
    std::lock_guard lock(modules_mutex_);
    modules_.clear();
}

}  // namespace cubar::softgpu::device
