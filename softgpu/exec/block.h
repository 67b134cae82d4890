// SPDX-License-Identifier: Apache-2.0
// A block of threads in execution: a resumable object. Internal to softgpu/exec.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "softgpu/exec/fault.h"
#include "softgpu/exec/image.h"
#include "softgpu/exec/memory_map.h"
#include "softgpu/exec/print_buffer.h"
#include "softgpu/exec/warp.h"

namespace cubar::softgpu::exec {

/// One call of a function by some lanes of a warp that came from the same instruction.
struct Frame {
    Frame* parent = nullptr;
    const FunctionCode* code = nullptr;
    AlignedBytes registers;
    uint32_t register_bytes = 0;  // that `registers` has room for
    uint32_t depth = 0;
    uint32_t lanes = 0;               // that have not returned nor exited
    const Insn* return_to = nullptr;  // in the parent
    const CallSite* site = nullptr;
    uint64_t local_base = 0;
};

enum class PartState : uint8_t {
    kReady,
    kGathering,    // at an instruction that lanes of other parts must reach too
    kWarpBarrier,  // behind bar.warp.sync
    kBarrier,      // at bar.sync
};

/// Lanes of a warp that are at the same place.
struct Part {
    Frame* frame = nullptr;
    const Insn* at = nullptr;
    uint32_t mask = 0;
    PartState state = PartState::kReady;
    uint32_t member = 0;  // kWarpBarrier: who must come; kBarrier: the barrier's number
    uint32_t stamp = 0;   // when it was set aside; the oldest is the smallest
};

/// Where lane `lane` of a frame keeps a value that is handed over in a call.
char* lane_place(const Warp& warp, const Frame& frame, bool in_slot, uint64_t at, uint32_t bytes,
                 unsigned lane);

/// A warp with the parts that do not execute now. At most 32: their masks are disjoint.
struct WarpState : Warp {
    std::array<Part, kLanes> parts;
    unsigned part_count = 0;
    uint32_t stamp = 0;
    std::array<uint64_t, kLanes> stack_top;  // of local memory, below what alloca has taken
    bool take_turns = false;  // the last slice ended by exhaustion: let another part run
};

inline WarpState& state_of(Warp& warp) {
    return static_cast<WarpState&>(warp);
}

inline constexpr unsigned kBarriers = 16;
// The barrier of the cluster comes behind the block's own.
inline constexpr unsigned kClusterBarrier = kBarriers;
inline constexpr unsigned kMaxWarps = 32;

class Cluster;

/// What all blocks of a grid share.
struct GridFacts {
    Image* image = nullptr;
    KernelCode* code = nullptr;
    std::string kernel;
    BlockFacts facts;              // index and multiprocessor are each block's own
    AlignedBytes parameters;       // and, behind them, a cooperative grid's workspace
    uint64_t parameter_range = 0;  // bytes of both
    uint64_t shared_bytes = 0;
    uint64_t local_bytes = 0;  // per lane
    const MemoryMap* map = nullptr;
    PrintBuffer* print = nullptr;
};

class Block {
public:
    /// kWaiting: every warp waits, some for other blocks of the cluster.
    enum class Outcome { kFinished, kParked, kWaiting, kFaulted };

    Block(const GridFacts& grid, Cluster& cluster);
    /// True if the block, finished, can be used for that other grid too.
    [[nodiscard]] bool fits(const GridFacts& grid) const;
    /// Makes it one of that grid's; start() comes next. The grid before may be gone.
    void adopt(const GridFacts& grid);
    /// What it holds on to, shared and local memory.
    [[nodiscard]] uint64_t bytes() const;
    Block(const Block&) = delete;
    Block& operator=(const Block&) = delete;

