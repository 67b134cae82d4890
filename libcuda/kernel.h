// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda.h>

#include <cstdint>
#include <span>
#include <string_view>

#include "libcuda/call.h"

namespace cubar::guest {

/// What every reply that brings a new kernel or function says of it.
struct TellsFacts {
    std::uint64_t handle;  ///< of the kernel or function
    std::uint32_t parameter_count;
    std::uint32_t parameter_bytes;
    std::span<const std::uint32_t> parameters;  ///< the first of them: offset << 16 | size
    std::span<const std::int32_t> attributes;
    std::uint32_t attributes_known;
    bool prints;
};

/// Reads the facts out of such a reply.
template <typename Reply>
TellsFacts facts_in(AnyHandle handle, const Reply& reply) {
    return {handle.bits(),   reply.parameter_count,  reply.parameter_bytes, reply.parameter,
            reply.attribute, reply.attributes_known, reply.prints != 0};
}

/// Keeps the facts, asking the host for parameters that did not fit into the reply. Null: no
/// memory, or the host is gone.
KernelFacts* keep_facts(const Caller& caller, const TellsFacts& told, std::string_view name);

/// The same for a handle that was enumerated: asks for facts and name.
KernelFacts* ask_facts(const Caller& caller, AnyHandle handle);

/// Mirrors a function of a module.
CUresult mirror_function(const Caller& caller, FunctionHandle handle, ModuleHandle module,
                         KernelFacts* facts);
/// Mirrors a kernel of a library.
CUresult mirror_kernel(const Caller& caller, KernelHandle handle, LibraryHandle library,
                       KernelFacts* facts);

/// The function that stands for a kernel in the current context. Made, and its code loaded, at the
/// first call: a launch itself must not block the host's executor.
CUresult function_of(const Caller& caller, Kernel& kernel, KernelHandle handle,
                     FunctionHandle& out);

/// A CUfunction as applications pass it, which may be a CUkernel.
struct Callee {
    FunctionHandle function;  ///< that the host launches
    KernelFacts* facts = nullptr;
};
CUresult find_callee(const Caller& caller, CUfunction value, Callee& out);

/// Of a kernel or function: an attribute that was told, or false.
bool known_attribute(const KernelFacts& facts, CUfunction_attribute attribute, int& value);

}  // namespace cubar::guest
