// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>

namespace cubar::guest {

struct Caller;
struct Stream;

/// The addresses of memory that nodes of graphs allocate, kept free of this process's own mappings.
/// Such an address lasts as long as anything of its graph, or longer, where the memory is still
/// allocated: only the host can say. Thread-safe.
class GraphMemory {
public:
    /// An allocation as the host made it.
    struct Made {
        std::uint64_t address = 0;
        int device = 0;  ///< as the application counts
    };
    using Allocate = std::function<CUresult(Made&)>;

    /// Has the host allocate for a graph by `allocate(made)` until the addresses are free in
    /// this process as well. What collides is held until a fitting one is found, and then freed by
    /// `free(address)`: a node that allocates stays in its graph.
    CUresult allocate(const Caller& caller, std::uint64_t bytes, const Allocate& allocate,
                      const std::function<void(std::uint64_t)>& free, CUdeviceptr& out);

    /// Something has gone that may have owned or used some of it: asks the host what has ended.
    void forget_ended(const Caller& caller);

private:
    struct Block {
        std::uint64_t bytes;
        std::uint64_t id;  ///< of its range
    };
    // With the lock held.
    bool adopt(const Caller& caller, const Made& made, std::uint64_t bytes);
    void forget(const Caller& caller, std::uint64_t begin);

    std::atomic<bool> any_{false};
    /// Held while the host allocates and while it is asked, so that what it gives out again is not
    /// taken for what has ended.
    std::mutex mutex_;
    std::map<std::uint64_t, Block> blocks_;
};

/// cuMemAllocAsync and its like in a stream that is being captured: `allocate(made)` asks the
/// host.
CUresult allocate_in_capture(const Caller& caller, Stream& stream, std::uint64_t bytes,
                             const GraphMemory::Allocate& allocate, CUdeviceptr& out);

/// Frees memory of a graph in the order of a stream; a capture makes a node of it.
CUresult free_graph_memory(const Caller& caller, Stream& stream, std::uint64_t address);

}  // namespace cubar::guest
