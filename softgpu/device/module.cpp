// SPDX-License-Identifier: Apache-2.0
#include "softgpu/device/module.h"

#include <algorithm>
#include <vector>

#include "driver/log.h"
#include "softgpu/device/context.h"
#include "softgpu/device/error.h"
#include "softgpu/ptx/ast.h"

namespace cubar::softgpu::device {
namespace {

/// A kernel without launch bounds gets no more registers than let the largest block run: a value
/// that lies in memory costs an interpreter nothing.
constexpr int registers_for(int threads) {
    const int warps = (threads + Architecture::kWarpSize - 1) / Architecture::kWarpSize;
    const int per_warp = Architecture::kRegistersPerBlock / warps / Architecture::kRegisterUnit *
                         Architecture::kRegisterUnit;
    return std::min(255, per_warp / Architecture::kWarpSize);
}

}  // namespace

std::shared_ptr<Module> Module::load(Context& context, std::unique_ptr<ptx::Module> code,
                                     Compile compile, std::string& log) {
    const unsigned target = code->target;
    // The program's variables are the context's device memory, and known to pointer queries.
    Memory& memory = context.memory();
    Heap& heap = context.device().heap();
    const MemoryOwner owner = context.owner();
    exec::VariableStorage storage;
    storage.allocate = [&memory, &heap, owner](std::uint64_t size, std::uint64_t) -> std::byte* {
        try {
            const auto allocation = memory.allocate(heap, owner, size, MemoryKind::kVariable);
            auto* bytes = reinterpret_cast<std::byte*>(allocation->base);
            std::fill_n(bytes, size, std::byte{});
            return bytes;
        } catch (const Error&) {
            return nullptr;
        }
    };
    storage.release = [&memory](std::byte* address, std::uint64_t) {
        memory.remove(reinterpret_cast<Address>(address), [](const Allocation& allocation) {
            return allocation.kind == MemoryKind::kVariable;
        });
    };
    std::string reasons;
    auto program = exec::Program::load(std::move(code), memory.map(), reasons, std::move(storage));
    bool complete = program != nullptr;
    if (complete && compile == Compile::kNow)
        for (const exec::Kernel* kernel : program->kernels())
            complete = program->prepare(*kernel, reasons) && complete;
    if (!complete) {
        CUBAR_LOG(kError, "softgpu: module refused: %s", reasons.c_str());
        log += reasons;
        throw Error(CUDA_ERROR_INVALID_PTX, "the PTX cannot be executed");
    }
    return std::shared_ptr<Module>(
        new Module(context.handle(), std::move(program), target, context.device().architecture()));
}

FunctionRef Module::function(std::string_view name) {
    return function(name, std::make_shared<FunctionSettings>());
}

FunctionRef Module::function(std::string_view name,
                             const std::shared_ptr<FunctionSettings>& settings) {
    std::lock_guard lock(mutex_);
    if (const auto found = functions_.find(name); found != functions_.end()) return found->second;
    const exec::Kernel* kernel = program_->kernel(name);
    if (kernel == nullptr) return nullptr;
    auto function = std::make_shared<Function>(architecture_, context_, ptx_target_, program_,
                                               *kernel, settings);
    functions_.emplace(name, function);
    return function;
}

std::vector<FunctionRef> Module::functions(std::size_t count) {
    std::vector<FunctionRef> result;
    for (const exec::Kernel* kernel : program_->kernels()) {
        if (result.size() == count) break;
        result.push_back(function(program_->info(*kernel).name));
    }
    return result;
}

std::vector<FunctionRef> Module::known_functions() {
    std::vector<FunctionRef> known;
    std::lock_guard lock(mutex_);
    for (const auto& [name, function] : functions_) known.push_back(function);
    return known;
}

Function::Function(const Architecture& architecture, CUcontext context, unsigned ptx_target,
                   std::shared_ptr<exec::Program> program, const exec::Kernel& kernel,
                   std::shared_ptr<FunctionSettings> settings)
    : architecture_(architecture),
      context_(context),
      ptx_target_(ptx_target),
      program_(std::move(program)),
      kernel_(kernel),
      settings_(std::move(settings)) {}

void Function::prepare() const {
    if (prepared()) return;
    std::string log;
    if (!program_->prepare(kernel_, log)) {
        CUBAR_LOG(kError, "softgpu: kernel %s refused: %s", info().name.c_str(), log.c_str());
        throw Error(CUDA_ERROR_INVALID_PTX, "the kernel cannot be executed");
    }
    std::call_once(usage_once_, [this] { usage_ = program_->usage(kernel_); });
    prepared_.store(true, std::memory_order_release);
}

int Function::registers() const {
    const exec::KernelInfo& kernel = info();
    int limit = registers_for(static_cast<int>(kernel.max_threads_per_block));
    if (kernel.max_registers != 0) limit = std::min(limit, static_cast<int>(kernel.max_registers));
    return std::min(static_cast<int>(usage_.registers), limit);
}

int Function::static_shared() const {
    return static_cast<int>(usage_.static_shared);
}

int Function::max_threads_per_block() const {
    return std::min(static_cast<int>(info().max_threads_per_block), Architecture::kThreadsPerBlock);
}

int Function::max_dynamic_shared() const {
    const int set = settings_->max_dynamic_shared.load(std::memory_order_relaxed);
    return set >= 0 ? set : std::max(0, Architecture::kSharedPerBlock - static_shared());
}

int Function::max_cluster() const {
    if (!architecture_.has_clusters()) return 1;
    return settings_->non_portable_cluster ? Architecture::kLargestCluster
                                           : Architecture::kPortableCluster;
}

exec::Dim3 Function::cluster_for(const exec::Dim3& asked, const exec::Dim3& grid) const {
    const exec::Dim3& required = info().required_cluster;
    const auto check = [](bool right, const char* reason) {
        require(right, CUDA_ERROR_INVALID_CLUSTER_SIZE, reason);
    };
    if (asked.x == 0 && required.x == 0) {
        check(!info().needs_cluster, "the kernel must be launched with a cluster size");
        return {0, 0, 0};
    }
    const exec::Dim3 cluster = required.x != 0 ? required : asked;
    const bool one = cluster.x == 1 && cluster.y == 1 && cluster.z == 1;
    require(one || architecture_.has_clusters(), CUDA_ERROR_NOT_SUPPORTED,
            "clusters need compute capability 9.0");
    check(asked.x == 0 || (asked.x == cluster.x && asked.y == cluster.y && asked.z == cluster.z),
          "the kernel requires another cluster size");
    check(grid.x % cluster.x == 0 && grid.y % cluster.y == 0 && grid.z % cluster.z == 0,
          "the grid is no whole number of clusters");
    // Small factors first, so that their product cannot overflow.
    constexpr std::uint32_t kMost = Architecture::kLargestCluster;
    check(cluster.x <= kMost && cluster.y <= kMost && cluster.z <= kMost &&
              cluster.count() <= static_cast<std::uint64_t>(max_cluster()),
          "the cluster is too large");
    return cluster;
}

int Function::attribute(CUfunction_attribute attribute) const {
    prepare();
    switch (attribute) {
        case CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK:
            return max_threads_per_block();
        case CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES:
            return static_shared();
        case CU_FUNC_ATTRIBUTE_CONST_SIZE_BYTES:
            return static_cast<int>(usage_.constant);
        case CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES:
            return static_cast<int>(usage_.local);
        case CU_FUNC_ATTRIBUTE_NUM_REGS:
            return registers();
        case CU_FUNC_ATTRIBUTE_PTX_VERSION:
            return static_cast<int>(ptx_target_);
        case CU_FUNC_ATTRIBUTE_BINARY_VERSION:
            return architecture_.major * 10 + architecture_.minor;
        case CU_FUNC_ATTRIBUTE_CACHE_MODE_CA:
            return 0;
        case CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES:
            return max_dynamic_shared();
        case CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT:
            return settings_->shared_carveout.load(std::memory_order_relaxed);
        case CU_FUNC_ATTRIBUTE_CLUSTER_SIZE_MUST_BE_SET:
            return info().needs_cluster ? 1 : 0;
        case CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_WIDTH:
            return static_cast<int>(info().required_cluster.x);
        case CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_HEIGHT:
            return static_cast<int>(info().required_cluster.y);
        case CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_DEPTH:
            return static_cast<int>(info().required_cluster.z);
        case CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED:
            return settings_->non_portable_cluster ? 1 : 0;
        case CU_FUNC_ATTRIBUTE_CLUSTER_SCHEDULING_POLICY_PREFERENCE:
            return 0;
        default:
            throw Error(CUDA_ERROR_INVALID_VALUE, "no such function attribute");
    }
}

void Function::set_attribute(CUfunction_attribute attribute, int value) {
    switch (attribute) {
        case CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES:
            prepare();
            require_value(
                value >= 0 && value <= architecture_.shared_per_block_optin - static_shared(),
                "more shared memory than a block can have");
            settings_->max_dynamic_shared = value;
            return;
        case CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT:
            require_value(value >= -1 && value <= 100, "a carveout is a percentage");
            settings_->shared_carveout = value;
            return;
        case CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED:
            require_value(value == 0 || value == 1, "either allowed or not");
            settings_->non_portable_cluster = value != 0;
            return;
        default:
            throw Error(CUDA_ERROR_INVALID_VALUE, "this function attribute cannot be set");
    }
}

}  // namespace cubar::softgpu::device
