// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "libcuda/copy.h"
#include "libcuda/graph_resources.h"

namespace cubar::guest {

/// A copy in a stream that is being captured. Memory that only this process reaches gets a
/// stand-in in the arena, which becomes the node's; launches of the graph see to its content.
CUresult capture_box(const Caller& caller, Stream& stream, const CopyBox& box, Promise promise);
CUresult capture_bytes(const Caller& caller, Stream& stream, const CopyEnd& target,
                       const CopyEnd& source, std::size_t bytes, Promise promise);

/// Puts stand-ins in place of the ends that only this process reaches.
CUresult stand_in(const Caller& caller, GraphResources& resources, CopyBox& box);

/// Launches a graph some of whose copies have stand-ins: fills them before, and where the graph
/// writes some, waits and empties them. CUDA reads and writes such memory when the copy runs; who
/// changes it after the launch has a race there as well.
CUresult launch_with_stand_ins(const Caller& caller, GraphExec& exec, Stream& stream,
                               const wire::cuGraphLaunch::Request& request);

/// Waits until no launch uses the stand-ins any more.
CUresult await_stand_ins(const Caller& caller, GraphResources& resources);

}  // namespace cubar::guest
