// SPDX-License-Identifier: Apache-2.0
// What runtimes ask about capture at every turn. Captures themselves are not remoted yet, so no
// stream is ever capturing.
#include "libcuda/call.h"

using namespace cubar::guest;

namespace {

CUresult ask(CUstream value) {
    Caller caller;
    CUBAR_TRY(enter(caller));
    Stream* stream = nullptr;
    return find_stream(caller, value, stream);
}

template <typename Info>
CUresult not_capturing(CUstream stream, CUstreamCaptureStatus* status, Info&& clear) {
    CUBAR_TRY(ask(stream));
    if (status == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *status = CU_STREAM_CAPTURE_STATUS_NONE;
    clear();
    return CUDA_SUCCESS;
}

template <typename Value>
void clear(Value* out) {
    if (out != nullptr) *out = Value{};
}

}  // namespace

CUBAR_API cuStreamIsCapturing(CUstream stream, CUstreamCaptureStatus* status) {
    return not_capturing(stream, status, [] {});
}

CUBAR_API cuStreamGetCaptureInfo(CUstream stream, CUstreamCaptureStatus* status, cuuint64_t* id) {
    return not_capturing(stream, status, [&] { clear(id); });
}

CUBAR_API cuStreamGetCaptureInfo_v2(CUstream stream, CUstreamCaptureStatus* status, cuuint64_t* id,
                                    CUgraph* graph, const CUgraphNode** nodes, std::size_t* count) {
    return not_capturing(stream, status, [&] {
        clear(id);
        clear(graph);
        clear(nodes);
        clear(count);
    });
}

CUBAR_API cuStreamGetCaptureInfo_v3(CUstream stream, CUstreamCaptureStatus* status, cuuint64_t* id,
                                    CUgraph* graph, const CUgraphNode** nodes,
                                    const CUgraphEdgeData** edges, std::size_t* count) {
    return not_capturing(stream, status, [&] {
        clear(id);
        clear(graph);
        clear(nodes);
        clear(edges);
        clear(count);
    });
}

CUBAR_API cuThreadExchangeStreamCaptureMode(CUstreamCaptureMode* mode) {
    Process* process = nullptr;
    CUBAR_TRY(entered(process));
    if (mode == nullptr ||
        (*mode != CU_STREAM_CAPTURE_MODE_GLOBAL && *mode != CU_STREAM_CAPTURE_MODE_THREAD_LOCAL &&
         *mode != CU_STREAM_CAPTURE_MODE_RELAXED)) {
        return CUDA_ERROR_INVALID_VALUE;
    }
    ThreadState* thread = this_thread();
    if (thread == nullptr) return CUDA_ERROR_OUT_OF_MEMORY;
    std::swap(thread->capture_mode, *mode);
    return CUDA_SUCCESS;
}
