// SPDX-License-Identifier: Apache-2.0
// A driver whose every function succeeds and does nothing, so that handlers run to their ends.
#pragma once

#include <cstdint>
#include <iterator>
#include <type_traits>

#include "cubar/wire.h"
#include "host/worker/driver.h"

namespace cubar::fuzz {

/// What a driver puts where it makes an object; nobody follows it.
inline constexpr std::uint64_t kObject = 0x5000'0000'1000;

template <typename Out>
void give(Out* out) {
    if (out == nullptr) return;
    if constexpr (std::is_same_v<Out, const char*>) {
        *out = "name";
    } else if constexpr (std::is_same_v<Out, void*> || std::is_const_v<Out>) {
        // Parameters and option values are handed in as void**: they are the caller's.
    } else if constexpr (std::is_pointer_v<Out>) {
        *out = reinterpret_cast<Out>(kObject);
    } else if constexpr (std::is_integral_v<Out> && sizeof(Out) > 1) {
        *out = 1;
    }
}
template <typename Value>
void give_if_pointer(Value value) {
    if constexpr (std::is_pointer_v<Value> && !std::is_function_v<std::remove_pointer_t<Value>> &&
                  !std::is_void_v<std::remove_pointer_t<Value>>) {
        using Pointee = std::remove_pointer_t<Value>;
        if constexpr (std::is_pointer_v<Pointee> || std::is_arithmetic_v<Pointee>) give(value);
    }
}

template <typename Function>
struct Null;
template <typename... Arguments>
struct Null<CUresult (*)(Arguments...)> {
    static CUresult call(Arguments... arguments) {
        (give_if_pointer(arguments), ...);
        return CUDA_SUCCESS;
    }
};

inline host::Driver null_driver() {
    host::Driver driver;
#define CUBAR_NULL_FUNCTION(name) driver.name = &Null<decltype(driver.name)>::call;
    CUBAR_DRIVER_FUNCTIONS(CUBAR_NULL_FUNCTION)
#undef CUBAR_NULL_FUNCTION
    // A kernel has two parameters; whoever asks for more has seen all.
    driver.cuFuncGetParamInfo = [](CUfunction, std::size_t index, std::size_t* offset,
                                   std::size_t* size) {
        if (index >= 2) return CUDA_ERROR_INVALID_VALUE;
        *offset = index * 8;
        if (size != nullptr) *size = 8;
        return CUDA_SUCCESS;
    };
    driver.cuKernelGetParamInfo = [](CUkernel, std::size_t index, std::size_t* offset,
                                     std::size_t* size) {
        if (index >= 2) return CUDA_ERROR_INVALID_VALUE;
        *offset = index * 8;
        if (size != nullptr) *size = 8;
        return CUDA_SUCCESS;
    };
    // A conditional node is answered with the graphs that it runs.
    driver.cuGraphAddNode_v2 = [](CUgraphNode* node, CUgraph, const CUgraphNode*,
                                  const CUgraphEdgeData*, std::size_t,
                                  CUgraphNodeParams* parameters) {
        static CUgraph bodies[std::size(wire::graph_add_conditional::Reply().body)] = {};
        give(node);
        if (parameters->type == CU_GRAPH_NODE_TYPE_CONDITIONAL) {
            parameters->conditional.phGraph_out = bodies;
        }
        return CUDA_SUCCESS;
    };
    return driver;
}

}  // namespace cubar::fuzz
