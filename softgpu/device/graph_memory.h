// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <span>
#include <vector>

#include "softgpu/device/device.h"
#include "softgpu/device/memory.h"
#include "softgpu/device/stream_set.h"

namespace cubar::softgpu::device {

class GraphMemory;

/// The memory of one allocation node. Its address is fixed when the node is made and taken as long
/// as any graph has a node for it, or it is allocated; there is memory behind it from the first
/// launch until it is trimmed. Guarded by GraphMemory.
class GraphBlock {
public:
    GraphBlock(GraphMemory& owner, Device& device, Address base, std::size_t size);
    ~GraphBlock();
    GraphBlock(const GraphBlock&) = delete;
    GraphBlock& operator=(const GraphBlock&) = delete;

    [[nodiscard]] Device& device() const { return device_; }
    [[nodiscard]] Address base() const { return base_; }
    [[nodiscard]] std::size_t size() const { return size_; }

    // In the order of a stream: from then on, or until then, it may be touched.
    void map();
    void unmap();

    /// Where a node frees it; a graph other than the allocation's own excludes that one.
    enum class FreedIn : std::uint8_t { kNowhere, kOwnGraph, kOtherGraphs };
    FreedIn freed_in = FreedIn::kNowhere;  ///< guarded by Graphs::mutex

private:
    friend class GraphMemory;

    GraphMemory& owner_;
    Device& device_;
    const Address base_;
    const std::size_t size_;
    bool backed_ = false;
    bool mapped_ = false;
    bool live_ = false;       ///< allocated, after all that was launched so far
    unsigned launching_ = 0;  ///< launches that are prepared and not yet in a stream
    Point last_use_;          ///< of its launches and frees
};

using GraphBlockRef = std::shared_ptr<GraphBlock>;

/// What Memory knows a block by.
struct GraphAllocation final : Allocation {
    std::weak_ptr<GraphBlock> block;
};

/// The memory that graphs allocate and free by nodes of theirs. Each allocation has pages of its
/// own, which stay with it between launches. Thread-safe.
class GraphMemory {
public:
    explicit GraphMemory(Memory& memory) : memory_(memory) {}

    /// Throws CUDA_ERROR_OUT_OF_MEMORY when there are no addresses left.
    GraphBlockRef reserve(Device& device, std::size_t size);
    /// The block that begins there, or null.
    [[nodiscard]] GraphBlockRef find(Address base) const;

    /// One node of a launch.
    struct Step {
        bool allocates;
        GraphBlockRef block;
    };
    struct Prepared {
        std::vector<GraphBlockRef> freed_before;  ///< what an earlier launch left allocated
        std::vector<Point> after;                 ///< what the launch must wait for
    };
    /// Before a launch with these nodes, in their order. Throws CUDA_ERROR_INVALID_VALUE for an
    /// allocation that was not freed, unless `auto_free`, and for a free of what is not allocated;
    /// CUDA_ERROR_OUT_OF_MEMORY.
    Prepared prepare(std::span<const Step> steps, bool auto_free);
    /// It has been put into a stream, and ends there.
    void launched(std::span<const Step> steps, const Point& end);

    /// Ends an allocation that outlives its launch, in the stream's order. Throws
    /// CUDA_ERROR_INVALID_VALUE when it is not allocated.
    void free(const GraphBlockRef& block, StreamSet& order, const StreamRef& stream);
    /// The same at once: the caller has made sure that no work in flight uses it.
    void free_now(const GraphBlockRef& block);

    /// Gives the memory of what is neither allocated nor in use back to the device.
    void trim(const Device& device);

    /// Throws CUDA_ERROR_INVALID_VALUE for one that is not there, or cannot be set.
    [[nodiscard]] std::uint64_t attribute(const Device& device, CUgraphMem_attribute attribute);
    void reset_attribute(const Device& device, CUgraphMem_attribute attribute);

private:
    friend class GraphBlock;

    struct Counts {
        std::uint64_t reserved = 0;
        std::uint64_t reserved_high = 0;
        std::uint64_t used_high = 0;
    };
    // With the lock held.
    [[nodiscard]] static bool in_use(const GraphBlock& block);
    bool back(GraphBlock& block);
    void give_back(GraphBlock& block);
    void trim_locked(const Device& device);
    std::uint64_t used(const Device& device) const;
    /// Where the reference goes that keeps an allocated block.
    GraphBlockRef end_locked(GraphBlock& block);

    Memory& memory_;
    mutable std::mutex mutex_;
    std::set<GraphBlock*> blocks_;
    std::map<Address, GraphBlockRef> live_;
    std::map<int, Counts> counts_;  // by the device's ordinal
};

}  // namespace cubar::softgpu::device
