// SPDX-License-Identifier: Apache-2.0
#include <cstring>

#include "libcuda/context.h"
#include "libcuda/image.h"
#include "libcuda/kernel.h"
#include "libcuda/module.h"

namespace cubar::guest {
namespace {

CUresult load(CUlibrary* out, const Image& image, const Caller& caller, LoadOptions& options) {
    CUBAR_TRY(options.check(image));
    ImageUpload upload(caller);
    CUBAR_TRY(upload.send(image.bytes));
    CUBAR_TRY(options.prepare_logs());
    wire::cuLibraryLoadData::Request request{};
    request.image_offset = upload.offset();
    request.image_bytes = upload.bytes();
    request.upload = upload.number();
    options.describe(request);
    wire::cuLibraryLoadData::Reply reply{};
    const CUresult result = call_in<wire::cuLibraryLoadData>(
        caller, caller.context != nullptr ? caller.context->handle : ContextHandle{}, {}, request,
        reply, options.payload());
    options.finish(result, reply.info_log_used, reply.error_log_used);
    if (result != CUDA_SUCCESS) return result;
    const bool mirrored = caller.session->libraries.mirror(reply.library, [](Library&) {});
    if (!mirrored) return CUDA_ERROR_OUT_OF_MEMORY;
    *out = pointer_to<CUlibrary>(reply.library);
    return CUDA_SUCCESS;
}

/// A library needs no context; what is asked of it goes out in the current one, if there is one.
CUresult enter_library(Caller& caller) {
    CUBAR_TRY(enter_or_begin(caller));
    const ContextHandle current = caller.thread->current();
    caller.context = caller.session->contexts.find(current);
    return caller.context != nullptr ? caller.session->deferred_error(current) : CUDA_SUCCESS;
}

ContextHandle context_of(const Caller& caller) {
    return caller.context != nullptr ? caller.context->handle : ContextHandle{};
}

CUresult find_library(const Caller& caller, CUlibrary value, LibraryHandle& out) {
    out = LibraryHandle(bits_of(value));
    return caller.session->libraries.find(out) != nullptr ? CUDA_SUCCESS
                                                          : CUDA_ERROR_INVALID_HANDLE;
}

std::span<const std::byte> text(const char* name) {
    return std::as_bytes(std::span(name, std::strlen(name)));
}

/// Ends what was found in a library: the host has unloaded it.
void drop_code(Session& session, LibraryHandle library) {
    session.occupancy.clear();
    session.kernels.forget_if([&](KernelHandle handle, const Kernel& kernel) {
        if (kernel.library != library) return false;
        session.functions.forget_if([&](FunctionHandle, const Function& function) {
            if (function.kernel != handle) return false;
            session.kernel_facts.release(function.facts);
            return true;
        });
        session.kernel_facts.release(kernel.facts);
        return true;
    });
    session.modules.forget_if([&](ModuleHandle handle, const Module& module) {
        if (module.library != library) return false;
        drop_functions(session, handle);
        return true;
    });
    drop_globals(session, library);
}

}  // namespace
}  // namespace cubar::guest

using namespace cubar::guest;
namespace wire = cubar::wire;

CUBAR_API cuLibraryLoadData(CUlibrary* out, const void* image, CUjit_option* options, void** values,
                            unsigned int count, CUlibraryOption* library_options,
                            void** library_values, unsigned int library_count) {
    Caller caller;
    CUBAR_TRY(enter_library(caller));
    if (out == nullptr || image == nullptr) return CUDA_ERROR_INVALID_VALUE;
    LoadOptions read(caller);
    CUBAR_TRY(read.read(count, options, values));
    CUBAR_TRY(read.read_library(library_count, library_options, library_values));
    return load(out, image_at(image), caller, read);
}

CUBAR_API cuLibraryLoadFromFile(CUlibrary* out, const char* path, CUjit_option* options,
                                void** values, unsigned int count, CUlibraryOption* library_options,
                                void** library_values, unsigned int library_count) {
    Caller caller;
    CUBAR_TRY(enter_library(caller));
    if (out == nullptr || path == nullptr) return CUDA_ERROR_INVALID_VALUE;
    ImageFile file;
    CUBAR_TRY(file.read(path));
    LoadOptions read(caller);
    CUBAR_TRY(read.read(count, options, values));
    CUBAR_TRY(read.read_library(library_count, library_options, library_values));
    return load(out, file.image(), caller, read);
}

