// SPDX-License-Identifier: Apache-2.0
#include "libcuda/module.h"

#include <bit>
#include <cstring>

#include "driver/log.h"
#include "libcuda/image.h"
#include "libcuda/kernel.h"

namespace cubar::guest {

CUresult mirror_module(const Caller& caller, ModuleHandle handle, LibraryHandle library) {
    const bool mirrored = caller.session->modules.mirror(handle, [&](Module& module) {
        module.context = caller.context->handle;
        module.library = library;
    });
    return mirrored ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}

void remember_global(const Caller& caller, AnyHandle code, std::uint64_t address,
                     std::uint64_t bytes) {
    if (bytes == 0) return;
    MemoryRange range;
    range.begin = address;
    range.bytes = bytes;
    range.kind = MemoryKind::kDevice;
    range.context = caller.context->handle;
    range.device = caller.context->device;
    range.code = code;
    // Asking twice for one variable adds it once.
    caller.session->addresses.add_apart(range);
}

void drop_functions(Session& session, ModuleHandle module) {
    session.occupancy.clear();
    session.functions.forget_if([&](FunctionHandle, const Function& function) {
        if (function.module != module) return false;
        session.kernel_facts.release(function.facts);
        return true;
    });
}

void drop_globals(Session& session, AnyHandle code) {
    session.addresses.remove_if([&](const MemoryRange& range) { return range.code == code; });
}

CUresult found(const char* name, CUresult result) {
    if (result == CUDA_ERROR_NOT_FOUND) {
        CUBAR_LOG(kWarn, "no kernel '%s' in this image: C++ names are mangled, see cuobjdump -elf",
                  name);
    }
    return result;
}

namespace {

CUresult load(CUmodule* out, const Image& image, const Caller& caller, LoadOptions& options) {
    CUBAR_TRY(options.check(image));
    ImageUpload upload(caller);
    CUBAR_TRY(upload.send(image.bytes));
    CUBAR_TRY(options.prepare_logs());
    wire::cuModuleLoadDataEx::Request request{};
    request.image_offset = upload.offset();
    request.image_bytes = upload.bytes();
    request.upload = upload.number();
    options.describe(request);
    wire::cuModuleLoadDataEx::Reply reply{};
    const CUresult result = call_in<wire::cuModuleLoadDataEx>(caller, caller.context->handle, {},
                                                              request, reply, options.payload());
    // The messages matter most where the load failed.
    options.finish(result, reply.info_log_used, reply.error_log_used);
    if (result != CUDA_SUCCESS) return result;
    options.answer(CU_JIT_WALL_TIME, std::bit_cast<std::uint32_t>(reply.wall_time));
    options.answer(CU_JIT_THREADS_PER_BLOCK, reply.threads_per_block);
    CUBAR_TRY(mirror_module(caller, reply.module, {}));
    *out = pointer_to<CUmodule>(reply.module);
    return CUDA_SUCCESS;
}

CUresult find_module(const Caller& caller, CUmodule value, ModuleHandle& out) {
    out = ModuleHandle(bits_of(value));
    return caller.session->modules.find(out) != nullptr ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}

std::span<const std::byte> text(const char* name) {
    return std::as_bytes(std::span(name, std::strlen(name)));
}

}  // namespace
}  // namespace cubar::guest

using namespace cubar::guest;
namespace wire = cubar::wire;

CUBAR_API cuModuleLoadDataEx(CUmodule* out, const void* image, unsigned int count,
                             CUjit_option* options, void** values) {
    Caller caller;
    CUBAR_TRY(enter(caller));
    if (out == nullptr || image == nullptr) return CUDA_ERROR_INVALID_VALUE;
    LoadOptions read(caller);
    CUBAR_TRY(read.read(count, options, values));
    return load(out, image_at(image), caller, read);
}

CUBAR_API cuModuleLoadData(CUmodule* out, const void* image) {
    return cuModuleLoadDataEx(out, image, 0, nullptr, nullptr);
}

CUBAR_API cuModuleLoadFatBinary(CUmodule* out, const void* image) {
    return cuModuleLoadDataEx(out, image, 0, nullptr, nullptr);
}

CUBAR_API cuModuleLoad(CUmodule* out, const char* path) {
    Caller caller;
    CUBAR_TRY(enter(caller));
    if (out == nullptr || path == nullptr) return CUDA_ERROR_INVALID_VALUE;
    ImageFile file;
    CUBAR_TRY(file.read(path));
    LoadOptions none(caller);
    return load(out, file.image(), caller, none);
}

CUBAR_API cuModuleUnload(CUmodule value) {
    Caller caller;
    CUBAR_TRY(enter(caller));
    cubar::ModuleHandle handle;
    CUBAR_TRY(find_module(caller, value, handle));
    wire::cuModuleUnload::Request request{};
    request.module = handle;
    wire::cuModuleUnload::Reply reply{};
    CUBAR_TRY(call_in<wire::cuModuleUnload>(caller, caller.context->handle, {}, request, reply));
    caller.session->modules.forget(handle);
    drop_functions(*caller.session, handle);
    drop_globals(*caller.session, handle);
    return CUDA_SUCCESS;
}

