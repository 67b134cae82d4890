// SPDX-License-Identifier: Apache-2.0
#include "softgpu/exec/block.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>
#include <utility>

#include "softgpu/exec/cluster.h"
#include "softgpu/exec/work_count.h"

namespace cubar::softgpu::exec {
namespace {

// After how many slices of its warps a block steps aside; a slice spent waiting counts for more.
constexpr unsigned kSlices = 32;
constexpr unsigned kSpinCost = 8;

// What bar.red leaves in its destination.
void write_barrier_result(const Frame& frame, const Insn& insn, uint32_t mask, uint32_t count,
                          uint32_t true_count) {
    auto* const to = reinterpret_cast<uint32_t*>(frame.registers.get() + insn.op[2]);
    uint32_t answer = 0;
    switch (ptx::Operation(insn.aux)) {
        case ptx::Operation::kPopc:
            for (unsigned lane = 0; lane < kLanes; ++lane) {
                if ((mask >> lane & 1) != 0) to[lane] = true_count;
            }
            return;
        case ptx::Operation::kAnd:
            answer = true_count == count ? kAllLanes : 0;
            break;
        case ptx::Operation::kOr:
            answer = true_count != 0 ? kAllLanes : 0;
            break;
        default:
            return;
    }
    *to = (*to & ~mask) | (answer & mask);
}

uint32_t lanes_in_warp(uint32_t threads, uint32_t warp) {
    const uint32_t first = warp * kLanes;
    const uint32_t here = threads - first < kLanes ? threads - first : kLanes;
    return kAllLanes >> (kLanes - here);
}

}  // namespace

void FreeAligned::operator()(char* memory) const {
    std::free(memory);
}

AlignedBytes allocate_aligned(size_t bytes) {
    constexpr size_t kAlign = 64;
    void* const memory = std::aligned_alloc(kAlign, (bytes + kAlign) / kAlign * kAlign);
    if (memory == nullptr) throw std::bad_alloc();
    return AlignedBytes(static_cast<char*>(memory));
}

Block::Block(const GridFacts& grid, Cluster& cluster)
    : grid_(&grid),
      cluster_(&cluster),
      shared_bytes_(grid.shared_bytes),
      local_bytes_(grid.local_bytes),
      facts_(grid.facts) {
    shared_ = allocate_aligned(grid.shared_bytes);
    local_ = allocate_aligned(grid.local_bytes * kLanes * facts_.warps);
    warps_.reserve(facts_.warps);
    for (uint32_t index = 0; index < facts_.warps; ++index) {
        auto warp = std::make_unique<WarpState>();
        warp->block = this;
        warp->facts = &facts_;
        warp->parameters = grid.parameters.get();
        warp->shared = shared_.get();
        warp->shared_bytes = grid.shared_bytes;
        warp->local = local_.get() + grid.local_bytes * kLanes * index;
        warp->local_bytes = grid.local_bytes;
        warp->caches = caches_.data();
        warp->index = index;
        warps_.push_back(std::move(warp));
    }
}

bool Block::fits(const GridFacts& grid) const {
    return grid.shared_bytes == shared_bytes_ && grid.local_bytes == local_bytes_ &&
           grid.facts.warps == facts_.warps;
}

void Block::adopt(const GridFacts& grid) {
    grid_ = &grid;
    facts_ = grid.facts;
    for (const auto& warp : warps_) warp->parameters = grid.parameters.get();
    // The ranges that it knows may be those of another map, or parameters that are gone.
    caches_.fill({});
    snapshot_.reset();
    snapshot_version_ = 0;
}

uint64_t Block::bytes() const {
    return shared_bytes_ + local_bytes_ * kLanes * facts_.warps;
}

void Block::start(const Dim3& index, uint32_t cluster_rank, uint32_t multiprocessor) {
    facts_.index = index;
    facts_.cluster_rank = cluster_rank;
    facts_.multiprocessor = multiprocessor;
    barriers_.fill({});
    next_warp_ = 0;
    for (const auto& warp : warps_) {
        const uint32_t mask = lanes_in_warp(facts_.threads, warp->index);
        warp->exited = ~mask;
        warp->part_count = 0;
        warp->stack_top.fill(local_bytes_);
        warp->budget = 0;
        warp->stamp = 0;
        warp->take_turns = false;
        warp->force_sync = false;
        warp->spun = false;
        warp->pause = Pause::kYield;
        const FunctionCode& entry = *grid_->code->entry;
        Frame* const frame = push_frame(*warp, entry, nullptr, mask);
        add_part(*warp, frame, entry.code.data(), mask, PartState::kReady);
    }
}

Frame* Block::push_frame(WarpState&, const FunctionCode& code, Frame* parent, uint32_t mask) {
    Frame* frame = nullptr;
    if (free_frames_.empty()) {
        frames_.push_back(std::make_unique<Frame>());
        frame = frames_.back().get();
    } else {
        frame = free_frames_.back();
        free_frames_.pop_back();
    }
    if (frame->register_bytes < code.register_bytes) {
        frame->registers = allocate_aligned(code.register_bytes);
        frame->register_bytes = code.register_bytes;
    }
    frame->code = &code;
    frame->parent = parent;
    frame->depth = parent != nullptr ? parent->depth + 1 : 0;
    frame->lanes = mask;
    frame->local_base = 0;
    frame->site = nullptr;
    return frame;
}

void Block::release_frame(Frame* frame) {
    free_frames_.push_back(frame);
}

namespace {

// As run_warp(), counting.
void run_counted(WarpState& warp, const Insn* insn) {
    uint64_t of_warps = 0;
    uint64_t of_lanes = 0;
    while (insn != nullptr) {
        const uint32_t guard = *lanes<uint32_t>(warp, insn->guard) ^ insn->guard_invert;
        const uint32_t mask = warp.active & guard;
        // A join is of the interpreter's own making.
        const bool counts = insn->handler != join_handler();
        of_warps += counts ? 1 : 0;
        of_lanes += counts ? unsigned(__builtin_popcount(mask)) : 0;
        insn = insn->handler(warp, insn, mask);
    }
    WorkCount::add_instructions(of_warps, of_lanes);
}

}  // namespace

void Block::run_warp(WarpState& warp) {
    warp.pause = Pause::kNone;
    const Insn* insn = pick_part(warp);
    if (WorkCount::enabled()) return run_counted(warp, insn);
    while (insn != nullptr) {
        const uint32_t guard = *lanes<uint32_t>(warp, insn->guard) ^ insn->guard_invert;
        insn = insn->handler(warp, insn, warp.active & guard);
    }
}

Block::Outcome Block::run() {
    if (grid_->map->version() != snapshot_version_) caches_.fill({});
    unsigned spent = 0;
    for (;;) {
        bool ran = false;
        bool all_done = true;
        for (uint32_t step = 0; step < facts_.warps; ++step) {
            WarpState& warp = *warps_[next_warp_];
            if (warp.pause == Pause::kDone) {
                next_warp_ = (next_warp_ + 1) % facts_.warps;
                continue;
            }
            if (warp.pause == Pause::kYield) {
                ran = true;
                run_warp(warp);
                if (faulted_) return Outcome::kFaulted;
                if (warp.pause == Pause::kYield) spent += warp.spun ? kSpinCost : 1;
                warp.spun = false;
            }
            all_done = all_done && warp.pause == Pause::kDone;
            next_warp_ = (next_warp_ + 1) % facts_.warps;
            if (spent >= kSlices) return Outcome::kParked;
        }
        if (all_done) return Outcome::kFinished;
        if (!ran) return waits_for_others() ? Outcome::kWaiting : deadlock();
    }
}

bool Block::can_run() const {
    return std::any_of(warps_.begin(), warps_.end(),
                       [](const auto& warp) { return warp->pause == Pause::kYield; });
}

bool Block::waits_for_others() const {
    if (cluster_->size() == 1) return false;
    for (const auto& warp : warps_) {
        for (unsigned index = 0; index < warp->part_count; ++index) {
            const Part& part = warp->parts[index];
            if (part.state == PartState::kBarrier && part.member == kClusterBarrier) return true;
        }
    }
    return false;
}

Block::Outcome Block::deadlock() {
    WarpState& warp = *warps_[next_warp_];
    for (const auto& candidate : warps_) {
        if (candidate->pause != Pause::kBlocked) continue;
        fail(*candidate, candidate->parts[0].at, FaultKind::kDeadlock, 0,
             "every thread of a block waits at a barrier that others never reach");
        return Outcome::kFaulted;
    }
    fail(warp, warp.parts[0].at, FaultKind::kDeadlock, 0, "no thread can go on");
    return Outcome::kFaulted;
}

const Insn* Block::fail(Warp& warp, const Insn* insn, FaultKind kind, uint64_t address,
                        std::string message) {
    if (!faulted_) {
        faulted_ = true;
        fault_.kind = kind;
        fault_.address = address;
        fault_.kernel = grid_->kernel;
        fault_.line = insn != nullptr ? insn->line : 0;
        fault_.message = std::move(message);
    }
    warp.pause = Pause::kFault;
    return nullptr;
}

// --- memory ---

bool Block::refill(RangeCache& cache, uint64_t address, uint64_t size) {
    const uint64_t version = grid_->map->version();
    if (version != snapshot_version_) {
        caches_.fill({});
        snapshot_ = grid_->map->snapshot();
        snapshot_version_ = version;
    }
    const MemoryMap::Range range = find_range(*snapshot_, address, size);
    if (range.end != 0) {
        cache = {range.begin, range.end - range.begin};
        return true;
    }
    const auto parameters = reinterpret_cast<uint64_t>(grid_->parameters.get());
    const uint64_t offset = address - parameters;
    if (offset >= grid_->parameter_range || size > grid_->parameter_range - offset) return false;
    cache = {parameters, grid_->parameter_range};
    return true;
}

char* Block::host_address(Warp& warp, unsigned lane, uint64_t address, uint64_t size) {
    if (address - kSharedWindow < kWindowBytes) {
        return cluster_shared(warp, address - kSharedWindow, size);
    }
    if (address - kLocalWindow < kWindowBytes) {
        const uint64_t offset = address - kLocalWindow;
        return offset + size <= warp.local_bytes ? warp.local + lane * warp.local_bytes + offset
                                                 : nullptr;
    }
    RangeCache cache;
    return refill(cache, address, size) ? reinterpret_cast<char*>(address) : nullptr;
}

std::optional<std::string> Block::read_string(Warp& warp, unsigned lane, uint64_t address) {
    constexpr size_t kLongest = 4096;
    std::string text;
    while (text.size() < kLongest) {
        const char* at = host_address(warp, lane, address++, 1);
        if (at == nullptr) return std::nullopt;
        if (*at == 0) break;
        text += *at;
    }
    return text;
}

bool refill_cache(Warp& warp, RangeCache& cache, uint64_t address, uint64_t size) {
    return warp.block->refill(cache, address, size);
}

const Insn* fault_illegal_address(Warp& warp, const Insn* insn, uint64_t address) {
    return warp.block->fail(warp, insn, FaultKind::kIllegalAddress, address,
                            "an illegal memory access was encountered");
}

const Insn* fault_misaligned(Warp& warp, const Insn* insn, uint64_t address) {
    return warp.block->fail(warp, insn, FaultKind::kMisalignedAddress, address,
                            "misaligned address");
}

// --- barriers ---

bool Block::is_complete(const Barrier& barrier) const {
    uint32_t threads = 0;
    bool all = true;
    for (uint32_t index = 0; index < facts_.warps; ++index) {
        const uint32_t arrived = barrier.arrived[index];
        const bool whole = (arrived | warps_[index]->exited) == kAllLanes;
        all = all && whole;
        // A warp of which all live threads came counts as 32, as the required count does.
        if (arrived != 0) threads += whole ? kLanes : uint32_t(__builtin_popcount(arrived));
    }
    return barrier.threads == 0 ? all : threads >= barrier.threads;
}

void Block::arrive(WarpState& warp, unsigned number, uint32_t mask, uint32_t threads,
                   uint32_t predicate) {
    Barrier& barrier = barriers_[number];
    barrier.in_use = true;
    barrier.threads = threads;
    barrier.arrived[warp.index] |= mask;
    barrier.count += uint32_t(__builtin_popcount(mask));
    barrier.true_count += uint32_t(__builtin_popcount(mask & predicate));
    if (!is_complete(barrier)) return;
    number == kClusterBarrier ? cluster_->release_barrier() : release(number);
}

void Block::release(unsigned number) {
    Barrier& barrier = barriers_[number];
    for (const auto& warp : warps_) {
        for (unsigned index = 0; index < warp->part_count; ++index) {
            Part& part = warp->parts[index];
            if (part.state != PartState::kBarrier || part.member != number) continue;
            write_barrier_result(*part.frame, *part.at, part.mask, barrier.count,
                                 barrier.true_count);
            part.state = PartState::kReady;
            part.member = 0;
            ++part.at;
        }
        if (warp->pause == Pause::kBlocked) warp->pause = Pause::kYield;
    }
    barrier = {};
}

void Block::threads_exited() {
    for (unsigned number = 0; number < kBarriers; ++number) {
        if (barriers_[number].in_use && is_complete(barriers_[number])) release(number);
    }
    if (is_at_cluster_barrier()) cluster_->release_barrier();
}

}  // namespace cubar::softgpu::exec
