// SPDX-License-Identifier: Apache-2.0
#include "softgpu/device/launch.h"

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <optional>
#include <utility>

#include "driver/log.h"
#include "softgpu/device/driver.h"
#include "softgpu/device/error.h"
#include "softgpu/device/occupancy.h"

namespace cubar::softgpu::device {
namespace {

void check_dimensions(const LaunchRequest& request) {
    const auto check = [&](bool right, const char* reason) {
        require(right, request.bad_dimensions, reason);
    };
    const exec::Dim3& grid = request.grid;
    const exec::Dim3& block = request.block;
    check(grid.x != 0 && grid.y != 0 && grid.z != 0, "an empty grid");
    check(block.x != 0 && block.y != 0 && block.z != 0, "an empty block");
    check(grid.x <= Architecture::kMaxGrid[0] && grid.y <= Architecture::kMaxGrid[1] &&
              grid.z <= Architecture::kMaxGrid[2],
          "the grid is too large");
    const auto fits = [](std::uint32_t dimension, int axis) {
        return dimension <= static_cast<std::uint32_t>(Architecture::kMaxBlock[axis]);
    };
    check(fits(block.x, 0) && fits(block.y, 1) && fits(block.z, 2) &&
              block.count() <= Architecture::kThreadsPerBlock,
          "the block is too large");
}

void check_resources(const Function& function, const LaunchRequest& request) {
    const exec::Dim3& required = function.info().required_threads;
    const bool free = required.count() == 0;
    require_value(free || (required.x == request.block.x && required.y == request.block.y &&
                           required.z == request.block.z),
                  "the kernel requires another block size");
    require(request.block.count() <= static_cast<std::uint64_t>(function.max_threads_per_block()),
            CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES, "the block exceeds the kernel's launch bounds");
    require_value(request.dynamic_shared <= static_cast<unsigned>(function.max_dynamic_shared()),
                  "more dynamic shared memory than the function may have");
}

/// The buffer of `extra`, a list of option, value, …, CU_LAUNCH_PARAM_END.
std::pair<const std::byte*, std::size_t> read_extra(void** extra) {
    const void* buffer = nullptr;
    std::optional<std::size_t> size;
    for (; *extra != CU_LAUNCH_PARAM_END; extra += 2) {
        if (extra[0] == CU_LAUNCH_PARAM_BUFFER_POINTER)
            buffer = extra[1];
        else if (extra[0] == CU_LAUNCH_PARAM_BUFFER_SIZE && extra[1] != nullptr)
            size = *static_cast<const std::size_t*>(extra[1]);
        else
            throw Error(CUDA_ERROR_INVALID_VALUE, "unknown launch option");
    }
    require_value(buffer != nullptr && size, "the parameter buffer or its size is missing");
    return {static_cast<const std::byte*>(buffer), *size};
}

std::vector<std::byte> pack(const exec::KernelInfo& kernel, const LaunchRequest& request) {
    require_value(request.parameters == nullptr || request.extra == nullptr,
                  "parameters given in two ways");
    std::vector<std::byte> packed(kernel.parameter_bytes);
    if (packed.empty()) return packed;
    if (request.extra != nullptr) {
        const auto [buffer, size] = read_extra(request.extra);
        require_value(size >= packed.size(), "the parameter buffer is too short");
        std::memcpy(packed.data(), buffer, packed.size());
        return packed;
    }
    require_value(request.parameters != nullptr, "the kernel has parameters and none are given");
    for (std::size_t i = 0; i < kernel.parameters.size(); ++i) {
        require_value(request.parameters[i] != nullptr, "a null parameter");
        std::memcpy(packed.data() + kernel.parameters[i].offset, request.parameters[i],
                    kernel.parameters[i].size);
    }
    return packed;
}

void report(const exec::Fault& fault, FaultState& state) {
    if (fault.kind == exec::FaultKind::kCancelled) return;
    // As CUDA does, an assertion that fails says so on stderr.
    if (fault.kind == exec::FaultKind::kAssert) std::fprintf(stderr, "%s\n", fault.message.c_str());
    CUBAR_LOG(kError, "softgpu: kernel %s, line %u: %s", fault.kernel.c_str(), fault.line,
              fault.message.c_str());
    state.set(error_of(fault.kind));
}

}  // namespace

CUresult error_of(exec::FaultKind kind) {
    switch (kind) {
        case exec::FaultKind::kIllegalAddress:
            return CUDA_ERROR_ILLEGAL_ADDRESS;
        case exec::FaultKind::kMisalignedAddress:
            return CUDA_ERROR_MISALIGNED_ADDRESS;
        case exec::FaultKind::kAssert:
            return CUDA_ERROR_ASSERT;
        case exec::FaultKind::kIllegalInstruction:
            return CUDA_ERROR_ILLEGAL_INSTRUCTION;
        case exec::FaultKind::kInvalidPc:
            return CUDA_ERROR_INVALID_PC;
        case exec::FaultKind::kTrap:
            return CUDA_ERROR_LAUNCH_FAILED;
        case exec::FaultKind::kStackOverflow:
            return CUDA_ERROR_HARDWARE_STACK_ERROR;
        case exec::FaultKind::kDeadlock:
            return CUDA_ERROR_LAUNCH_TIMEOUT;
        case exec::FaultKind::kCancelled:
            return CUDA_SUCCESS;
    }
    return CUDA_ERROR_LAUNCH_FAILED;
}

PreparedLaunch::PreparedLaunch(ContextRef context, FunctionRef function,
                               const LaunchRequest& request)
    : Work(CU_GRAPH_NODE_TYPE_KERNEL),
      context_(std::move(context)),
      function_(std::move(function)),
      attributes_(request.attributes.begin(), request.attributes.end()),
      kernel_(request.kernel) {
    check_dimensions(request);
    function_->prepare();
    check_resources(*function_, request);
    parameters_ = pack(function_->info(), request);
    config_.grid = request.grid;
    config_.block = request.block;
    config_.dynamic_shared = request.dynamic_shared;
    config_.cooperative = request.cooperative;
    config_.stack_bytes = context_->stack_size();
    config_.multiprocessors = Device::kMultiprocessors;
    set_cluster(request.cluster);
    check_cooperative();
}

void PreparedLaunch::set_cluster(const exec::Dim3& asked) {
    const exec::Dim3 cluster = function_->cluster_for(asked, config_.grid);
    config_.explicit_cluster = cluster.x != 0;
    config_.cluster = config_.explicit_cluster ? cluster : exec::Dim3{1, 1, 1};
}

void PreparedLaunch::check_cooperative() const {
    if (!config_.cooperative) return;
    const auto resident = static_cast<std::uint64_t>(active_blocks(
        context_->device().architecture(),
        demand_of(*function_, static_cast<int>(config_.block.count()), config_.dynamic_shared)));
    require(config_.grid.count() <= resident * Device::kMultiprocessors,
            CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE, "the grid cannot be resident at once");
}

std::shared_ptr<PreparedLaunch> PreparedLaunch::with(const CUlaunchAttribute& attribute) const {
    auto changed = std::make_shared<PreparedLaunch>(*this);
    std::erase_if(changed->attributes_,
                  [&](const CUlaunchAttribute& each) { return each.id == attribute.id; });
    changed->attributes_.push_back(attribute);
    if (attribute.id == CU_LAUNCH_ATTRIBUTE_COOPERATIVE) {
        changed->config_.cooperative = attribute.value.cooperative != 0;
        changed->check_cooperative();
    }
    if (attribute.id == CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION) {
        const auto& size = attribute.value.clusterDim;
        changed->set_cluster({size.x, size.y, size.z});
    }
    return changed;
}

void PreparedLaunch::run(Stream& /*stream*/) const {
    if (brief()) return;
    exec::LaunchConfig config = config_;
    config.parameters = parameters_;
    config.print = context_->print().get();
    const std::optional<exec::Fault> why = Driver::get().executor().run(
        function_->program(), function_->kernel(), config, context_->memory().map());
    if (why) report(*why, *context_->fault());
    context_->flush_prints_eagerly();
}

bool PreparedLaunch::brief() const {
    return Driver::get().settings().null_kernels;
}

std::vector<void*> PreparedLaunch::parameter_pointers() const {
    std::vector<void*> pointers;
    for (const auto& parameter : function_->info().parameters)
        // CUDA's structures have no const; cuda.h says not to write there.
        pointers.push_back(const_cast<std::byte*>(parameters_.data()) + parameter.offset);
    return pointers;
}

}  // namespace cubar::softgpu::device
