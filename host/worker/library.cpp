// SPDX-License-Identifier: Apache-2.0
#include <string>

#include "cubar/host/dispatch.h"
#include "host/worker/image_load.h"
#include "host/worker/kernel_facts.h"
#include "transport/ring_consumer.h"

namespace cubar::host {

CUresult handle_cuLibraryLoadData(Session& session, const transport::Record& record,
                                  const wire::cuLibraryLoadData::Request& request,
                                  std::span<const std::byte> payload,
                                  wire::cuLibraryLoadData::Reply& reply) {
    const Driver& driver = session.driver();
    const ContextHandle context(record.header().context);
    // A library belongs to no device; the driver loads it where it is used. It is charged once, to
    // the device that its loader works with.
    CUdevice device = 0;
    if (context) CUBAR_TRY(session.make_current(context));
    if (session.device_of(context, device) != CUDA_SUCCESS) {
        CUBAR_TRY(ask(driver.cuDeviceGet, &device, 0));
    }
    ImageLoad load;
    CUBAR_TRY(load.prepare(session, request, payload));
    ImageLoad::Facts facts;
    CUBAR_TRY(load.examine(session, facts));
    auto charge =
        session.allocations().charge(static_cast<std::uint32_t>(device), load.bytes(facts));
    if (!charge) return CUDA_ERROR_OUT_OF_MEMORY;
    CUlibrary library = nullptr;
    const CUresult result =
        ask(driver.cuLibraryLoadData, &library, load.image(), load.options(), load.values(),
            load.option_count(), static_cast<CUlibraryOption*>(nullptr),
            static_cast<void**>(nullptr), 0u);
    load.deliver_logs(session, reply);
    if (result != CUDA_SUCCESS) return result;
    reply.library = session.libraries.adopt([&](LibraryObject& object) {
        object.library = library;
        object.prints = facts.prints;
    });
    if (!reply.library) {
        ask(driver.cuLibraryUnload, library);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    charge.keep(reply.library.bits(), {});
    ask(driver.cuLibraryGetKernelCount, &reply.kernel_count, library);
    return CUDA_SUCCESS;
}

CUresult handle_cuLibraryUnload(Session& session, const transport::Record&,
                                const wire::cuLibraryUnload::Request& request,
                                std::span<const std::byte>, wire::cuLibraryUnload::Reply&) {
    CUlibrary library = nullptr;
    CUBAR_TRY(session.resolve(request.library, library));
    const auto in_library = [&](const auto& object) { return object.library == request.library; };
    session.forget_code(in_library, in_library, in_library);
    if (!session.libraries.forget(request.library)) return CUDA_ERROR_INVALID_HANDLE;
    const auto charge = session.allocations().take(request.library.bits());
    return ask(session.driver().cuLibraryUnload, library);
}

CUresult handle_cuLibraryGetKernel(Session& session, const transport::Record& record,
                                   const wire::cuLibraryGetKernel::Request& request,
                                   std::span<const std::byte> payload,
                                   wire::cuLibraryGetKernel::Reply& reply) {
    const LibraryObject* library = session.libraries.find(request.library);
    if (library == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    const bool prints = library->prints;
    const std::string name(reinterpret_cast<const char*>(payload.data()), payload.size());
    CUkernel kernel = nullptr;
    CUBAR_TRY(ask(session.driver().cuLibraryGetKernel, &kernel, library->library, name.c_str()));
    CUBAR_TRY(tell_kernel(session, kernel, ContextHandle(record.header().context), prints, reply));
    reply.kernel =
        session.handle_of(kernel, {kernel, request.library, prints, reply.parameter_bytes});
    learn_parameter_bytes(session.kernels.find(reply.kernel), reply.parameter_bytes);
    return reply.kernel ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}

CUresult handle_cuLibraryEnumerateKernels(Session& session, const transport::Record&,
                                          const wire::cuLibraryEnumerateKernels::Request& request,
                                          std::span<const std::byte>,
                                          wire::cuLibraryEnumerateKernels::Reply& reply) {
    const LibraryObject* object = session.libraries.find(request.library);
    if (object == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    const LibraryObject facts = *object;
    const Driver& driver = session.driver();
    unsigned count = 0;
    CUBAR_TRY(ask(driver.cuLibraryGetKernelCount, &count, facts.library));
    std::vector<CUkernel> all(count);
    CUBAR_TRY(ask(driver.cuLibraryEnumerateKernels, all.data(), count, facts.library));
    for (std::size_t index = request.first;
         index < all.size() && reply.count < request.count && reply.count < std::size(reply.kernel);
         ++index) {
        const KernelHandle handle =
            session.handle_of(all[index], {all[index], request.library, facts.prints});
        if (!handle) return CUDA_ERROR_OUT_OF_MEMORY;
        reply.kernel[reply.count++] = handle;
    }
    return CUDA_SUCCESS;
}

CUresult handle_cuLibraryGetModule(Session& session, const transport::Record& record,
                                   const wire::cuLibraryGetModule::Request& request,
                                   std::span<const std::byte>,
                                   wire::cuLibraryGetModule::Reply& reply) {
    const LibraryObject* object = session.libraries.find(request.library);
    if (object == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    const bool prints = object->prints;
    CUmodule module = nullptr;
    CUBAR_TRY(ask(session.driver().cuLibraryGetModule, &module, object->library));
    reply.module = session.handle_of(
        module, {module, ContextHandle(record.header().context), request.library, prints});
    return reply.module ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}

CUresult handle_cuLibraryGetGlobal(Session& session, const transport::Record&,
                                   const wire::cuLibraryGetGlobal::Request& request,
                                   std::span<const std::byte> payload,
                                   wire::cuLibraryGetGlobal::Reply& reply) {
    CUlibrary library = nullptr;
    CUBAR_TRY(session.resolve(request.library, library));
    const std::string name(reinterpret_cast<const char*>(payload.data()), payload.size());
    CUdeviceptr address = 0;
    std::size_t bytes = 0;
    CUBAR_TRY(ask(session.driver().cuLibraryGetGlobal, &address, &bytes, library, name.c_str()));
    reply.address = address;
    reply.bytes = bytes;
    return CUDA_SUCCESS;
}

}  // namespace cubar::host
