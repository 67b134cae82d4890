// SPDX-License-Identifier: Apache-2.0
// Memory that graphs own: nodes that allocate and free, what captures allocate, and what a device
// keeps for them.
#include "libcuda/graph_memory.h"

#include <algorithm>
#include <array>
#include <span>
#include <utility>
#include <vector>

#include "driver/log.h"
#include "libcuda/capture_rules.h"
#include "libcuda/context.h"
#include "libcuda/graph_node.h"
#include "libcuda/memory_location.h"

namespace cubar::guest {

bool GraphMemory::adopt(const Caller& caller, const Made& made, std::uint64_t bytes) {
    if (!caller.session->reservations.reserve(made.address, bytes)) return false;
    // What had the address before has ended, and nobody has asked since.
    forget(caller, made.address);
    MemoryRange range;
    range.begin = made.address;
    range.bytes = bytes;
    range.reserved = bytes;
    range.kind = MemoryKind::kGraph;
    range.device = made.device;
    blocks_.insert_or_assign(made.address, Block{bytes, caller.session->addresses.add(range)});
    any_.store(true, std::memory_order_relaxed);
    return true;
}

void GraphMemory::forget(const Caller& caller, std::uint64_t begin) {
    const auto block = blocks_.find(begin);
    if (block == blocks_.end()) return;
    Session& session = *caller.session;
    session.addresses.remove_if([&](const MemoryRange& range) {
        return range.begin == begin && range.id == block->second.id;
    });
    session.reservations.release(begin, block->second.bytes);
    blocks_.erase(block);
}

CUresult GraphMemory::allocate(const Caller& caller, std::uint64_t bytes, const Allocate& allocate,
                               const std::function<void(std::uint64_t)>& free, CUdeviceptr& out) {
    constexpr std::size_t kAttempts = 16;
    std::array<std::uint64_t, kAttempts> collided{};
    std::size_t collisions = 0;
    CUresult result = CUDA_ERROR_OUT_OF_MEMORY;
    const std::lock_guard lock(mutex_);
    while (collisions < kAttempts) {
        Made made;
        result = allocate(made);
        if (result != CUDA_SUCCESS) break;
        if (adopt(caller, made, bytes)) {
            out = made.address;
            break;
        }
        CUBAR_LOG(kInfo, "device addresses at %#llx are taken in this process, asking for others",
                  static_cast<unsigned long long>(made.address));
        collided[collisions++] = made.address;
        result = CUDA_ERROR_OUT_OF_MEMORY;
    }
    for (std::size_t index = 0; index < collisions; ++index) free(collided[index]);
    return result;
}

void GraphMemory::forget_ended(const Caller& caller) {
    if (!any_.load(std::memory_order_relaxed)) return;
    const std::lock_guard lock(mutex_);
    std::vector<std::uint64_t> all;
    for (const auto& [begin, block] : blocks_) all.push_back(begin);
    wire::graph_memory_ended::Reply reply{};
    constexpr std::size_t kAtOnce = std::size(reply.ended);
    for (std::size_t first = 0; first < all.size(); first += kAtOnce) {
        const auto asked = std::span(all).subspan(first, std::min(kAtOnce, all.size() - first));
        wire::graph_memory_ended::Request request{};
        request.count = static_cast<std::uint32_t>(asked.size());
        request.payload_bytes = static_cast<std::uint32_t>(asked.size_bytes());
        // Whoever is next asks again.
        if (call_in<wire::graph_memory_ended>(caller, caller.thread->current(), {}, request, reply,
                                              std::as_bytes(asked)) != CUDA_SUCCESS) {
            return;
        }
        for (std::size_t index = 0; index < asked.size(); ++index) {
            if (reply.ended[index] != 0) forget(caller, asked[index]);
        }
    }
    any_.store(!blocks_.empty(), std::memory_order_relaxed);
}

CUresult allocate_in_capture(const Caller& caller, Stream& stream, std::uint64_t bytes,
                             const GraphMemory::Allocate& allocate, CUdeviceptr& out) {
    const auto resources = caller.session->captures.resources(stream);
    if (resources == nullptr) return CUDA_ERROR_ILLEGAL_STATE;
    CUBAR_TRY(caller.session->graph_memory.allocate(
        caller, bytes, allocate,
        [&](std::uint64_t collided) { free_graph_memory(caller, stream, collided); }, out));
    resources->memory.store(true, std::memory_order_relaxed);
    return CUDA_SUCCESS;
}

CUresult free_graph_memory(const Caller& caller, Stream& stream, std::uint64_t address) {
    wire::graph_free::Request request{};
    request.stream = stream.handle;
    request.address = address;
    wire::graph_free::Reply reply{};
    CUBAR_TRY(call_in<wire::graph_free>(caller, stream, request, reply));
    if (const auto resources = caller.session->captures.resources(stream)) {
        resources->memory.store(true, std::memory_order_relaxed);
    }
    return CUDA_SUCCESS;
}

CUresult take_allocation(const CUDA_MEM_ALLOC_NODE_PARAMS& wanted, NodeParameters& out) {
    out.type = CU_GRAPH_NODE_TYPE_MEM_ALLOC;
    node::MemAlloc asked{};
    const CUmemPoolProps& properties = wanted.poolProps;
    CUBAR_TRY(check_plain(properties.allocType, properties.handleTypes));
    if (properties.usage != 0) return CUDA_ERROR_NOT_SUPPORTED;
    CUBAR_TRY(device_at(properties.location, asked.device));
    constexpr std::size_t kMostDevices = 1024;
    if (wanted.bytesize == 0 || wanted.accessDescCount > kMostDevices ||
        (wanted.accessDescCount != 0 && wanted.accessDescs == nullptr)) {
        return CUDA_ERROR_INVALID_VALUE;
    }
    asked.bytes = wanted.bytesize;
    asked.limit = properties.maxSize;
    asked.access = static_cast<std::uint32_t>(wanted.accessDescCount);
    out.add(asked);
    for (const CUmemAccessDesc& each : std::span(wanted.accessDescs, wanted.accessDescCount)) {
        node::MemAccess access{0, static_cast<std::uint32_t>(each.flags)};
        CUBAR_TRY(device_at(each.location, access.device));
        out.add(access);
    }
    return CUDA_SUCCESS;
}

CUresult take_free(const Caller& caller, CUdeviceptr address, NodeParameters& out) {
    out.type = CU_GRAPH_NODE_TYPE_MEM_FREE;
    const auto range = caller.session->addresses.find(address);
    if (!range || range->begin != address || range->kind != MemoryKind::kGraph) {
        return CUDA_ERROR_INVALID_VALUE;
    }
    out.add(node::MemFree{address});
    return CUDA_SUCCESS;
}

namespace {

/// A node that frees what another one allocates. Where that fails, launches of the graph say so.
void free_after(const Caller& caller, GraphHandle graph, CUgraphNode allocation,
                std::uint64_t address) {
    Dependencies after;
    if (after.take(&allocation, nullptr, 1) != CUDA_SUCCESS) return;
    NodeParameters free;
    free.type = CU_GRAPH_NODE_TYPE_MEM_FREE;
    const node::MemFree freed{address};
    const auto bytes = std::as_bytes(std::span(&freed, 1));
    free.bytes.assign(bytes.begin(), bytes.end());
    wire::cuGraphAddNode_v2::Reply reply{};
    send_node(caller, graph, after, free, reply);
}

}  // namespace

CUresult add_allocation(const Place& place, CUDA_MEM_ALLOC_NODE_PARAMS* wanted) {
    Caller caller;
    CUBAR_TRY(enter(caller));
    if (place.out == nullptr || wanted == nullptr) return CUDA_ERROR_INVALID_VALUE;
    Graph* graph = nullptr;
    GraphHandle handle;
    CUBAR_TRY(find_graph(caller, place.graph, handle, graph));
    Dependencies dependencies;
    CUBAR_TRY(dependencies.take(place.dependencies, place.edges, place.count));
    NodeParameters parameters;
    CUBAR_TRY(take_allocation(*wanted, parameters));
    const auto resources = graph->resources;
    wire::cuGraphAddNode_v2::Reply reply{};
    std::vector<std::pair<std::uint64_t, CUgraphNode>> made;
    const auto allocate = [&](GraphMemory::Made& out) {
        CUBAR_TRY(send_node(caller, handle, dependencies, parameters, reply));
        out = {reply.address, wanted->poolProps.location.id};
        made.emplace_back(reply.address, pointer_to<CUgraphNode>(reply.node));
        return CUDA_SUCCESS;
    };
    const auto free = [&](std::uint64_t collided) {
        for (const auto& [begin, node] : made) {
            if (begin == collided) free_after(caller, handle, node, collided);
        }
    };
    CUdeviceptr address = 0;
    CUBAR_TRY(
        caller.session->graph_memory.allocate(caller, wanted->bytesize, allocate, free, address));
    resources->memory.store(true, std::memory_order_relaxed);
    wanted->dptr = address;
    *place.out = pointer_to<CUgraphNode>(reply.node);
    return CUDA_SUCCESS;
}

CUresult show_allocation(const Caller& caller, CUgraphNode node, const NodeInfo& info,
                         CUDA_MEM_ALLOC_NODE_PARAMS& out) {
    node::MemAlloc made{};
    if (info.type != CU_GRAPH_NODE_TYPE_MEM_ALLOC || !info.read(made)) {
        return CUDA_ERROR_INVALID_VALUE;
    }
    const auto rest = std::span<const std::byte>(info.bytes).subspan(sizeof made);
    const auto resources = resources_of(caller, info.graph);
    if (resources == nullptr || rest.size() / sizeof(node::MemAccess) != made.access) {
        return CUDA_ERROR_INVALID_VALUE;
    }
    out = {};
    out.poolProps.allocType = CU_MEM_ALLOCATION_TYPE_PINNED;
    out.poolProps.location = {CU_MEM_LOCATION_TYPE_DEVICE,
                              caller.process->ordinal_of(static_cast<std::uint32_t>(made.device))};
    out.poolProps.maxSize = made.limit;
    out.bytesize = made.bytes;
    out.dptr = made.address;
    if (made.access == 0) return CUDA_SUCCESS;
    std::vector<CUmemAccessDesc> access(made.access);
    for (std::size_t index = 0; index < access.size(); ++index) {
        node::MemAccess given;
        std::memcpy(&given, rest.data() + index * sizeof given, sizeof given);
        access[index].location = {
            CU_MEM_LOCATION_TYPE_DEVICE,
            caller.process->ordinal_of(static_cast<std::uint32_t>(given.device))};
        access[index].flags = static_cast<CUmemAccess_flags>(given.flags);
    }
    // They are shown as a whole, and stay until the node is asked again.
    const KernelParameter whole{};
    void** shown = resources->show_parameters(GraphNodeHandle(bits_of(node)), std::span(&whole, 1),
                                              std::as_bytes(std::span(access)));
    out.accessDescs = static_cast<const CUmemAccessDesc*>(shown[0]);
    out.accessDescCount = made.access;
    return CUDA_SUCCESS;
}

}  // namespace cubar::guest

