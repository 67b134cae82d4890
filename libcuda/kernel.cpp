// SPDX-License-Identifier: Apache-2.0
// Kernels of libraries and functions of modules: handles, names, parameters, attributes.
#include "libcuda/kernel.h"

#include <algorithm>
#include <climits>
#include <string>
#include <vector>

#include "libcuda/occupancy.h"

namespace cubar::guest {
namespace {

constexpr std::int32_t kUnknown = INT_MIN;

KernelParameter place(std::uint32_t packed) {
    return {static_cast<std::uint16_t>(packed >> 16), static_cast<std::uint16_t>(packed)};
}

/// Those that did not come with the handle.
CUresult more_parameters(const Caller& caller, const TellsFacts& told,
                         std::vector<KernelParameter>& parameters) {
    while (parameters.size() < told.parameter_count) {
        wire::function_parameters::Request request{};
        request.function = FunctionHandle(told.handle);
        request.first = static_cast<std::uint32_t>(parameters.size());
        wire::function_parameters::Reply reply{};
        CUBAR_TRY(call_in<wire::function_parameters>(
            caller, caller.context != nullptr ? caller.context->handle : ContextHandle{}, {},
            request, reply));
        const std::size_t count = std::min<std::size_t>(reply.count, std::size(reply.parameter));
        if (count == 0) return CUDA_ERROR_UNKNOWN;
        for (std::size_t index = 0; index < count; ++index) {
            parameters.push_back(place(reply.parameter[index]));
        }
    }
    parameters.resize(told.parameter_count);
    return CUDA_SUCCESS;
}

}  // namespace

KernelFacts* keep_facts(const Caller& caller, const TellsFacts& told, std::string_view name) {
    std::vector<KernelParameter> parameters;
    const std::size_t at_hand = std::min<std::size_t>(told.parameter_count, told.parameters.size());
    for (std::size_t index = 0; index < at_hand; ++index) {
        parameters.push_back(place(told.parameters[index]));
    }
    if (more_parameters(caller, told, parameters) != CUDA_SUCCESS) return nullptr;
    KernelFacts* facts = caller.session->kernel_facts.make(parameters, name);
    if (facts == nullptr) return nullptr;
    facts->parameter_bytes = told.parameter_bytes;
    facts->prints = told.prints;
    for (std::size_t index = 0; index < kFunctionAttributes; ++index) {
        const bool known = index < told.attributes.size() && (told.attributes_known >> index & 1);
        facts->attribute[index].store(known ? told.attributes[index] : kUnknown,
                                      std::memory_order_relaxed);
    }
    return facts;
}

KernelFacts* ask_facts(const Caller& caller, AnyHandle handle) {
    const ContextHandle context =
        caller.context != nullptr ? caller.context->handle : ContextHandle{};
    std::string name;
    wire::function_name::Reply named{};
    do {
        wire::function_name::Request request{};
        request.function = FunctionHandle(handle.bits());
        request.first = static_cast<std::uint32_t>(name.size());
        if (call_in<wire::function_name>(caller, context, {}, request, named) != CUDA_SUCCESS) {
            return nullptr;
        }
        const std::size_t left = named.total > name.size() ? named.total - name.size() : 0;
        name.append(reinterpret_cast<const char*>(named.name),
                    std::min(left, std::size(named.name)));
    } while (name.size() < named.total);
    wire::function_facts::Request request{};
    request.function = FunctionHandle(handle.bits());
    wire::function_facts::Reply reply{};
    if (call_in<wire::function_facts>(caller, context, {}, request, reply) != CUDA_SUCCESS) {
        return nullptr;
    }
    return keep_facts(caller, facts_in(handle, reply), name);
}

bool known_attribute(const KernelFacts& facts, CUfunction_attribute attribute, int& value) {
    const auto index = static_cast<std::size_t>(attribute);
    if (index >= kFunctionAttributes) return false;
    value = facts.attribute[index].load(std::memory_order_relaxed);
    return value != kUnknown;
}

namespace {

/// The host names one function by one handle, so two threads that ask at once bring its facts
/// twice.
template <typename Object>
CUresult settle_facts(const Caller& caller, const Object* object, KernelFacts* facts) {
    if (object == nullptr || object->facts != facts) caller.session->kernel_facts.release(facts);
    return object != nullptr ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}

}  // namespace

CUresult mirror_function(const Caller& caller, FunctionHandle handle, ModuleHandle module,
                         KernelFacts* facts) {
    if (facts == nullptr) return CUDA_ERROR_OUT_OF_MEMORY;
    const bool mirrored = caller.session->functions.mirror(handle, [&](Function& function) {
        function.facts = facts;
        function.module = module;
        function.kernel = {};
        function.context = caller.context->handle;
    });
    return settle_facts(caller, mirrored ? caller.session->functions.find(handle) : nullptr, facts);
}

CUresult mirror_kernel(const Caller& caller, KernelHandle handle, LibraryHandle library,
                       KernelFacts* facts) {
    if (facts == nullptr) return CUDA_ERROR_OUT_OF_MEMORY;
    const bool mirrored = caller.session->kernels.mirror(handle, [&](Kernel& kernel) {
        kernel.facts = facts;
        kernel.library = library;
        kernel.function.store({}, std::memory_order_relaxed);
    });
    return settle_facts(caller, mirrored ? caller.session->kernels.find(handle) : nullptr, facts);
}

CUresult function_of(const Caller& caller, Kernel& kernel, KernelHandle handle,
                     FunctionHandle& out) {
    out = kernel.function.load(std::memory_order_acquire);
    const Function* known = caller.session->functions.find(out);
    if (known != nullptr && known->context == caller.context->handle) return CUDA_SUCCESS;
    wire::cuKernelGetFunction::Request request{};
    request.kernel = handle;
    wire::cuKernelGetFunction::Reply reply{};
    CUBAR_TRY(
        call_in<wire::cuKernelGetFunction>(caller, caller.context->handle, {}, request, reply));
    out = reply.function;
    KernelFacts* facts = caller.session->kernel_facts.share(kernel.facts);
    bool made = false;
    const bool mirrored = caller.session->functions.mirror(out, [&](Function& function) {
        function.facts = facts;
        function.module = {};
        function.kernel = handle;
        function.context = caller.context->handle;
        made = true;
    });
    if (!made) caller.session->kernel_facts.release(facts);
    if (!mirrored) return CUDA_ERROR_OUT_OF_MEMORY;
    // Pairs with the acquire load above: who sees the handle finds the function.
    kernel.function.store(out, std::memory_order_release);
    return CUDA_SUCCESS;
}

CUresult find_callee(const Caller& caller, CUfunction value, Callee& out) {
    const AnyHandle handle(bits_of(value));
    if (handle.kind() == Kind::kKernel) {
        const KernelHandle kernel_handle(handle.bits());
        Kernel* kernel = caller.session->kernels.find(kernel_handle);
        if (kernel == nullptr) return CUDA_ERROR_INVALID_HANDLE;
        out.facts = kernel->facts;
        return function_of(caller, *kernel, kernel_handle, out.function);
    }
    out.function = FunctionHandle(handle.bits());
    const Function* function = caller.session->functions.find(out.function);
    if (function == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    if (function->context != caller.context->handle) return CUDA_ERROR_INVALID_CONTEXT;
    out.facts = function->facts;
    return CUDA_SUCCESS;
}

namespace {

struct Asked {
    Caller caller;
    cubar::KernelHandle handle;
    Kernel* kernel = nullptr;
};

CUresult ask(CUkernel value, Asked& asked) {
    CUBAR_TRY(enter_session(asked.caller));
    asked.handle = KernelHandle(bits_of(value));
    asked.kernel = asked.caller.session->kernels.find(asked.handle);
    return asked.kernel != nullptr ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}

/// Facts of a CUfunction, without loading any code.
CUresult facts_of(const Caller& caller, CUfunction value, KernelFacts*& facts) {
    const AnyHandle handle(bits_of(value));
    if (const Kernel* kernel = caller.session->kernels.find(KernelHandle(handle.bits()))) {
        facts = kernel->facts;
        return CUDA_SUCCESS;
    }
    const Function* function = caller.session->functions.find(FunctionHandle(handle.bits()));
    if (function == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    facts = function->facts;
    return CUDA_SUCCESS;
}

CUresult parameter_info(const KernelFacts& facts, std::size_t index, std::size_t* offset,
                        std::size_t* bytes) {
    if (offset == nullptr || index >= facts.parameters.size()) return CUDA_ERROR_INVALID_VALUE;
    *offset = facts.parameters[index].offset;
    if (bytes != nullptr) *bytes = facts.parameters[index].size;
    return CUDA_SUCCESS;
}

}  // namespace
}  // namespace cubar::guest

using namespace cubar::guest;
namespace wire = cubar::wire;

CUBAR_API cuKernelGetFunction(CUfunction* out, CUkernel value) {
    Caller caller;
    CUBAR_TRY(enter(caller));
    if (out == nullptr) return CUDA_ERROR_INVALID_VALUE;
    const cubar::KernelHandle handle(bits_of(value));
    Kernel* kernel = caller.session->kernels.find(handle);
    if (kernel == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    cubar::FunctionHandle function;
    CUBAR_TRY(function_of(caller, *kernel, handle, function));
    *out = pointer_to<CUfunction>(function);
    return CUDA_SUCCESS;
}

CUBAR_API cuKernelGetLibrary(CUlibrary* out, CUkernel value) {
    Asked asked;
    CUBAR_TRY(ask(value, asked));
    if (out == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *out = pointer_to<CUlibrary>(asked.kernel->library);
    return CUDA_SUCCESS;
}

CUBAR_API cuKernelGetName(const char** name, CUkernel value) {
    Asked asked;
    CUBAR_TRY(ask(value, asked));
    if (name == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *name = asked.kernel->facts->name.data();
    return CUDA_SUCCESS;
}

CUBAR_API cuKernelGetParamInfo(CUkernel value, std::size_t index, std::size_t* offset,
                               std::size_t* bytes) {
    Asked asked;
    CUBAR_TRY(ask(value, asked));
    return parameter_info(*asked.kernel->facts, index, offset, bytes);
}

CUBAR_API cuKernelGetAttribute(int* value, CUfunction_attribute attribute, CUkernel kernel,
                               CUdevice device) {
    Asked asked;
    CUBAR_TRY(ask(kernel, asked));
    if (value == nullptr) return CUDA_ERROR_INVALID_VALUE;
    wire::cuKernelGetAttribute::Request request{};
    CUBAR_TRY(device_of(device, request.dev));
    // The facts are those of the device that was current when the kernel was found.
    const bool one_device = asked.caller.process->device_count() == 1;
    if (one_device && known_attribute(*asked.kernel->facts, attribute, *value)) return CUDA_SUCCESS;
    request.attrib = static_cast<decltype(request.attrib)>(attribute);
    request.kernel = asked.handle;
    wire::cuKernelGetAttribute::Reply reply{};
    CUBAR_TRY(call_in<wire::cuKernelGetAttribute>(asked.caller, {}, {}, request, reply));
    *value = reply.pi;
    return CUDA_SUCCESS;
}

CUBAR_API cuKernelSetAttribute(CUfunction_attribute attribute, int value, CUkernel kernel,
                               CUdevice device) {
    Asked asked;
    CUBAR_TRY(ask(kernel, asked));
    wire::cuKernelSetAttribute::Request request{};
    CUBAR_TRY(device_of(device, request.dev));
    request.attrib = static_cast<decltype(request.attrib)>(attribute);
    request.val = value;
    request.kernel = asked.handle;
    wire::cuKernelSetAttribute::Reply reply{};
    CUBAR_TRY(call_in<wire::cuKernelSetAttribute>(asked.caller, {}, {}, request, reply));
    attribute_was_set(*asked.caller.session, *asked.kernel->facts, attribute, value);
    return CUDA_SUCCESS;
}

CUBAR_API cuFuncGetAttribute(int* value, CUfunction_attribute attribute, CUfunction function) {
    Caller caller;
    CUBAR_TRY(enter(caller));
    if (value == nullptr) return CUDA_ERROR_INVALID_VALUE;
    KernelFacts* facts = nullptr;
    CUBAR_TRY(facts_of(caller, function, facts));
    if (known_attribute(*facts, attribute, *value)) return CUDA_SUCCESS;
    Callee callee;
    CUBAR_TRY(find_callee(caller, function, callee));
    wire::cuFuncGetAttribute::Request request{};
    request.attrib = static_cast<decltype(request.attrib)>(attribute);
    request.hfunc = callee.function;
    wire::cuFuncGetAttribute::Reply reply{};
    CUBAR_TRY(
        call_in<wire::cuFuncGetAttribute>(caller, caller.context->handle, {}, request, reply));
    *value = reply.pi;
    return CUDA_SUCCESS;
}

CUBAR_API cuFuncSetAttribute(CUfunction function, CUfunction_attribute attribute, int value) {
    Caller caller;
    CUBAR_TRY(enter(caller));
    Callee callee;
    CUBAR_TRY(find_callee(caller, function, callee));
    wire::cuFuncSetAttribute::Request request{};
    request.hfunc = callee.function;
    request.attrib = static_cast<decltype(request.attrib)>(attribute);
    request.value = value;
    wire::cuFuncSetAttribute::Reply reply{};
    CUBAR_TRY(
        call_in<wire::cuFuncSetAttribute>(caller, caller.context->handle, {}, request, reply));
    attribute_was_set(*caller.session, *callee.facts, attribute, value);
    return CUDA_SUCCESS;
}

CUBAR_API cuFuncGetName(const char** name, CUfunction function) {
    Caller caller;
    CUBAR_TRY(enter_session(caller));
    if (name == nullptr) return CUDA_ERROR_INVALID_VALUE;
    KernelFacts* facts = nullptr;
    CUBAR_TRY(facts_of(caller, function, facts));
    *name = facts->name.data();
    return CUDA_SUCCESS;
}

CUBAR_API cuFuncGetParamInfo(CUfunction function, std::size_t index, std::size_t* offset,
                             std::size_t* bytes) {
    Caller caller;
    CUBAR_TRY(enter_session(caller));
    KernelFacts* facts = nullptr;
    CUBAR_TRY(facts_of(caller, function, facts));
    return parameter_info(*facts, index, offset, bytes);
}