    /// Makes it the block with that index, at its first instruction. Memory is reused.
    void start(const Dim3& index, uint32_t cluster_rank, uint32_t multiprocessor);
    /// Executes until it ends or has had its time (or, sooner, only waits for memory).
    Outcome run();
    /// False when every warp waits or has ended.
    [[nodiscard]] bool can_run() const;
    /// Faults, because nothing will ever come that its warps wait for.
    Outcome deadlock();
    /// After kFaulted.
    [[nodiscard]] const Fault& fault() const { return fault_; }
    [[nodiscard]] Cluster& cluster() const { return *cluster_; }
    /// Its own shared memory; null if it is not so large.
    [[nodiscard]] char* shared(uint64_t offset, uint64_t size) const {
        return size <= shared_bytes_ && offset <= shared_bytes_ - size ? shared_.get() + offset
                                                                       : nullptr;
    }
    /// True if all threads that live have arrived at the cluster's barrier.
    [[nodiscard]] bool is_at_cluster_barrier() const {
        return is_complete(barriers_[kClusterBarrier]);
    }
    /// A barrier is complete: it is reset, and all parts that waited are ready.
    void release(unsigned number);

    // For the instructions.
    const Insn* fail(Warp& warp, const Insn* insn, FaultKind kind, uint64_t address,
                     std::string message);
    bool refill(RangeCache& cache, uint64_t address, uint64_t size);
    /// Host address of `size` bytes at a generic address as `lane` sees it; null if not all valid.
    char* host_address(Warp& warp, unsigned lane, uint64_t address, uint64_t size);
    /// Length of the string at a generic address, or nullopt when it runs into forbidden memory.
    std::optional<std::string> read_string(Warp& warp, unsigned lane, uint64_t address);

    Frame* push_frame(WarpState& warp, const FunctionCode& code, Frame* parent, uint32_t mask);
    void release_frame(Frame* frame);

    /// bar.sync and its kin: `lanes` of the warp arrive, perhaps as the last ones.
    void arrive(WarpState& warp, unsigned barrier, uint32_t mask, uint32_t threads,
                uint32_t predicate);
    /// barrier.cluster.wait: true if some of these lanes have arrived and others have not, so far.
    [[nodiscard]] bool waits_for_cluster(const WarpState& warp, uint32_t mask) const {
        return (barriers_[kClusterBarrier].arrived[warp.index] & mask) != 0;
    }
    /// Lanes have exited: barriers that waited for them may be complete.
    void threads_exited();

    [[nodiscard]] const GridFacts& grid() const { return *grid_; }

private:
    struct Barrier {
        std::array<uint32_t, kMaxWarps> arrived{};
        uint32_t threads = 0;     // expected; 0: all
        uint32_t count = 0;       // of lanes that came
        uint32_t true_count = 0;  // of lanes that came with a true predicate
        bool in_use = false;
    };

    bool is_complete(const Barrier& barrier) const;
    [[nodiscard]] bool waits_for_others() const;
    void run_warp(WarpState& warp);

    const GridFacts* grid_;
    Cluster* const cluster_;
    uint64_t shared_bytes_;
    uint64_t local_bytes_;  // per lane
    BlockFacts facts_;
    std::vector<std::unique_ptr<WarpState>> warps_;
    AlignedBytes shared_;
    AlignedBytes local_;
    std::array<RangeCache, kRangeCaches> caches_;
    MemoryMap::Snapshot snapshot_;
    uint64_t snapshot_version_ = 0;
    std::array<Barrier, kBarriers + 1> barriers_;
    std::vector<std::unique_ptr<Frame>> frames_;
    std::vector<Frame*> free_frames_;
    Fault fault_;
    bool faulted_ = false;
    unsigned next_warp_ = 0;
};

// Reconvergence (reconverge.cpp).

/// Sets lanes aside.
void add_part(WarpState& warp, Frame* frame, const Insn* at, uint32_t mask, PartState state,
              uint32_t member = 0);
/// Makes the part that goes on next the current one and returns its place; null when none can.
const Insn* pick_part(WarpState& warp);
/// `mask` of the current lanes stop executing; the rest goes on at `next`, or else another part.
const Insn* leave(WarpState& warp, uint32_t mask, const Insn* next);

/// At the head of each block that is jumped to.
Handler join_handler();

}  // namespace cubar::softgpu::exec
