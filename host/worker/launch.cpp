// SPDX-License-Identifier: Apache-2.0
#include <atomic>

#include "cubar/host/dispatch.h"
#include "host/worker/launch_attributes.h"
#include "host/worker/local_memory.h"
#include "host/worker/session.h"
#include "host/worker/try.h"
#include "transport/ring_consumer.h"

namespace cubar::host {
namespace {

/// What to launch, and how large its parameter block is.
struct Callee {
    CUfunction function = nullptr;
    std::uint32_t parameter_bytes = kUnknownBytes;
};

template <typename Object>
std::uint32_t parameter_bytes_of(Object& object) {
    return std::atomic_ref(object.parameter_bytes).load(std::memory_order_relaxed);
}

/// A library's kernel runs where its stream is.
ContextHandle context_of(Session& session, const transport::Record& record) {
    const StreamObject* stream = session.streams.find(StreamHandle(record.header().stream));
    return stream != nullptr ? stream->context : ContextHandle(record.header().context);
}

/// Also has the ledger know of its local memory.
CUresult find_callee(Session& session, const transport::Record& record, FunctionHandle handle,
                     Callee& out) {
    if (handle.kind() == Kind::kKernel) {
        KernelObject* kernel = session.kernels.find(KernelHandle(handle.bits()));
        if (kernel == nullptr) return CUDA_ERROR_INVALID_HANDLE;
        out = {reinterpret_cast<CUfunction>(kernel->kernel), parameter_bytes_of(*kernel)};
        return charge_local_memory(session, context_of(session, record), *kernel);
    }
    FunctionObject* function = session.functions.find(handle);
    if (function == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    out = {function->function, parameter_bytes_of(*function)};
    return charge_local_memory(session, function->context, *function);
}

/// A parameter block as CUDA's `extra` names it.
class Extra {
public:
    explicit Extra(std::span<const std::byte> block) : bytes_(block.size()) {
        extra_[1] = const_cast<std::byte*>(block.data());
        extra_[3] = &bytes_;
    }
    Extra(const Extra&) = delete;
    Extra& operator=(const Extra&) = delete;
    void** data() { return extra_; }

private:
    std::size_t bytes_;
    void* extra_[5] = {CU_LAUNCH_PARAM_BUFFER_POINTER, nullptr, CU_LAUNCH_PARAM_BUFFER_SIZE,
                       nullptr, CU_LAUNCH_PARAM_END};
};

/// The driver reads a kernel's whole block, whatever size it is told, so all of it must be there.
/// None is enough where the size was never asked for.
bool enough(const Callee& callee, std::span<const std::byte> block) {
    return callee.parameter_bytes <= block.size();
}

}  // namespace

CUresult handle_cuLaunchKernel(Session& session, const transport::Record& record,
                               const wire::cuLaunchKernel::Request& request,
                               std::span<const std::byte> payload, wire::cuLaunchKernel::Reply&) {
    Callee callee;
    CUBAR_TRY(find_callee(session, record, request.function, callee));
    if (!enough(callee, payload)) return CUDA_ERROR_INVALID_VALUE;
    CUstream stream = nullptr;
    CUBAR_TRY(session.resolve(StreamHandle(record.header().stream), stream));
    session.work.count_launch();
    Extra extra(payload);
    const auto& grid = request.grid;
    const auto& block = request.block;
    return ask(session.driver().cuLaunchKernel, callee.function, grid[0], grid[1], grid[2],
               block[0], block[1], block[2], request.shared_bytes, stream,
               static_cast<void**>(nullptr), payload.empty() ? nullptr : extra.data());
}

CUresult handle_cuLaunchKernelEx(Session& session, const transport::Record& record,
                                 const wire::cuLaunchKernelEx::Request& request,
                                 std::span<const std::byte> payload,
                                 wire::cuLaunchKernelEx::Reply&) {
    Callee callee;
    CUBAR_TRY(find_callee(session, record, request.function, callee));
    CUstream stream = nullptr;
    CUBAR_TRY(session.resolve(StreamHandle(record.header().stream), stream));
    LaunchAttributes attributes;
    CUBAR_TRY(attributes.read(session, request.attribute_count, payload));
    const auto rest = payload.subspan(attributes.wire_bytes());
    if (request.parameter_bytes > rest.size()) return CUDA_ERROR_INVALID_VALUE;
    const auto parameters = rest.first(request.parameter_bytes);
    if (!enough(callee, parameters)) return CUDA_ERROR_INVALID_VALUE;
    session.work.count_launch();
    Extra extra(parameters);
    CUlaunchConfig config{};
    config.gridDimX = request.grid[0];
    config.gridDimY = request.grid[1];
    config.gridDimZ = request.grid[2];
    config.blockDimX = request.block[0];
    config.blockDimY = request.block[1];
    config.blockDimZ = request.block[2];
    config.sharedMemBytes = request.shared_bytes;
    config.hStream = stream;
    config.attrs = attributes.data();
    config.numAttrs = attributes.count();
    return ask(session.driver().cuLaunchKernelEx, static_cast<const CUlaunchConfig*>(&config),
               callee.function, static_cast<void**>(nullptr),
               parameters.empty() ? nullptr : extra.data());
}

}  // namespace cubar::host
