// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "libcuda/call.h"
#include "libcuda/capture.h"

namespace cubar::guest {

// What a capture forbids, asked at the start of the calls concerned. One load while there is none.

/// For calls that CUDA calls potentially unsafe: allocations, loads and the like.
inline CUresult forbid_unsafe(const Caller& caller) {
    Captures& captures = caller.session->captures;
    return captures.any() ? captures.check_unsafe(*caller.session, *caller.thread) : CUDA_SUCCESS;
}

/// For waiting for a stream or a context (by its handle), or asking whether it is done.
template <typename Waited>
CUresult forbid_wait(const Caller& caller, Waited& waited) {
    Captures& captures = caller.session->captures;
    return captures.any() ? captures.check_wait(*caller.session, *caller.thread, waited)
                          : CUDA_SUCCESS;
}
/// An event that was recorded in a capture stands for no work, even after the capture has ended.
inline CUresult forbid_wait(const Caller& caller, const Event& event) {
    Captures& captures = caller.session->captures;
    return captures.any() || event.capture.load(std::memory_order_relaxed) != 0
               ? captures.check_wait(*caller.session, *caller.thread, event)
               : CUDA_SUCCESS;
}

// Events in captures: the host's driver says at once what it makes of them.

/// Whether a wait of the stream for the event belongs to a capture, or to none that is left.
inline bool concerns_capture(const Stream& stream, const Event& event) {
    return is_capturing(stream) || event.capture.load(std::memory_order_relaxed) != 0;
}
CUresult capture_wait(const Caller& caller, Stream& stream, EventHandle handle, const Event& event,
                      unsigned flags);
CUresult capture_record(const Caller& caller, Stream& stream, EventHandle handle, Event& event,
                        unsigned flags);

/// A node of a graph will record the event: from now on the host is asked about it.
void recorded_by_graph(Event& event);

/// A kernel that prints was sent to the stream: whoever waits for it fetches the output.
void note_printing(const Caller& caller, Stream& stream);

}  // namespace cubar::guest
