// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstring>
#include <string_view>

#include "cubar/host/dispatch.h"
#include "host/worker/kernel_facts.h"
#include "transport/ring_consumer.h"

namespace cubar::host {
namespace {

bool is_kernel(FunctionHandle handle) {
    return handle.kind() == Kind::kKernel;
}
KernelHandle as_kernel(FunctionHandle handle) {
    return KernelHandle(handle.bits());
}

}  // namespace

CUresult handle_cuKernelGetFunction(Session& session, const transport::Record& record,
                                    const wire::cuKernelGetFunction::Request& request,
                                    std::span<const std::byte>,
                                    wire::cuKernelGetFunction::Reply& reply) {
    const KernelObject* kernel = session.kernels.find(request.kernel);
    if (kernel == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    const LibraryHandle library = kernel->library;
    const bool prints = kernel->prints;
    CUfunction function = nullptr;
    CUBAR_TRY(ask(session.driver().cuKernelGetFunction, &function, kernel->kernel));
    CUBAR_TRY(tell_function(session, function, prints, reply));
    reply.function = session.handle_of(function, {function,
                                                  {},
                                                  library,
                                                  ContextHandle(record.header().context),
                                                  prints,
                                                  reply.parameter_bytes});
    return reply.function ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}

CUresult handle_cuFuncGetModule(Session& session, const transport::Record&,
                                const wire::cuFuncGetModule::Request& request,
                                std::span<const std::byte>, wire::cuFuncGetModule::Reply& reply) {
    const FunctionObject* object = session.functions.find(request.function);
    if (object == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    const FunctionObject facts = *object;
    reply.module = facts.module;
    if (facts.module) return CUDA_SUCCESS;
    CUmodule module = nullptr;
    CUBAR_TRY(ask(session.driver().cuFuncGetModule, &module, facts.function));
    reply.module = session.handle_of(module, {module, facts.context, facts.library, facts.prints});
    return reply.module ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}

CUresult handle_function_facts(Session& session, const transport::Record& record,
                               const wire::function_facts::Request& request,
                               std::span<const std::byte>, wire::function_facts::Reply& reply) {
    if (is_kernel(request.function)) {
        KernelObject* kernel = session.kernels.find(as_kernel(request.function));
        if (kernel == nullptr) return CUDA_ERROR_INVALID_HANDLE;
        CUBAR_TRY(tell_kernel(session, kernel->kernel, ContextHandle(record.header().context),
                              kernel->prints, reply));
        learn_parameter_bytes(kernel, reply.parameter_bytes);
        return CUDA_SUCCESS;
    }
    FunctionObject* function = session.functions.find(request.function);
    if (function == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    CUBAR_TRY(tell_function(session, function->function, function->prints, reply));
    learn_parameter_bytes(function, reply.parameter_bytes);
    return CUDA_SUCCESS;
}

CUresult handle_function_parameters(Session& session, const transport::Record&,
                                    const wire::function_parameters::Request& request,
                                    std::span<const std::byte>,
                                    wire::function_parameters::Reply& reply) {
    const Driver& driver = session.driver();
    const auto tell = [&](std::size_t index, std::size_t offset, std::size_t size) {
        if (index < request.first || reply.count == std::size(reply.parameter)) return;
        reply.parameter[reply.count++] = pack_parameter(offset, size);
    };
    if (is_kernel(request.function)) {
        CUkernel kernel = nullptr;
        CUBAR_TRY(session.resolve(as_kernel(request.function), kernel));
        return for_each_parameter(driver.cuKernelGetParamInfo, kernel, tell);
    }
    CUfunction function = nullptr;
    CUBAR_TRY(session.resolve(request.function, function));
    return for_each_parameter(driver.cuFuncGetParamInfo, function, tell);
}

CUresult handle_function_name(Session& session, const transport::Record&,
                              const wire::function_name::Request& request,
                              std::span<const std::byte>, wire::function_name::Reply& reply) {
    const Driver& driver = session.driver();
    const char* text = nullptr;
    if (is_kernel(request.function)) {
        CUkernel kernel = nullptr;
        CUBAR_TRY(session.resolve(as_kernel(request.function), kernel));
        CUBAR_TRY(ask(driver.cuKernelGetName, &text, kernel));
    } else {
        CUfunction function = nullptr;
        CUBAR_TRY(session.resolve(request.function, function));
        CUBAR_TRY(ask(driver.cuFuncGetName, &text, function));
    }
    const std::string_view name(text != nullptr ? text : "");
    reply.total = static_cast<std::uint32_t>(name.size());
    if (request.first >= name.size()) return CUDA_SUCCESS;
    const std::string_view part = name.substr(request.first, sizeof reply.name);
    std::memcpy(reply.name, part.data(), part.size());
    return CUDA_SUCCESS;
}

}  // namespace cubar::host