using namespace cubar::guest;
namespace wire = cubar::wire;

namespace {

/// The host's number of a device, for calls that need a session and no context.
CUresult find_device(CUdevice device, Caller& caller, std::int32_t& out) {
    CUBAR_TRY(device_of(device, out));
    return enter_or_begin(caller);
}

}  // namespace

CUBAR_API cuGraphAddMemAllocNode(CUgraphNode* out, CUgraph graph, const CUgraphNode* dependencies,
                                 std::size_t count, CUDA_MEM_ALLOC_NODE_PARAMS* wanted) {
    return add_allocation({out, graph, dependencies, nullptr, count}, wanted);
}

CUBAR_API cuGraphMemAllocNodeGetParams(CUgraphNode node, CUDA_MEM_ALLOC_NODE_PARAMS* out) {
    Caller caller;
    CUBAR_TRY(enter(caller));
    if (out == nullptr) return CUDA_ERROR_INVALID_VALUE;
    NodeInfo info;
    CUBAR_TRY(ask_node(caller, node, info));
    return show_allocation(caller, node, info, *out);
}

CUBAR_API cuGraphMemFreeNodeGetParams(CUgraphNode node, CUdeviceptr* out) {
    Caller caller;
    CUBAR_TRY(enter(caller));
    if (out == nullptr) return CUDA_ERROR_INVALID_VALUE;
    NodeInfo info;
    CUBAR_TRY(ask_node(caller, node, info));
    cubar::node::MemFree free{};
    if (info.type != CU_GRAPH_NODE_TYPE_MEM_FREE || !info.read(free)) {
        return CUDA_ERROR_INVALID_VALUE;
    }
    *out = free.address;
    return CUDA_SUCCESS;
}