CUBAR_API cuModuleGetLoadingMode(CUmoduleLoadingMode* mode) {
    Process* process = nullptr;
    CUBAR_TRY(entered(process));
    if (mode == nullptr) return CUDA_ERROR_INVALID_VALUE;
    // Lazy, whatever CUDA_MODULE_LOADING says: eager costs thousands of loads and gains nothing.
    *mode = CU_MODULE_LAZY_LOADING;
    return CUDA_SUCCESS;
}

CUBAR_API cuModuleGetFunction(CUfunction* out, CUmodule value, const char* name) {
    Caller caller;
    CUBAR_TRY(enter(caller));
    if (out == nullptr || name == nullptr) return CUDA_ERROR_INVALID_VALUE;
    wire::cuModuleGetFunction::Request request{};
    CUBAR_TRY(find_module(caller, value, request.module));
    request.payload_bytes = static_cast<std::uint32_t>(text(name).size());
    wire::cuModuleGetFunction::Reply reply{};
    CUBAR_TRY(found(name, call_in<wire::cuModuleGetFunction>(caller, caller.context->handle, {},
                                                             request, reply, text(name))));
    KernelFacts* facts = keep_facts(caller, facts_in(reply.function, reply), name);
    CUBAR_TRY(mirror_function(caller, reply.function, request.module, facts));
    *out = pointer_to<CUfunction>(reply.function);
    return CUDA_SUCCESS;
}

CUBAR_API cuModuleEnumerateFunctions(CUfunction* out, unsigned int count, CUmodule value) {
    Caller caller;
    CUBAR_TRY(enter(caller));
    if (out == nullptr) return CUDA_ERROR_INVALID_VALUE;
    wire::cuModuleEnumerateFunctions::Request request{};
    CUBAR_TRY(find_module(caller, value, request.module));
    for (unsigned done = 0; done < count;) {
        request.first = done;
        request.count = count - done;
        wire::cuModuleEnumerateFunctions::Reply reply{};
        CUBAR_TRY(call_in<wire::cuModuleEnumerateFunctions>(caller, caller.context->handle, {},
                                                            request, reply));
        const unsigned got = std::min<unsigned>(reply.count, std::size(reply.function));
        if (got == 0) return CUDA_SUCCESS;
        for (unsigned index = 0; index < got && done < count; ++index, ++done) {
            KernelFacts* facts = ask_facts(caller, reply.function[index]);
            CUBAR_TRY(mirror_function(caller, reply.function[index], request.module, facts));
            out[done] = pointer_to<CUfunction>(reply.function[index]);
        }
    }
    return CUDA_SUCCESS;
}

CUBAR_API cuModuleGetGlobal_v2(CUdeviceptr* address, std::size_t* bytes, CUmodule value,
                               const char* name) {
    Caller caller;
    CUBAR_TRY(enter(caller));
    if (name == nullptr || (address == nullptr && bytes == nullptr))
        return CUDA_ERROR_INVALID_VALUE;
    wire::cuModuleGetGlobal_v2::Request request{};
    CUBAR_TRY(find_module(caller, value, request.module));
    request.payload_bytes = static_cast<std::uint32_t>(text(name).size());
    wire::cuModuleGetGlobal_v2::Reply reply{};
    CUBAR_TRY(call_in<wire::cuModuleGetGlobal_v2>(caller, caller.context->handle, {}, request,
                                                  reply, text(name)));
    // Another thread may be unloading the module, which is the application's fault, not a fault.
    const Module* module = caller.session->modules.find(request.module);
    if (module == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    const cubar::AnyHandle code =
        module->library ? cubar::AnyHandle(module->library) : cubar::AnyHandle(request.module);
    remember_global(caller, code, reply.address, reply.bytes);
    if (address != nullptr) *address = reply.address;
    if (bytes != nullptr) *bytes = reply.bytes;
    return CUDA_SUCCESS;
}

CUBAR_API cuFuncGetModule(CUmodule* out, CUfunction value) {
    Caller caller;
    CUBAR_TRY(enter(caller));
    if (out == nullptr) return CUDA_ERROR_INVALID_VALUE;
    Callee callee;
    CUBAR_TRY(find_callee(caller, value, callee));
    const Function* function = caller.session->functions.find(callee.function);
    if (function != nullptr && function->module) {
        *out = pointer_to<CUmodule>(function->module);
        return CUDA_SUCCESS;
    }
    wire::cuFuncGetModule::Request request{};
    request.function = callee.function;
    wire::cuFuncGetModule::Reply reply{};
    CUBAR_TRY(call_in<wire::cuFuncGetModule>(caller, caller.context->handle, {}, request, reply));
    const Kernel* kernel =
        function != nullptr ? caller.session->kernels.find(function->kernel) : nullptr;
    CUBAR_TRY(mirror_module(caller, reply.module,
                            kernel != nullptr ? kernel->library : cubar::LibraryHandle{}));
    *out = pointer_to<CUmodule>(reply.module);
    return CUDA_SUCCESS;
}
