// SPDX-License-Identifier: Apache-2.0
// User objects are the host driver's own. What it calls at their end is a function of this process.
#include "libcuda/call.h"

using namespace cubar::guest;
namespace wire = cubar::wire;

CUBAR_API cuUserObjectCreate(CUuserObject* out, void* data, CUhostFn destroy,
                             unsigned int references, unsigned int flags) {
    Caller caller;
    CUBAR_TRY(enter_session(caller));
    if (out == nullptr || destroy == nullptr || references == 0 ||
        flags != CU_USER_OBJECT_NO_DESTRUCTOR_SYNC) {
        return CUDA_ERROR_INVALID_VALUE;
    }
    HostCall call;
    call.function = destroy;
    call.data = data;
    wire::cuUserObjectCreate::Request request{};
    request.call = caller.session->host_calls.add(call);
    if (request.call == 0) return CUDA_ERROR_OUT_OF_MEMORY;
    request.references = references;
    request.flags = flags;
    wire::cuUserObjectCreate::Reply reply{};
    const CUresult result =
        call_in<wire::cuUserObjectCreate>(caller, caller.thread->current(), {}, request, reply);
    if (result != CUDA_SUCCESS) {
        caller.session->host_calls.remove(request.call);
        return result;
    }
    *out = pointer_to<CUuserObject>(reply.object);
    return CUDA_SUCCESS;
}