CUBAR_API cuDeviceGraphMemTrim(CUdevice device) {
    Caller caller;
    wire::cuDeviceGraphMemTrim::Request request{};
    CUBAR_TRY(find_device(device, caller, request.device));
    wire::cuDeviceGraphMemTrim::Reply reply{};
    CUBAR_TRY(call_in<wire::cuDeviceGraphMemTrim>(caller, {}, {}, request, reply));
    caller.session->graph_memory.forget_ended(caller);
    return CUDA_SUCCESS;
}

CUBAR_API cuDeviceGetGraphMemAttribute(CUdevice device, CUgraphMem_attribute attribute,
                                       void* value) {
    Caller caller;
    wire::cuDeviceGetGraphMemAttribute::Request request{};
    CUBAR_TRY(find_device(device, caller, request.device));
    if (value == nullptr) return CUDA_ERROR_INVALID_VALUE;
    request.attribute = attribute;
    wire::cuDeviceGetGraphMemAttribute::Reply reply{};
    CUBAR_TRY(call_in<wire::cuDeviceGetGraphMemAttribute>(caller, {}, {}, request, reply));
    *static_cast<cuuint64_t*>(value) = reply.value;
    return CUDA_SUCCESS;
}

CUBAR_API cuDeviceSetGraphMemAttribute(CUdevice device, CUgraphMem_attribute attribute,
                                       void* value) {
    Caller caller;
    wire::cuDeviceSetGraphMemAttribute::Request request{};
    CUBAR_TRY(find_device(device, caller, request.device));
    if (value == nullptr) return CUDA_ERROR_INVALID_VALUE;
    request.attribute = attribute;
    request.value = *static_cast<const cuuint64_t*>(value);
    wire::cuDeviceSetGraphMemAttribute::Reply reply{};
    return call_in<wire::cuDeviceSetGraphMemAttribute>(caller, {}, {}, request, reply);
}