CUBAR_API cuLibraryUnload(CUlibrary value) {
    Caller caller;
    CUBAR_TRY(enter_library(caller));
    wire::cuLibraryUnload::Request request{};
    CUBAR_TRY(find_library(caller, value, request.library));
    wire::cuLibraryUnload::Reply reply{};
    CUBAR_TRY(call_in<wire::cuLibraryUnload>(caller, context_of(caller), {}, request, reply));
    caller.session->libraries.forget(request.library);
    drop_code(*caller.session, request.library);
    return CUDA_SUCCESS;
}

CUBAR_API cuLibraryGetKernel(CUkernel* out, CUlibrary value, const char* name) {
    Caller caller;
    CUBAR_TRY(enter_library(caller));
    if (out == nullptr || name == nullptr) return CUDA_ERROR_INVALID_VALUE;
    wire::cuLibraryGetKernel::Request request{};
    CUBAR_TRY(find_library(caller, value, request.library));
    request.payload_bytes = static_cast<std::uint32_t>(text(name).size());
    wire::cuLibraryGetKernel::Reply reply{};
    CUBAR_TRY(found(name, call_in<wire::cuLibraryGetKernel>(caller, context_of(caller), {}, request,
                                                            reply, text(name))));
    if (caller.session->kernels.find(reply.kernel) == nullptr) {
        KernelFacts* facts = keep_facts(caller, facts_in(reply.kernel, reply), name);
        CUBAR_TRY(mirror_kernel(caller, reply.kernel, request.library, facts));
    }
    *out = pointer_to<CUkernel>(reply.kernel);
    return CUDA_SUCCESS;
}

CUBAR_API cuLibraryEnumerateKernels(CUkernel* out, unsigned int count, CUlibrary value) {
    Caller caller;
    CUBAR_TRY(enter_library(caller));
    if (out == nullptr) return CUDA_ERROR_INVALID_VALUE;
    wire::cuLibraryEnumerateKernels::Request request{};
    CUBAR_TRY(find_library(caller, value, request.library));
    for (unsigned done = 0; done < count;) {
        request.first = done;
        request.count = count - done;
        wire::cuLibraryEnumerateKernels::Reply reply{};
        CUBAR_TRY(call_in<wire::cuLibraryEnumerateKernels>(caller, context_of(caller), {}, request,
                                                           reply));
        const unsigned got = std::min<unsigned>(reply.count, std::size(reply.kernel));
        if (got == 0) return CUDA_SUCCESS;
        for (unsigned index = 0; index < got && done < count; ++index, ++done) {
            const cubar::KernelHandle handle = reply.kernel[index];
            if (caller.session->kernels.find(handle) == nullptr) {
                CUBAR_TRY(
                    mirror_kernel(caller, handle, request.library, ask_facts(caller, handle)));
            }
            out[done] = pointer_to<CUkernel>(handle);
        }
    }
    return CUDA_SUCCESS;
}

CUBAR_API cuLibraryGetModule(CUmodule* out, CUlibrary value) {
    Caller caller;
    CUBAR_TRY(enter(caller));
    if (out == nullptr) return CUDA_ERROR_INVALID_VALUE;
    wire::cuLibraryGetModule::Request request{};
    CUBAR_TRY(find_library(caller, value, request.library));
    wire::cuLibraryGetModule::Reply reply{};
    CUBAR_TRY(call_in<wire::cuLibraryGetModule>(caller, context_of(caller), {}, request, reply));
    CUBAR_TRY(mirror_module(caller, reply.module, request.library));
    *out = pointer_to<CUmodule>(reply.module);
    return CUDA_SUCCESS;
}

CUBAR_API cuLibraryGetGlobal(CUdeviceptr* address, std::size_t* bytes, CUlibrary value,
                             const char* name) {
    Caller caller;
    CUBAR_TRY(enter(caller));
    if (name == nullptr || (address == nullptr && bytes == nullptr))
        return CUDA_ERROR_INVALID_VALUE;
    wire::cuLibraryGetGlobal::Request request{};
    CUBAR_TRY(find_library(caller, value, request.library));
    request.payload_bytes = static_cast<std::uint32_t>(text(name).size());
    wire::cuLibraryGetGlobal::Reply reply{};
    CUBAR_TRY(call_in<wire::cuLibraryGetGlobal>(caller, context_of(caller), {}, request, reply,
                                                text(name)));
    remember_global(caller, request.library, reply.address, reply.bytes);
    if (address != nullptr) *address = reply.address;
    if (bytes != nullptr) *bytes = reply.bytes;
    return CUDA_SUCCESS;
}
