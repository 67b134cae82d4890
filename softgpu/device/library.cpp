// SPDX-License-Identifier: Apache-2.0
#include "softgpu/device/library.h"

#include <algorithm>

#include "softgpu/device/context.h"

namespace cubar::softgpu::device {

std::shared_ptr<FunctionSettings> Kernel::settings(int device) {
    std::lock_guard lock(mutex_);
    auto& settings = settings_[device];
    if (settings == nullptr) settings = std::make_shared<FunctionSettings>();
    return settings;
}

FunctionRef Kernel::cached(std::uint64_t context_id) {
    std::lock_guard lock(mutex_);
    const auto found = functions_.find(context_id);
    return found != functions_.end() ? found->second.lock() : nullptr;
}

void Kernel::cache(std::uint64_t context_id, const FunctionRef& function) {
    std::lock_guard lock(mutex_);
    std::erase_if(functions_, [](const auto& entry) { return entry.second.expired(); });
    functions_[context_id] = function;
}

void Library::index() {
    if (indexed_) return;
    parsed_ = image_.parse(log_);
    for (const ptx::Function& function : parsed_->functions)
        if (function.kind == ptx::FunctionKind::kEntry) names_.push_back(function.name);
    indexed_ = true;
}

const std::vector<std::string>& Library::kernel_names() {
    std::lock_guard lock(mutex_);
    index();
    return names_;
}

bool Library::has_kernel(std::string_view name) {
    const auto& names = kernel_names();
    return std::find(names.begin(), names.end(), name) != names.end();
}

std::shared_ptr<Module> Library::load_into(Context& context) {
    std::lock_guard lock(mutex_);
    index();
    // A parsed module belongs to one program; further contexts parse it again.
    std::unique_ptr<ptx::Module> code = std::move(parsed_);
    if (code == nullptr) code = image_.parse(log_);
    return Module::load(context, std::move(code), compile_, log_);
}

std::string Library::take_log() {
    std::lock_guard lock(mutex_);
    return std::exchange(log_, {});
}

}  // namespace cubar::softgpu::device
