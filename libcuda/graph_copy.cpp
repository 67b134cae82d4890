// SPDX-License-Identifier: Apache-2.0
#include "libcuda/graph_copy.h"

#include <algorithm>
#include <utility>

#include "driver/log.h"
#include "libcuda/arena.h"
#include "libcuda/capture_rules.h"
#include "transport/bulk_copy.h"

namespace cubar::guest {

struct StandIn {
    ArenaBlock block;  ///< the rows, packed
    std::byte* memory;
    std::uint64_t pitch;
    std::uint64_t slice;
    std::uint64_t width;
    std::uint64_t height;
    std::uint64_t depth;
    bool written = false;  ///< by the graph

    bool same_place(const StandIn& other) const {
        return memory == other.memory && pitch == other.pitch && slice == other.slice &&
               width == other.width && height == other.height && depth == other.depth;
    }
    std::byte* end() const { return memory + (depth - 1) * slice + (height - 1) * pitch + width; }
    bool overlaps(const StandIn& other) const {
        return memory < other.end() && other.memory < end();
    }

    /// Calls copy(stand-in's row, memory's row) for each row.
    template <typename Copy>
    void for_each_row(Copy&& copy) const {
        for (std::uint64_t z = 0; z < depth; ++z) {
            for (std::uint64_t y = 0; y < height; ++y) {
                copy(block.data() + (z * height + y) * width, memory + z * slice + y * pitch);
            }
        }
    }
    void fill(transport::MemoryType type) const {
        for_each_row([&](std::byte* own, const std::byte* other) {
            transport::bulk_write(own, other, width, type);
        });
    }
    void empty(transport::MemoryType type) const {
        for_each_row([&](const std::byte* own, std::byte* other) {
            transport::bulk_read(other, own, width, type);
        });
    }
};

GraphResources::GraphResources() = default;

GraphResources::~GraphResources() {
    for (const std::uint64_t number : calls_) session_->host_calls.remove(number);
}

void GraphResources::add_call(Session& session, std::uint64_t number) {
    const std::lock_guard lock(mutex_);
    session_ = &session;
    calls_.push_back(number);
    calls.store(true, std::memory_order_relaxed);
}

void GraphResources::remember_copy(GraphNodeHandle node, const CUDA_MEMCPY3D* copy) {
    const std::lock_guard lock(mutex_);
    copies_.erase(node.bits());
    if (copy != nullptr) copies_.emplace(node.bits(), *copy);
}

bool GraphResources::find_copy(GraphNodeHandle node, CUDA_MEMCPY3D& out) {
    const std::lock_guard lock(mutex_);
    const auto found = copies_.find(node.bits());
    if (found == copies_.end()) return false;
    out = found->second;
    return true;
}

void** GraphResources::show_parameters(GraphNodeHandle node,
                                       std::span<const KernelParameter> parameters,
                                       std::span<const std::byte> block) {
    const std::lock_guard lock(mutex_);
    Shown& shown = shown_[node.bits()];
    shown.block.assign(block.begin(), block.end());
    shown.pointers.clear();
    for (const KernelParameter& parameter : parameters) {
        shown.pointers.push_back(shown.block.data() + parameter.offset);
    }
    return shown.pointers.empty() ? nullptr : shown.pointers.data();
}

void GraphResources::add(std::unique_ptr<StandIn> stand_in) {
    const std::lock_guard lock(mutex_);
    stand_ins_.push_back(std::move(stand_in));
    stands_in.store(true, std::memory_order_relaxed);
}

void GraphResources::include(const std::shared_ptr<GraphResources>& part) {
    if (part == nullptr || part.get() == this) return;
    if (part->prints.load(std::memory_order_relaxed)) prints.store(true, std::memory_order_relaxed);
    if (part->stands_in.load(std::memory_order_relaxed)) {
        stands_in.store(true, std::memory_order_relaxed);
    }
    if (part->calls.load(std::memory_order_relaxed)) calls.store(true, std::memory_order_relaxed);
    if (part->memory.load(std::memory_order_relaxed)) memory.store(true, std::memory_order_relaxed);
    const std::lock_guard lock(mutex_);
    if (std::find(parts_.begin(), parts_.end(), part) == parts_.end()) parts_.push_back(part);
}

void GraphResources::collect(std::vector<GraphResources*>& found) {
    if (std::find(found.begin(), found.end(), this) != found.end()) return;
    found.push_back(this);
    const std::lock_guard lock(mutex_);
    for (const auto& part : parts_) part->collect(found);
}

std::vector<GraphResources*> GraphResources::all() {
    std::vector<GraphResources*> found;
    collect(found);
    return found;
}

namespace {

/// Puts a stand-in in the place of one end of the box, if only this process reaches it.
CUresult stand_in(const Caller& caller, GraphResources& resources, const CopyBox& box, CopyEnd& end,
                  std::uint64_t& pitch, std::uint64_t& slice, bool written) {
    if (end.reach == Reach::kGpu) return CUDA_SUCCESS;
    StandIn wanted{{}, end.data(), pitch, slice, box.width, box.height, box.depth, written};
    StandIn* known = nullptr;
    bool clash = false;
    // One copy that reads what another has written finds it only in the same stand-in.
    resources.for_each_stand_in([&](StandIn& each) {
        if (each.same_place(wanted))
            known = &each;
        else if (each.overlaps(wanted) && (each.written || written))
            clash = true;
    });
    if (clash) {
        CUBAR_LOG(kWarn,
                  "copies of one graph that write overlapping parts of pageable memory are "
                  "not supported: allocate it by cuMemAllocHost");
        return CUDA_ERROR_NOT_SUPPORTED;
    }
    if (known == nullptr) {
        ArenaBlock block = ArenaBlock::allocate(caller, box.width * box.height * box.depth);
        if (!block) return CUDA_ERROR_OUT_OF_MEMORY;
        std::unique_ptr<StandIn> made(new StandIn{std::move(block), end.data(), pitch, slice,
                                                  box.width, box.height, box.depth, written});
        known = made.get();
        resources.add(std::move(made));
    }
    known->written |= written;
    end = CopyEnd{reinterpret_cast<std::uint64_t>(known->block.data()), Reach::kGpu, false};
    pitch = box.width;
    slice = box.width * box.height;
    return CUDA_SUCCESS;
}

/// What the host is asked for in place of copy_box(): one record.
CUresult post_whole(const Caller& caller, Stream& stream, const CopyBox& box) {
    if (box.height == 1 && box.depth == 1 && !box.target.array && !box.source.array) {
        wire::cuMemcpyAsync::Request request{};
        request.dst = box.target.address;
        request.src = box.source.address;
        request.ByteCount = box.width;
        return post<wire::cuMemcpyAsync>(caller, stream, request);
    }
    return post_box(caller, stream, box);
}

}  // namespace

CUresult stand_in(const Caller& caller, GraphResources& resources, CopyBox& box) {
    // Packed rows, so that equal places have equal descriptions.
    if (box.height == 1) box.target_pitch = box.source_pitch = box.width;
    if (box.depth == 1) {
        box.target_slice = box.target_pitch * box.height;
        box.source_slice = box.source_pitch * box.height;
    }
    CUBAR_TRY(
        stand_in(caller, resources, box, box.source, box.source_pitch, box.source_slice, false));
    return stand_in(caller, resources, box, box.target, box.target_pitch, box.target_slice, true);
}

CUresult capture_box(const Caller& caller, Stream& stream, const CopyBox& box, Promise promise) {
    // What returns when it is done waits for the stream.
    if (promise == Promise::kDone) CUBAR_TRY(forbid_wait(caller, stream));
    CUBAR_TRY(caller.session->captures.check_work(*caller.session, stream));
    const auto resources = caller.session->captures.resources(stream);
    if (resources == nullptr) return CUDA_ERROR_ILLEGAL_STATE;
    CopyBox own = box;
    CUBAR_TRY(stand_in(caller, *resources, own));
    return post_whole(caller, stream, own);
}

CUresult capture_bytes(const Caller& caller, Stream& stream, const CopyEnd& target,
                       const CopyEnd& source, std::size_t bytes, Promise promise) {
    return capture_box(caller, stream, {target, source, bytes, bytes, bytes, bytes, bytes, 1, 1},
                       promise);
}

namespace {

/// Waits until no launch uses the stand-ins any more.
CUresult await_launches(const Caller& caller, GraphResources& resources) {
    CUresult result = CUDA_SUCCESS;
    for (const GraphResources::Launch& launch : std::exchange(resources.launches, {})) {
        Context* context = caller.session->contexts.find(launch.context);
        // Its work has ended with it.
        if (context == nullptr) continue;
        Stream* stream =
            launch.stream ? caller.session->streams.find(launch.stream) : &context->legacy;
        const CUresult waited = stream != nullptr ? wait_for(caller, *stream, launch.position)
                                                  : synchronize_on_host(caller, *context);
        if (waited != CUDA_SUCCESS) result = waited;
    }
    return result;
}

void note_launch(GraphResources& resources, const Stream& stream, Position position) {
    for (GraphResources::Launch& launch : resources.launches) {
        if (launch.context != stream.context || launch.stream != stream.handle) continue;
        launch.position = position;
        return;
    }
    resources.launches.push_back({stream.context, stream.handle, position});
}

/// Whether all launches are known to be complete; sends nothing.
bool launches_over(const Caller& caller, GraphResources& resources) {
    return std::ranges::all_of(resources.launches, [&](const GraphResources::Launch& launch) {
        const Context* context = caller.session->contexts.find(launch.context);
        if (context == nullptr) return true;
        const Stream* stream =
            launch.stream ? caller.session->streams.find(launch.stream) : &context->legacy;
        return stream != nullptr && (launch.position <= stream->proven.load() ||
                                     completed(caller, *stream, launch.position));
    });
}

/// Waits for the answer where the driver may refuse the launch.
CUresult send_launch(const Caller& caller, const GraphResources& resources, Stream& stream,
                     const wire::cuGraphLaunch::Request& request, Position& position) {
    if (!resources.memory.load(std::memory_order_relaxed)) {
        return post<wire::cuGraphLaunch>(caller, stream, request, {}, &position);
    }
    wire::graph_launch::Reply reply{};
    return call_in<wire::graph_launch>(caller, stream, {request.hGraph, stream.handle}, reply,
                                       &position);
}

}  // namespace

CUresult launch_with_resources(const Caller& caller,
                               const std::shared_ptr<GraphResources>& resources, Stream& stream,
                               const wire::cuGraphLaunch::Request& request) {
    const std::vector<GraphResources*> all = resources->all();
    const transport::MemoryType type = caller.channel().memory_type();
    const std::lock_guard lock(caller.session->graph_mutex);
    bool written = false;
    for (GraphResources* each : all) {
        if (!each->stands_in.load(std::memory_order_relaxed)) continue;
        CUBAR_TRY(await_launches(caller, *each));
        // What the graph writes is filled as well: a function of it may look before it is written.
        each->for_each_stand_in([&](const StandIn& stand_in) {
            stand_in.fill(type);
            written |= stand_in.written;
        });
    }
    Position position = 0;
    CUBAR_TRY(send_launch(caller, *resources, stream, request, position));
    for (GraphResources* each : all) note_launch(*each, stream, position);
    if (!written) return CUDA_SUCCESS;
    CUBAR_TRY(wait_for(caller, stream, position));
    for (GraphResources* each : all) {
        each->for_each_stand_in([&](const StandIn& stand_in) {
            if (stand_in.written) stand_in.empty(type);
        });
    }
    return CUDA_SUCCESS;
}

void retire(const Caller& caller, std::shared_ptr<GraphResources> resources) {
    const auto plain = [](const GraphResources& each) {
        return !each.stands_in.load(std::memory_order_relaxed) &&
               !each.calls.load(std::memory_order_relaxed);
    };
    if (resources == nullptr || plain(*resources)) return;
    RetiredGraphs over;
    const std::lock_guard lock(caller.session->graph_mutex);
    RetiredGraphs& retired = caller.session->retired_graphs;
    retired.push_back(std::move(resources));
    const auto first_over = std::partition(retired.begin(), retired.end(), [&](const auto& each) {
        return !std::ranges::all_of(
            each->all(), [&](GraphResources* part) { return launches_over(caller, *part); });
    });
    over.assign(std::make_move_iterator(first_over), std::make_move_iterator(retired.end()));
    retired.erase(first_over, retired.end());
}

void show_stand_ins(Session& session, GraphResources& resources) {
    for (GraphResources* each : resources.all()) {
        each->for_each_stand_in([&](const StandIn& stand_in) {
            if (stand_in.written) stand_in.empty(session.channel().memory_type());
        });
    }
}

void refill_stand_ins(Session& session, GraphResources& resources) {
    for (GraphResources* each : resources.all()) {
        each->for_each_stand_in([&](const StandIn& stand_in) {
            if (!stand_in.written) stand_in.fill(session.channel().memory_type());
        });
    }
}

}  // namespace cubar::guest
