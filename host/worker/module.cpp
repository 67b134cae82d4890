// SPDX-License-Identifier: Apache-2.0
#include <bit>
#include <string>

#include "cubar/host/dispatch.h"
#include "host/worker/image_load.h"
#include "host/worker/kernel_facts.h"
#include "transport/ring_consumer.h"

namespace cubar::host {

CUresult handle_cuModuleLoadDataEx(Session& session, const transport::Record& record,
                                   const wire::cuModuleLoadDataEx::Request& request,
                                   std::span<const std::byte> payload,
                                   wire::cuModuleLoadDataEx::Reply& reply) {
    const Driver& driver = session.driver();
    const ContextHandle context(record.header().context);
    CUdevice device = 0;
    CUBAR_TRY(session.device_of(context, device));
    ImageLoad load;
    CUBAR_TRY(load.prepare(session, request, payload));
    ImageLoad::Facts facts;
    CUBAR_TRY(load.examine(session, facts));
    auto charge =
        session.allocations().charge(static_cast<std::uint32_t>(device), load.bytes(facts));
    if (!charge) return CUDA_ERROR_OUT_OF_MEMORY;
    CUmodule module = nullptr;
    const CUresult result = ask(driver.cuModuleLoadDataEx, &module, load.image(),
                                load.option_count(), load.options(), load.values());
    load.deliver_logs(session, reply);
    if (result != CUDA_SUCCESS) return result;
    reply.wall_time = std::bit_cast<float>(load.answer(CU_JIT_WALL_TIME));
    reply.threads_per_block = load.answer(CU_JIT_THREADS_PER_BLOCK);
    reply.module = session.handle_of(module, {module, context, {}, facts.prints});
    if (!reply.module) {
        ask(driver.cuModuleUnload, module);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    charge.keep(reply.module.bits(), context);
    return CUDA_SUCCESS;
}

CUresult handle_cuModuleUnload(Session& session, const transport::Record&,
                               const wire::cuModuleUnload::Request& request,
                               std::span<const std::byte>, wire::cuModuleUnload::Reply&) {
    const ModuleObject* object = session.modules.find(request.module);
    // A library's module is unloaded with the library.
    if (object == nullptr || object->library) return CUDA_ERROR_INVALID_HANDLE;
    const CUmodule module = object->module;
    CUBAR_TRY(session.make_current(object->context));
    session.forget_code(
        [&](const ModuleObject& other) { return other.module == module; },
        [](const KernelObject&) { return false; },
        [&](const FunctionObject& function) { return function.module == request.module; });
    const auto charge = session.allocations().take(request.module.bits());
    return ask(session.driver().cuModuleUnload, module);
}

CUresult handle_cuModuleGetFunction(Session& session, const transport::Record&,
                                    const wire::cuModuleGetFunction::Request& request,
                                    std::span<const std::byte> payload,
                                    wire::cuModuleGetFunction::Reply& reply) {
    const ModuleObject* module = session.modules.find(request.module);
    if (module == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    const ModuleObject facts = *module;
    const std::string name(reinterpret_cast<const char*>(payload.data()), payload.size());
    CUfunction function = nullptr;
    CUBAR_TRY(ask(session.driver().cuModuleGetFunction, &function, facts.module, name.c_str()));
    CUBAR_TRY(tell_function(session, function, facts.prints, reply));
    reply.function = session.handle_of(
        function,
        {function, request.module, {}, facts.context, facts.prints, reply.parameter_bytes});
    return reply.function ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}

CUresult handle_cuModuleEnumerateFunctions(Session& session, const transport::Record&,
                                           const wire::cuModuleEnumerateFunctions::Request& request,
                                           std::span<const std::byte>,
                                           wire::cuModuleEnumerateFunctions::Reply& reply) {
    const ModuleObject* module = session.modules.find(request.module);
    if (module == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    const ModuleObject facts = *module;
    const Driver& driver = session.driver();
    unsigned count = 0;
    CUBAR_TRY(ask(driver.cuModuleGetFunctionCount, &count, facts.module));
    std::vector<CUfunction> all(count);
    CUBAR_TRY(ask(driver.cuModuleEnumerateFunctions, all.data(), count, facts.module));
    for (std::size_t index = request.first; index < all.size() && reply.count < request.count &&
                                            reply.count < std::size(reply.function);
         ++index) {
        const FunctionHandle handle = session.handle_of(
            all[index], {all[index], request.module, {}, facts.context, facts.prints});
        if (!handle) return CUDA_ERROR_OUT_OF_MEMORY;
        reply.function[reply.count++] = handle;
    }
    return CUDA_SUCCESS;
}

CUresult handle_cuModuleGetGlobal_v2(Session& session, const transport::Record&,
                                     const wire::cuModuleGetGlobal_v2::Request& request,
                                     std::span<const std::byte> payload,
                                     wire::cuModuleGetGlobal_v2::Reply& reply) {
    CUmodule module = nullptr;
    CUBAR_TRY(session.resolve(request.module, module));
    const std::string name(reinterpret_cast<const char*>(payload.data()), payload.size());
    CUdeviceptr address = 0;
    std::size_t bytes = 0;
    CUBAR_TRY(ask(session.driver().cuModuleGetGlobal_v2, &address, &bytes, module, name.c_str()));
    reply.address = address;
    reply.bytes = bytes;
    return CUDA_SUCCESS;
}

}  // namespace cubar::host
