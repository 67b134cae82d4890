// SPDX-License-Identifier: Apache-2.0
#include <cstring>

#include "libcuda/context.h"
#include "libcuda/image.h"
#include "libcuda/kernel.h"
#include "libcuda/module.h"

namespace cubar::guest {
namespace {

CUresult load(CUlibrary* out, std::span<const std::byte> image, const Caller& caller,
              LoadOptions& options) {
    ImageUpload upload(caller);
    CUBAR_TRY(upload.send(image));
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
    options.finish(reply.info_log_used, reply.error_log_used);
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
void drop_kernels(const Caller& caller, LibraryHandle library) {
    Session& session = *caller.session;
    session.occupancy.clear();
    session.kernels.for_each([&](KernelHandle handle, const Kernel& kernel) {
        if (kernel.library != library || !session.kernels.forget(handle)) return;
        session.functions.for_each([&](FunctionHandle function, const Function& object) {
            if (object.kernel == handle && session.functions.forget(function)) {
                session.kernel_facts.release(object.facts);
            }
        });
        session.kernel_facts.release(kernel.facts);
    });
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
    if (out == nullptr) return CUDA_ERROR_INVALID_VALUE;
    std::span<const std::byte> bytes;
    CUBAR_TRY(measure_image(image, bytes));
    LoadOptions read(caller);
    CUBAR_TRY(read.read(count, options, values));
    CUBAR_TRY(read.read_library(library_count, library_options, library_values));
    return load(out, bytes, caller, read);
}

CUBAR_API cuLibraryLoadFromFile(CUlibrary* out, const char* path, CUjit_option* options,
                                void** values, unsigned int count, CUlibraryOption* library_options,
                                void** library_values, unsigned int library_count) {
    if (out == nullptr || path == nullptr) return CUDA_ERROR_INVALID_VALUE;
    std::vector<std::byte> file;
    CUBAR_TRY(read_file(path, file));
    return cuLibraryLoadData(out, file.data(), options, values, count, library_options,
                             library_values, library_count);
}

CUBAR_API cuLibraryUnload(CUlibrary value) {
    Caller caller;
    CUBAR_TRY(enter_library(caller));
    wire::cuLibraryUnload::Request request{};
    CUBAR_TRY(find_library(caller, value, request.library));
    wire::cuLibraryUnload::Reply reply{};
    CUBAR_TRY(call_in<wire::cuLibraryUnload>(caller, context_of(caller), {}, request, reply));
    caller.session->libraries.forget(request.library);
    drop_kernels(caller, request.library);
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
    CUBAR_TRY(call_in<wire::cuLibraryGetKernel>(caller, context_of(caller), {}, request, reply,
                                                text(name)));
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
    CUBAR_TRY(mirror_module(caller, reply.module));
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
    remember_global(caller, reply.address, reply.bytes);
    if (address != nullptr) *address = reply.address;
    if (bytes != nullptr) *bytes = reply.bytes;
    return CUDA_SUCCESS;
}
