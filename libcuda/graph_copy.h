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

/// Launches a graph of which this process has a part. Where some of its copies have stand-ins,
/// fills them before, and if the graph writes some, waits and empties them.
CUresult launch_with_resources(const Caller& caller,
                               const std::shared_ptr<GraphResources>& resources, Stream& stream,
                               const wire::cuGraphLaunch::Request& request);

/// A graph or an executable one does without these from now on. They go when no launch needs them.
void retire(const Caller& caller, std::shared_ptr<GraphResources> resources);

// Around a function that a graph calls: it sees what copies before it have written, and copies
// after it see what it has written.
void show_stand_ins(Session& session, GraphResources& resources);
void refill_stand_ins(Session& session, GraphResources& resources);

}  // namespace cubar::guest
