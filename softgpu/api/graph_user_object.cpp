// SPDX-License-Identifier: Apache-2.0
#define __CUDA_API_VERSION_INTERNAL
#include "softgpu/device/graph_user_object.h"

#include <cuda.h>

#include <climits>

#include "softgpu/api/graph_handle.h"

using namespace cubar::softgpu;
using api::graph_entry;
using api::graph_of;
using api::require_value;
using device::Graphs;
using device::UserObject;
using device::UserObjectRef;

namespace {

UserObjectRef object_of(Graphs& graphs, CUuserObject handle, unsigned count) {
    require_value(count != 0 && count <= INT_MAX, "the number of references");
    UserObjectRef object = graphs.user_objects.find(handle);
    require_value(object != nullptr, "no such object");
    return object;
}

}  // namespace

CUBAR_EXPORT CUresult CUDAAPI cuUserObjectCreate(CUuserObject* handle, void* data, CUhostFn destroy,
                                                 unsigned int references, unsigned int flags) {
    return graph_entry(__func__, [&](Graphs& graphs) {
        require_value(handle != nullptr && destroy != nullptr, "a null pointer");
        require_value(references != 0 && references <= INT_MAX, "the number of references");
        require_value(flags == CU_USER_OBJECT_NO_DESTRUCTOR_SYNC, "the one flag must be there");
        auto object = std::make_shared<UserObject>(data, destroy, references);
        object->handle = graphs.user_objects.insert(object);
        *handle = object->handle;
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuUserObjectRetain(CUuserObject handle, unsigned int count) {
    return graph_entry(__func__,
                       [&](Graphs& graphs) { object_of(graphs, handle, count)->retain(count); });
}

CUBAR_EXPORT CUresult CUDAAPI cuUserObjectRelease(CUuserObject handle, unsigned int count) {
    return graph_entry(__func__,
                       [&](Graphs& graphs) { object_of(graphs, handle, count)->release(count); });
}

CUBAR_EXPORT CUresult CUDAAPI cuGraphRetainUserObject(CUgraph graph, CUuserObject handle,
                                                      unsigned int count, unsigned int flags) {
    return graph_entry(__func__, [&](Graphs& graphs) {
        require_value((flags & ~unsigned{CU_GRAPH_USER_OBJECT_MOVE}) == 0, "unknown flags");
        const auto holder = graph_of(graphs, graph);
        const UserObjectRef object = object_of(graphs, handle, count);
        if ((flags & CU_GRAPH_USER_OBJECT_MOVE) == 0) object->retain(count);
        holder->user_objects.adopt(object, count);
    });
}

CUBAR_EXPORT CUresult CUDAAPI cuGraphReleaseUserObject(CUgraph graph, CUuserObject handle,
                                                       unsigned int count) {
    return graph_entry(__func__, [&](Graphs& graphs) {
        const auto holder = graph_of(graphs, graph);
        const UserObjectRef object = object_of(graphs, handle, count);
        require_value(count <= holder->user_objects.count(object),
                      "the graph does not hold as many references");
        holder->user_objects.release(object, count);
    });
}
